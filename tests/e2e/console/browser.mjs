// A real Chromium for the tests of the console: pages with a size and a colour scheme, axe, pictures.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.DRIVERS);
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core"), "utf8");

export const SIZES = [{ width: 1280, height: 800 }, { width: 390, height: 844 }, { width: 1600, height: 1000 }];
export const SCHEMES = ["light", "dark"];

/** Calls `use` with a browser that is closed afterwards. */
export async function withBrowser(use) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"] });
  try {
    return await use(browser);
  } finally {
    await browser.close();
  }
}

/**
 * A page in a context of its own. Whatever the browser complains of (errors, the policy, requests to elsewhere) is in `page.complaints`.
 * @param {{viewport?: object, colorScheme?: string}} options
 */
export async function openPage(browser, { viewport = SIZES[0], colorScheme = "light", origin = process.env.API, ...more } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, locale: "en-GB", timezoneId: "UTC", ...more });
  const page = await context.newPage();
  page.complaints = [];
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => page.complaints.push(`error: ${error.stack || error}`));
  page.on("console", (message) => {
    // A refused request is told by the browser itself; that the page shows it is what tests look for.
    if (!/Failed to load resource/.test(message.text())) page.complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(new URL(origin).origin)) page.complaints.push(`a request to ${request.url()}`);
  });
  return page;
}

/** Opens the console and gives it the token. */
export async function signIn(page, token = process.env.TOKEN, hash = "") {
  await page.goto(`${process.env.API}/${hash}`);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

/** What axe finds, one line each: none is right. */
export async function findBarriers(page) {
  // Through the debugger, which the page's policy does not concern.
  await page.evaluate(`${AXE}; undefined`);
  const { violations } = await page.evaluate("axe.run()");
  return violations.map((found) => `${found.id}: ${found.help}: ${found.nodes.map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
}
