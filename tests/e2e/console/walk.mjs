// A connector's whole life by clicks alone: make, select, start, watch, break, mend, stop, delete.

import assert from "node:assert/strict";
import { join } from "node:path";
import { findBarriers, openPage, SCHEMES, signIn, withBrowser } from "./browser.mjs";

const NAME = "YOUR_CONNECTOR";
const { SIMULATOR } = process.env;

await withBrowser(async (browser) => {
  const page = await openPage(browser);
  const lead = page.locator(".say .lead");
  const button = (name) => page.locator(".actions").getByRole("button", { name, exact: true });
  const isInState = (state) => page.locator(".about .pill", { hasText: state }).waitFor({ timeout: 120_000 });
  const look = async (what) => {
    console.log(`seen: ${what}`);
    await page.screenshot({ path: join(process.env.SHOTS, `walk_${what.replaceAll(/\W+/g, "_")}.png`), fullPage: true });
    assert.deepEqual(await findBarriers(page), [], what);
  };

  await signIn(page);
  await page.getByText("No connectors yet").waitFor();
  await look("an empty fleet");

  await page.getByRole("link", { name: "Make the first one" }).click();
  await page.getByRole("radio", { name: /COINBASE/ }).check();
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByText("This is needed.").first().waitFor();
  await page.getByLabel("Name").fill("no name");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByText("Letters a–z, digits, - and _ only.").waitFor();
  await page.getByLabel("Name").fill(NAME);
  await page.getByLabel("Dataset").fill("YOUR_DATASET");
  await page.getByLabel("url", { exact: true }).fill("http://not-a-feed");
  await page.getByLabel("productId").fill("BTC-USD\nLINK-USD");
  await page.getByRole("button", { name: "Create" }).click();
  await page.locator("[name=url][aria-invalid=true]").waitFor();
  await look("an error at its field");
  await page.getByLabel("url", { exact: true }).fill(`ws://${SIMULATOR}`);
  await page.getByText(/More settings/).click();
  await page.getByLabel("restUrl").fill(`http://${SIMULATOR}`);
  await page.getByRole("button", { name: "Create" }).click();

  await isInState("received");
  await look("its streams are received");
  await page.getByRole("button", { name: "Select …" }).click();
  await page.getByRole("checkbox", { name: "ticker", exact: true }).check();
  await page.getByText(/^Takes 1 of/).waitFor();
  await look("a selection being made");
  await page.getByRole("button", { name: "Save selection" }).click();
  await isInState("ready");

  await button("Start").click();
  await isInState("running");
  await lead.getByText("It runs.").waitFor({ timeout: 120_000 });
  await page.locator(".runs b", { hasText: "Run #1" }).waitFor();
  await page.locator(".life b", { hasText: "Running" }).first().waitFor();
  await look("it runs, with its events and its execution");

  const rows = page.getByRole("region", { name: "Newest rows", exact: true });
  await rows.getByRole("button", { name: "Show newest rows" }).click();
  await rows.getByRole("columnheader", { name: "product_id" }).waitFor({ timeout: 180_000 });
  await rows.getByText(/^\d+ rows? of ticker, the newest first/).waitFor();
  assert.match(await rows.locator("tbody tr").first().innerText(), /BTC-USD|LINK-USD/);
  console.log(`seen: rows: ${await rows.locator("tbody tr").count()}`);
  await look("its newest rows");
  for (const colorScheme of SCHEMES) {
    await page.emulateMedia({ colorScheme });
    await rows.screenshot({ path: join(process.env.SHOTS, `rows-card-${colorScheme}.png`), animations: "disabled" });
  }

  // Break it: an address where nobody listens. The operator starts another execution with it, which fails and says so.
  await page.getByRole("link", { name: "Edit" }).click();
  await page.getByLabel("url", { exact: true }).fill("ws://127.0.0.1:9");
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator(".say:not(.good) .lead", { hasText: /127\.0\.0\.1|refused|connect/i }).waitFor({ timeout: 240_000 });
  console.log(`seen: broken: ${await page.locator(".say").innerText()}`);
  await look("broken, and why");

  await page.getByRole("link", { name: "Edit" }).click();
  await page.getByLabel("url", { exact: true }).fill(`ws://${SIMULATOR}`);
  await page.getByRole("button", { name: "Save" }).click();
  await lead.getByText("It runs.").waitFor({ timeout: 240_000 });
  await page.locator(".say", { hasText: "Listing its streams failed" }).waitFor({ state: "detached" });
  await look("mended");

  await button("Stop").click();
  await isInState("stopped");
  await look("stopped");
  await rows.getByRole("button", { name: "Show newest rows" }).click();
  await rows.getByText("Asking for a Job").or(rows.getByText("The Job")).waitFor();
  await rows.getByText(/^\d+ rows? of ticker, the newest first/).waitFor({ timeout: 180_000 });

  await button("Delete").click();
  const dialog = page.getByRole("dialog");
  const sure = dialog.getByRole("button", { name: "Delete" });
  assert.ok(await sure.isDisabled());
  await dialog.getByRole("textbox").fill("your_connector");
  assert.ok(await sure.isDisabled());
  await dialog.getByRole("textbox").fill(NAME);
  await look("the question before it is deleted");
  await sure.click();
  await page.getByText("No connectors yet").waitFor();
  assert.deepEqual(page.complaints, []);
});
