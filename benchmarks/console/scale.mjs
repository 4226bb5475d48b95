// Opens the console on a large fleet and measures: first rows, all rows, requests, memory, scrolling, what the page does while it is idle.

import { readFileSync } from "node:fs";
import { openPage, signIn, withBrowser } from "../../tests/e2e/console/browser.mjs";

const COUNT = Number(process.env.COUNT);

/** Memory of the renderer in MiB: its own share of resident memory. */
async function readRenderer(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const sizes = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => {
    const found = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, "utf8"));
    return Number(found[1]) / 1024;
  });
  return Math.max(...sizes);
}

async function readHeap(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  return usedSize / 2 ** 20;
}

/** Frames while something goes on: milliseconds between them, sorted. */
async function watchFrames(page, act) {
  await page.evaluate(() => {
    window.frames_ = [];
    let last = performance.now();
    const look = (now) => { window.frames_.push(now - last); last = now; window.looking = requestAnimationFrame(look); };
    window.looking = requestAnimationFrame(look);
  });
  await act();
  return page.evaluate(() => { cancelAnimationFrame(window.looking); return window.frames_.sort((one, other) => one - other); });
}

const part = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

await withBrowser(async (browser) => {
  const page = await openPage(browser);
  const requests = [];
  page.on("requestfinished", async (request) => {
    const { pathname, search } = new URL(request.url());
    if (pathname === "/v1/fleet" && search !== "?limit=1") requests.push((await request.sizes()).responseBodySize);
  });
  let watches = 0;
  page.on("request", (request) => { watches += request.url().includes("/v1/fleet/watch"); });
  await page.goto(process.env.API);
  const empty = { heap: await readHeap(page), renderer: await readRenderer(browser) };
  const begin = performance.now();
  await signIn(page);
  await page.locator(".rows .row").first().waitFor();
  const first = performance.now() - begin;
  await page.locator(".chip.all b", { hasText: COUNT.toLocaleString("en-US") }).waitFor({ timeout: 300_000 });
  const whole = performance.now() - begin;
  await page.locator("#link", { hasText: "Live" }).waitFor();
  const still = await watchFrames(page, () => page.waitForTimeout(4000));
  await page.mouse.move(400, 500);
  const moving = await watchFrames(page, async () => {
    for (let step = 0; step < 60; step += 1) await page.mouse.wheel(0, 2500);
  });
  const typing = performance.now();
  await page.getByLabel("Search connectors").fill("wrongcredentials mysql");
  await page.locator(".found", { hasText: " of " }).waitFor();
  const searched = performance.now() - typing;
  const full = { heap: await readHeap(page), renderer: await readRenderer(browser) };
  console.log(JSON.stringify({
    first, whole, pages: requests.length, watches, bytes: requests.reduce((sum, size) => sum + size, 0), empty, full, searched,
    frames: { still: [part(still, 0.5), part(still, 0.99)], moving: [part(moving, 0.5), part(moving, 0.95), part(moving, 0.99)] },
  }));
});
