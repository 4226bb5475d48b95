// Draws the diagrams of the documents by mermaid in a real Chromium. Reads {NAME: TEXT} from stdin, prints {NAME: SVG}.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { withBrowser } from "../console/browser.mjs";

const require = createRequire(process.env.MERMAID);
const program = readFileSync(require.resolve("mermaid/dist/mermaid.min.js"), "utf8");
const diagrams = JSON.parse(readFileSync(0, "utf8"));

const drawn = await withBrowser(async (browser) => {
  const page = await browser.newPage();
  await page.addScriptTag({ content: program });
  return page.evaluate(async (diagrams) => {
    // Text as text, so that the picture is also right where no HTML is allowed inside of it (in <img>).
    const settings = { startOnLoad: false, theme: "neutral", htmlLabels: false, flowchart: { htmlLabels: false }, deterministicIds: true, fontFamily: "sans-serif" };
    globalThis.mermaid.initialize(settings);
    const drawn = {};
    for (const [name, text] of Object.entries(diagrams)) {
      const { svg } = await globalThis.mermaid.render(`d${name}`, text);
      const picture = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
      const [, , width, height] = picture.getAttribute("viewBox").split(" ").map(Number);
      picture.setAttribute("width", String(Math.ceil(width)));
      picture.setAttribute("height", String(Math.ceil(height)));
      drawn[name] = new XMLSerializer().serializeToString(picture);
    }
    return drawn;
  }, diagrams);
});
process.stdout.write(JSON.stringify(drawn));
