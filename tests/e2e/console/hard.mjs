// What is hard for a page that stays open: a proxy that logs people in, a history that is forgotten, rights that are missing, a token that ends.

import assert from "node:assert/strict";
import { findBarriers, openPage, signIn, withBrowser } from "./browser.mjs";

const { API, PROXY, TOKEN, LISTER } = process.env;
const COUNT = Number(process.env.COUNT);

async function call(method, path, body) {
  const answer = await fetch(`${API}/v1/${path}`, { method, headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" }, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer;
}

const make = (id) => call("POST", `connectors/connector/${id}`, { connectorType: "COINBASE", wait: true, config: { productId: ["BTC-USD"] } });
const row = (page, text) => page.locator(".rows .row", { hasText: text });

const TESTS = {
  async "behind a proxy that logs people in no token is asked for, and it is live"({ open }) {
    const page = await open({ origin: PROXY });
    await page.goto(PROXY);
    await page.locator(".rows .row").first().waitFor();
    assert.equal(await page.getByLabel("Token").count(), 0);
    assert.ok(await page.getByRole("button", { name: "Sign out" }).isHidden());
    await page.locator("#link", { hasText: "Live" }).waitFor();
    await make("AAA_PROXY");
    await row(page, "AAA_PROXY").locator("a").click();
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.getByRole("button", { name: "Stop", exact: true }).waitFor();
    await page.getByRole("link", { name: "← Connectors" }).click();
    await call("DELETE", "connectors/connector/AAA_PROXY");
    await row(page, "AAA_PROXY").waitFor({ state: "detached" });
    // The login ends while the page is open: it says so, and loading it again is all there is to do.
    await row(page, "").first().locator("a").click();
    await page.locator(".connector .columns").waitFor();
    await fetch(`${PROXY}/end-sessions`, { method: "POST" });
    await page.getByRole("button", { name: "Look for streams again" }).click();
    await page.getByText(/Your login has ended/).first().waitFor();
    assert.deepEqual(await findBarriers(page), []);
    await page.getByRole("button", { name: "Load the page again" }).click();
    await page.locator("#link", { hasText: "Live" }).waitFor();
    await page.close();
  },

  async "a list that was forgotten while it was read is begun again"({ open, ask }) {
    const page = await open();
    await ask("forget");
    let isForgotten = false;
    await page.route("**/v1/fleet?*continue=*", async (route) => {
      const url = new URL(route.request().url());
      if (!isForgotten) {
        isForgotten = true;
        // As of a list that was begun long ago: the API server keeps recent states in memory.
        const token = JSON.parse(Buffer.from(url.searchParams.get("continue"), "base64url").toString());
        url.searchParams.set("continue", Buffer.from(JSON.stringify({ ...token, rv: 2 })).toString("base64url"));
      }
      await route.continue({ url: String(url) });
    });
    const states = [];
    page.on("response", (response) => { if (response.url().includes("continue=")) states.push(response.status()); });
    await signIn(page);
    await page.locator(".chip.all b", { hasText: COUNT.toLocaleString("en-US") }).waitFor();
    await page.locator("#link", { hasText: "Live" }).waitFor();
    assert.equal(states[0], 410);
    assert.ok(await page.locator("#problem").isHidden());
    await page.close();
  },

  async "who may list but not watch sees a list that says how old it is"({ open }) {
    const page = await open();
    await signIn(page, LISTER);
    await page.locator(".rows .row").first().waitFor();
    await page.locator("#link", { hasText: "Every 30 s" }).waitFor();
    await page.locator("#problem", { hasText: /cannot watch resource "connectors".* read again every 30 seconds/ }).waitFor();
    assert.match(await page.locator("#problem pre").innerText(), /kubectl create role \S+ --verb=watch --resource=connectors\.apperate\.io/);
    assert.deepEqual(await findBarriers(page), []);
    await make("AAA_SEEN_LATER");
    await row(page, "AAA_SEEN_LATER").waitFor();
    await call("DELETE", "connectors/connector/AAA_SEEN_LATER");
    await page.close();
  },

  async "a connector that is deleted while its page is open, in two tabs"({ open }) {
    await make("TWO_TABS");
    const [one, other] = [await open(), await open()];
    for (const page of [one, other]) {
      await signIn(page, TOKEN, "#/connector/TWO_TABS");
      await page.locator(".connector .columns").waitFor();
      await page.locator("#link", { hasText: "Live" }).waitFor();
    }
    await one.getByRole("button", { name: "Start", exact: true }).click();
    await other.getByRole("button", { name: "Stop", exact: true }).waitFor();
    await one.getByRole("button", { name: "Delete", exact: true }).click();
    await one.getByRole("dialog").getByRole("textbox").fill("TWO_TABS");
    await one.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await one.locator(".fleet").waitFor();
    await other.getByText(/There is no connector of this name \(any more\)/).waitFor();
    assert.deepEqual(await findBarriers(other), []);
    await one.close();
    await other.close();
  },

  async "very long names stay within the page"({ open }) {
    const id = "A_VERY_LONG_NAME_OF_A_CONNECTOR_THAT_GOES_ON_AND_ON";
    await make(id);
    await call("PUT", `connectors/connector/${id}`, { datasetId: "D".repeat(48), selectedStream: "schema_with_a_long_name.".concat("t".repeat(150)), description: "d".repeat(400) });
    for (const width of [390, 1600]) {
      const page = await open({ viewport: { width, height: 844 } });
      await signIn(page);
      await page.getByLabel("Search connectors").fill(id);
      await row(page, id).waitFor();
      for (const where of ["fleet", "connector", "edit"]) {
        if (where === "connector") await row(page, id).locator("a").click();
        if (where === "edit") await page.getByRole("link", { name: "Edit" }).click();
        await page.locator(`main.${where === "edit" ? "page.narrow" : where}`).waitFor();
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${where} is ${wide} pixels wide at ${width}`);
        assert.deepEqual(await findBarriers(page), [], where);
      }
      await page.close();
    }
    await call("DELETE", `connectors/connector/${id}`);
  },

  async "a token that ends while the page is open is asked for again, and the page is where it was"({ open, ask }) {
    const page = await open();
    await make("STILL_HERE");
    await signIn(page, await (await ask("new-token")).text(), "#/connector/STILL_HERE");
    await page.locator(".connector .columns").waitFor();
    await ask("end-token");
    await page.getByRole("button", { name: "Look for streams again" }).click();
    await page.getByText(/does not accept the token/).first().waitFor();
    await page.getByLabel("Token").fill(TOKEN);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator("h1", { hasText: "STILL_HERE" }).waitFor();
    await page.locator("#link", { hasText: "Live" }).waitFor();
    await page.close();
    // What was typed into a form is not lost.
    const other = await open();
    await signIn(other, await (await ask("new-token")).text(), "#/new");
    await other.getByRole("radio", { name: /COINBASE/ }).check();
    await other.getByLabel("Name").fill("TYPED_BEFORE");
    await other.getByLabel("productId").fill("BTC-USD");
    await ask("end-token");
    await other.getByRole("button", { name: "Create" }).click();
    await other.getByLabel("Token").fill(TOKEN);
    await other.getByRole("button", { name: "Sign in" }).click();
    assert.equal(await other.getByLabel("Name").inputValue(), "TYPED_BEFORE");
    await other.getByText("There is no Dataset").or(other.getByText("has no Dataset yet")).first().waitFor();
    await other.getByRole("button", { name: "Create" }).click();
    await other.locator("h1", { hasText: "TYPED_BEFORE" }).waitFor();
    await call("DELETE", "connectors/connector/TYPED_BEFORE");
    await call("DELETE", "connectors/connector/STILL_HERE");
    await other.close();
  },
};

await withBrowser(async (browser) => {
  for (const [name, run] of Object.entries(TESTS)) {
    console.log(`test: ${name}`);
    const pages = [];
    const open = async (options) => {
      const page = await openPage(browser, options);
      pages.push(page);
      return page;
    };
    const ask = async (what) => {
      const answer = await fetch(`${process.env.STAGEHAND}/${what}`, { method: "POST" });
      assert.ok(answer.ok, what);
      return answer;
    };
    await run({ open, ask });
    for (const page of pages) assert.deepEqual(page.complaints, [], name);
  }
});
