// Ten thousand streams: the status lists 500, a short Job all; they are searched, and one that the status does not list is started.

import assert from "node:assert/strict";
import { join } from "node:path";
import { findBarriers, openPage, SCHEMES, signIn, SIZES, withBrowser } from "./browser.mjs";

const { API, TOKEN, READER, SHOTS } = process.env;
const COUNT = Number(process.env.COUNT).toLocaleString("en-US");
const FOUND = "shop_98.orders_9876";
const WITHOUT_KEY = "shop_99.orders_9999";

async function picture(page, element, name) {
  for (const viewport of SIZES.slice(0, 2)) {
    await page.setViewportSize(viewport);
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme });
      const place = `${name}-${viewport.width}-${colorScheme}`;
      assert.deepEqual(await findBarriers(page), [], place);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= viewport.width, place);
      await element.screenshot({ path: join(SHOTS, `card_${place}.png`), animations: "disabled" });
    }
  }
  await page.setViewportSize(SIZES[0]);
  await page.emulateMedia({ colorScheme: "light" });
}

await withBrowser(async (browser) => {
  const page = await openPage(browser);
  page.setDefaultTimeout(180_000);
  const card = page.getByRole("region", { name: "Streams", exact: true });
  const streams = card.locator(".stream");
  const search = card.getByLabel("Search streams");
  const isInState = (state) => page.locator(".about .pill", { hasText: state }).waitFor();

  await signIn(page, TOKEN, "#/connector/SHOP");
  await isInState("received");
  await card.getByText(`The status lists 500 of ${COUNT}`).waitFor();
  await search.fill("orders_9876");
  assert.equal(await streams.count(), 0);
  await card.getByRole("button", { name: `List all ${COUNT}` }).click();
  await card.getByText(`All ${COUNT} streams, listed`).waitFor();
  await card.locator(`.stream:has-text("${FOUND}")`).waitFor();
  assert.match(await streams.first().innerText(), /key id.*3 columns.*FULL_TABLE, LOG_BASED/s);

  // How long the page works on a letter: until the list is drawn.
  const took = await search.evaluate((input) => ["o", "or", "orders", "orders_99", "99 log_based", ""].map((text) => {
    const begin = performance.now();
    input.value = text;
    input.dispatchEvent(new Event("input"));
    document.body.offsetHeight;
    return performance.now() - begin;
  }));
  console.log(`a search takes ${took.map((each) => each.toFixed(1)).join(", ")} ms`);
  await card.locator(".stream-list").evaluate((list) => { list.scrollTop = list.scrollHeight; });
  await card.locator(`.stream:has-text("${WITHOUT_KEY}")`).waitFor();
  assert.ok((await streams.count()) < 40, "few exist in the page");

  await search.fill("9999");
  await card.getByRole("button", { name: `Why not? ${WITHOUT_KEY}` }).click();
  await card.getByText("Not LOG_BASED: it has no primary key; add one, or use FULL_TABLE.").waitFor();
  await search.fill("99 orders");
  await picture(page, card, "all-streams");

  await card.getByLabel("Only streams like this pattern").fill("shop_07.*");
  await card.getByRole("button", { name: "List all" }).click();
  await card.getByText(`100 streams like shop_07.*, of ${COUNT} at the source, listed`).waitFor();
  await card.getByLabel("Only streams like this pattern").fill("shop..");
  await card.getByRole("button", { name: "List all" }).click();
  await card.getByRole("alert").waitFor();
  await card.getByLabel("Only streams like this pattern").fill("");
  await card.getByRole("button", { name: "List all" }).click();
  await card.getByText(`All ${COUNT} streams, listed`).waitFor();
  assert.equal(await card.getByRole("alert").count(), 0);

  // One that the status does not list is selected and started: the operator lists the streams again, with this one.
  await search.fill(FOUND);
  await card.getByRole("button", { name: "Select …" }).click();
  await card.getByRole("checkbox", { name: FOUND }).check();
  await card.getByText(`Takes 1 of the ${COUNT} listed streams.`).waitFor();
  await card.getByRole("button", { name: "Save selection" }).click();
  await isInState("ready");
  await page.locator(".actions").getByRole("button", { name: "Start", exact: true }).click();
  await page.locator(".say .lead", { hasText: "It runs." }).waitFor();
  await card.locator("p.found", { hasText: `selected: ${FOUND}` }).waitFor();
  console.log("seen: a stream that the status did not list runs");
  assert.deepEqual(page.complaints, []);

  const refusing = await openPage(browser);
  refusing.setDefaultTimeout(180_000);
  await signIn(refusing, TOKEN, "#/connector/SHOP");
  await refusing.goto(`${API}/#/connector/REFUSING`);
  await refusing.getByText("the source refuses to list its streams").first().waitFor();
  assert.deepEqual(refusing.complaints, []);

  const reader = await openPage(browser);
  await signIn(reader, READER, "#/connector/SHOP");
  await reader.getByRole("button", { name: `List all ${COUNT}` }).click();
  await reader.getByText(/You may not do this: .*:reader may not create jobs\.batch, delete jobs\.batch, list pods, get pods\/log/).waitFor();
  assert.match(await reader.getByLabel("Commands that give the right").filter({ hasText: "pods/log" }).innerText(), /kubectl create role/);
  assert.deepEqual(await findBarriers(reader), []);
  assert.deepEqual(reader.complaints, []);
});
