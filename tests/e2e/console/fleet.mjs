// A thousand connectors: how fast they are seen, changes, filters, errors, pictures in each size and scheme.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { findBarriers, openPage, SCHEMES, signIn, SIZES, withBrowser } from "./browser.mjs";

const { API, TOKEN, READER, SHOTS, REPORTS, KUBECTL, NAMESPACE } = process.env;
const COUNT = Number(process.env.COUNT);

/** Has the operator's part of the statuses written: one more report of the runners. */
function report(name) {
  const command = ["apply", "--server-side", "--force-conflicts", "--subresource=status", "--validate=false", "-n", NAMESPACE, "-f", join(REPORTS, name)];
  execFileSync(KUBECTL, command, { stdio: "pipe" });
}

async function call(method, path, body, token = TOKEN) {
  const answer = await fetch(`${API}/v1/${path}`, { method, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer;
}

const TESTS = {
  async "a thousand are counted, and few exist in the page"(page) {
    const begin = Date.now();
    await signIn(page);
    await page.locator(".rows .row").first().waitFor();
    const first = Date.now() - begin;
    await page.locator(".chip.all b", { hasText: COUNT.toLocaleString("en-US") }).waitFor();
    console.log(`first rows after ${first} ms, all ${COUNT} after ${Date.now() - begin} ms`);
    assert.ok((await page.locator(".rows .row").count()) < 60);
    assert.equal(await page.locator(".table").getAttribute("aria-rowcount"), String(COUNT + 1));
    await page.locator(".rows").evaluate((rows) => { rows.scrollTop = rows.scrollHeight; });
    await page.locator(`.rows .row[data-index="${COUNT - 1}"]`).waitFor();
    assert.ok((await page.locator(".rows .row").count()) < 60);
  },

  async "rows per second stand in the first list, without a second report"(page) {
    // The runners have reported half a minute ago, however long the fleet took to be made.
    const { connectors } = await (await call("GET", "fleet?limit=500")).json();
    await page.clock.setFixedTime(Math.max(...connectors.map((one) => Date.parse(one.updated) || 0)) + 30_000);
    await signIn(page);
    await page.getByRole("columnheader", { name: "Rows/s" }).getByRole("button").click();
    await page.locator('.head .rate[aria-sort="descending"]').waitFor();
    await page.waitForFunction(() => [...document.querySelectorAll(".rows .row .rate")].slice(0, 5).every((cell) => /^[1-9][\d.]*k$/.test(cell.textContent)));
  },

  async "a change is seen without a touch, and so is a deletion"(page) {
    await call("POST", "connectors/connector/AAA_NEW", { connectorType: "COINBASE", wait: true, config: { productId: ["BTC-USD"] } });
    await signIn(page);
    const row = page.locator(".rows .row", { hasText: "AAA_NEW" });
    await row.waitFor();
    const begin = Date.now();
    await call("PUT", "connectors/connector/AAA_NEW", { datasetId: "elsewhere" });
    await row.locator(".dataset", { hasText: "elsewhere" }).waitFor();
    console.log(`a change is seen ${Date.now() - begin} ms after its call began`);
    await call("DELETE", "connectors/connector/AAA_NEW");
    await row.waitFor({ state: "detached" });
  },

  async "search, filters and sorting, by keyboard"(page) {
    await signIn(page);
    await page.locator(".rows .row").first().waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("WrongCredentials mysql");
    await page.locator(".found", { hasText: " of " }).waitFor();
    for (const text of await page.locator(".rows .row").allInnerTexts()) assert.match(text, /errored/);
    await page.getByLabel("Search connectors").fill("");
    await page.getByRole("button", { name: /^Stopped/ }).click();
    await page.locator('.chip.stopped[aria-pressed="true"]').waitFor();
    await page.waitForFunction(() => [...document.querySelectorAll(".rows .row .pill")].every((pill) => pill.textContent === "stopped"));
    await page.getByRole("button", { name: /^Stopped/ }).click();
    await page.getByRole("columnheader", { name: "Lag" }).getByRole("button").press("Enter");
    await page.locator('.head .lag[aria-sort="descending"]').waitFor();
    await page.locator(`.table[aria-rowcount="${COUNT + 1}"]`).waitFor();
    await page.locator(".rows .row a").first().focus();
    await page.keyboard.press("ArrowDown");
    await page.waitForFunction(() => document.activeElement.closest(".row")?.dataset.index === "1");
    await page.keyboard.press("End");
    await page.waitForFunction((last) => document.activeElement.closest(".row")?.dataset.index === last, String(COUNT - 1));
    await page.keyboard.press("Enter");
    await page.locator(".connector h1").waitFor();
  },

  async "a row that a new order takes out of sight hands its focus to the row at its place"(page) {
    await signIn(page);
    await page.locator(`.table[aria-rowcount="${COUNT + 1}"]`).waitFor();
    await page.locator(".rows .row a").nth(2).focus();
    const before = await page.evaluate(() => document.activeElement.textContent);
    await page.evaluate(() => document.querySelector('.head .name button').addEventListener("click", () => document.querySelectorAll(".rows .row a")[2].focus()));
    await page.locator(".head .name button").evaluate((button) => button.click());
    await page.locator('.head .name[aria-sort="descending"]').waitFor();
    await page.waitForFunction((text) => document.querySelector('.rows .row[data-index="0"] a').textContent !== text && document.activeElement.closest(".row")?.dataset.index === "2" && document.activeElement.textContent !== text, before);
  },

  async "a redraw leaves the focus, the scrolled list and the selected text as they are"(page) {
    await page.clock.install();
    await signIn(page);
    await page.locator(".rows .row:has(.pill.good) a").first().click();
    await page.locator(".columns .life li").first().waitFor();
    const said = await page.locator(".now .hint").last().innerText();
    await page.getByText("Show YAML").click();
    await page.getByRole("button", { name: "Restart", exact: true }).focus();
    await page.evaluate(() => {
      window.kept = [...document.querySelectorAll(".life, .conditions, .figures, .plot .canvas > *, h1")];
      getSelection().selectAllChildren(document.querySelector("[aria-label='Manifest as YAML']"));
    });
    const selected = await page.evaluate(() => getSelection().toString());
    assert.match(selected, /kind: Connector/);
    await page.clock.fastForward("50:00:00");
    await page.waitForFunction((before) => [...document.querySelectorAll(".now .hint")].at(-1).innerText !== before, said);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Restart");
    assert.ok(await page.evaluate(() => window.kept.length > 5 && window.kept.every((element) => element.isConnected)));
    assert.equal(await page.evaluate(() => getSelection().toString()), selected);
  },

  async "why there are no finer plots is said as it is"(page) {
    await signIn(page);
    await page.locator(".rows .row:has(.pill.good) a").first().click();
    await page.getByText("Why not from the runner's own metrics").click();
    assert.match(await page.locator(".hint details p").innerText(), /^no pod of connector '.*' runs\.$/);
  },

  async "a filter's result is said once, and its button keeps the focus"(page) {
    await signIn(page);
    await page.getByLabel("Search connectors").fill("no-such-connector");
    await page.getByRole("button", { name: "Show all" }).focus();
    await page.evaluate(() => {
      window.said = 0;
      new MutationObserver((changes) => { window.said += changes.length; }).observe(document.querySelector("p.found"), { childList: true, characterData: true, subtree: true });
      window.drawn = 0;
      new MutationObserver(() => { window.drawn += 1; }).observe(document.querySelector(".table"), { attributes: true, attributeFilter: ["aria-rowcount"] });
    });
    await page.waitForFunction(() => window.drawn >= 2);
    assert.equal(await page.evaluate(() => window.said), 0);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Show all");
  },

  async "what is refused says what to do"(page) {
    await page.goto(API);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("Paste a token first.").waitFor();
    await page.getByLabel("Token").fill("not-the-right-one");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText(/does not accept the token/).waitFor();
    assert.equal(await page.getByLabel("Token").inputValue(), "");
    await signIn(page, READER);
    await page.locator(".rows .row:has(.pill.good) a").first().click();
    await page.getByText(/Its Kubernetes events are not shown: You may not do this/).waitFor();
    await page.getByRole("button", { name: "Show newest rows" }).click();
    await page.getByText(/You may not do this: .*:reader may not create jobs\.batch/).waitFor();
    const commands = await page.getByLabel("Commands that give the right").filter({ hasText: "pods/log" }).innerText();
    assert.match(commands, /kubectl create role \S+ --verb=get --resource=pods\/log --namespace=market-data/);
    assert.deepEqual(await findBarriers(page), []);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.locator(".toast.bad", { hasText: /You may not do this: .*cannot patch/ }).waitFor();
    await page.goto(`${API}/#/connector/nobody`);
    await page.getByText(/There is no connector of this name/).waitFor();
  },

  async "what is done is said for a while, and while one looks at it; what failed stays"(page) {
    await page.clock.install();
    await signIn(page);
    await page.locator(".rows .row:has(.pill.good) a").first().click();
    const again = page.getByRole("button", { name: "Look for streams again" });
    await again.waitFor();
    // From here on the page's time stands still but for what is skipped.
    await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 60_000);
    await again.click();
    const note = page.locator(".toast.good", { hasText: "asks its source for the streams again" });
    await note.hover();
    await page.clock.fastForward(60_000);
    assert.equal(await note.count(), 1);
    await note.getByRole("button", { name: "Dismiss" }).focus();
    await page.mouse.move(0, 0);
    await page.clock.fastForward(60_000);
    assert.equal(await note.count(), 1);
    await again.focus();
    await page.clock.fastForward(60_000);
    await note.waitFor({ state: "detached" });
    await page.route("**/rediscover", (route) => route.abort());
    await again.click();
    const failed = page.locator(".toast.bad");
    await failed.waitFor();
    await page.clock.fastForward(600_000);
    assert.equal(await failed.count(), 1);
    await failed.getByRole("button", { name: "Dismiss" }).click();
    assert.equal(await page.locator(".toast").count(), 0);
  },

  async "the token is nowhere but in memory, and gone after signing out"(page) {
    await signIn(page);
    await page.locator(".rows .row").first().waitFor();
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href, document.documentElement.outerHTML]));
    assert.ok(!kept.includes(TOKEN));
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText(/the token is forgotten/).waitFor();
    assert.equal(await page.locator(".rows .row").count(), 0);
    await page.reload();
    await page.getByLabel("Token").waitFor();
  },

  async "what a GitOps tool manages warns before a change"(page) {
    await signIn(page);
    await page.getByLabel("Search connectors").fill("argo running");
    await page.locator(".rows .row:has(.pill.good)", { hasText: "Argo CD" }).locator("a").first().click();
    await page.locator(".banner", { hasText: "Managed by Argo CD (pipelines)" }).waitFor();
    await page.getByRole("button", { name: "Restart", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Managed by Argo CD" });
    assert.deepEqual(await findBarriers(page), []);
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal(await page.locator(".toast").count(), 0);
  },
};

/** Judges what is shown by axe in each size and scheme, and keeps pictures of it. */
async function picture(page, name) {
  await page.mouse.move(0, 0);
  for (const viewport of SIZES) {
    await page.setViewportSize(viewport);
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme });
      const place = `${name}-${viewport.width}-${colorScheme}`;
      assert.deepEqual(await findBarriers(page), [], place);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `${place} is ${width} pixels wide`);
      await page.screenshot({ path: join(SHOTS, `${place}.png`), animations: "disabled" });
    }
  }
  await page.setViewportSize(SIZES[0]);
}

/** All views, after the runners have reported a few times while the page was open. */
async function pictures(page) {
  await page.goto(API);
  await page.getByLabel("Token").waitFor();
  await picture(page, "sign-in");
  await signIn(page);
  await page.locator(".chip.all b", { hasText: COUNT.toLocaleString("en-US") }).waitFor();
  for (const name of readdirSync(REPORTS).sort()) report(name);
  await page.waitForFunction(() => [...document.querySelectorAll(".rows .row .rate")].some((cell) => /\d/.test(cell.textContent)));
  await picture(page, "fleet");
  const open = async (selector, name) => {
    await page.locator(`.rows .row${selector} a`).first().click();
    await page.locator(".columns .life").waitFor();
    await picture(page, name);
    await page.locator(".back").click();
    await page.locator(".rows .row").first().waitFor();
  };
  await open(":has(.pill.good)", "connector");
  await page.getByRole("button", { name: /^Need attention/ }).click();
  await page.waitForFunction(() => [...document.querySelectorAll(".rows .row .pill")].every((pill) => pill.textContent === "errored"));
  await page.locator(".rows .row a").first().click();
  await page.locator(".columns .life").waitFor();
  assert.equal(await page.locator(".plots:visible").count(), 0, "of what does not run nothing is drawn");
  await page.locator(".back").click();
  await page.locator(".rows .row").first().waitFor();
  await open("", "errored");
  await page.goto(`${API}/#/new`);
  await page.getByRole("radio", { name: /MYSQL/ }).check();
  await picture(page, "new");
}

await withBrowser(async (browser) => {
  for (const [name, run] of Object.entries(TESTS)) {
    const page = await openPage(browser);
    console.log(`test: ${name}`);
    await run(page);
    assert.deepEqual(page.complaints, [], name);
    await page.context().close();
  }
  const page = await openPage(browser);
  await pictures(page);
  assert.deepEqual(page.complaints, []);
});
