// Reads the built site in a real Chromium: each page at both widths and schemes, a search, pictures. Prints what was seen.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { openPage, SCHEMES, SIZES, withBrowser } from "../console/browser.mjs";

const { API: SITE, PAGES, PICTURES } = process.env;
const pages = JSON.parse(PAGES);
const SHOWN = ["index.html", "walk.html", "states.html", "reasons.html", "reference-connector.html", "troubleshooting.html", "sizing.html", "repository/index.html"];
mkdirSync(PICTURES, { recursive: true });

await withBrowser(async (browser) => {
  for (const [number, viewport] of SIZES.entries()) {
    const page = await openPage(browser, { viewport, colorScheme: SCHEMES[number] });
    for (const path of pages) {
      await page.goto(`${SITE}/${path}`);
      const seen = await page.evaluate(() => ({
        width: document.documentElement.scrollWidth,
        broken: [...document.images].filter((image) => image.complete && !image.naturalWidth).map((image) => image.src),
        title: document.querySelector("h1")?.textContent,
      }));
      assert.ok(seen.title, `${path} has no heading`);
      assert.deepEqual(seen.broken, [], `${path}: pictures that are not there`);
      assert.ok(seen.width <= viewport.width, `${path} is ${seen.width} px wide on a screen of ${viewport.width}`);
      if (SHOWN.includes(path)) await page.screenshot({ path: `${PICTURES}/${path.replaceAll("/", "-")}-${viewport.width}.png` });
    }
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  }
  const page = await openPage(browser);
  await page.goto(`${SITE}/index.html`);
  await page.getByRole("textbox", { name: "Search" }).fill("FenceLost");
  const found = page.locator(".md-search-result__link");
  await found.first().waitFor();
  const names = await found.allTextContents();
  assert.ok(names.some((name) => /Reasons/.test(name)), names.join());
  await page.screenshot({ path: `${PICTURES}/search-1280.png` });
  assert.deepEqual(page.complaints, []);
  console.log(`seen: ${pages.length} pages`);
});
