// A line over time, drawn as SVG.

import { h, redraw, svg } from "./dom.js";
import { formatSeconds } from "./words.js";

const WIDTH = 560;
const HEIGHT = 120;
const TOP = 8;

/** Bounds and path of a series; a pure function of its points ({at, value}, at in seconds). */
export function trace(points, width = WIDTH, height = HEIGHT) {
  const first = points[0].at;
  const span = Math.max(1, points.at(-1).at - first);
  const most = Math.max(...points.map((point) => point.value), 0) || 1;
  const place = ({ at, value }) => [((at - first) / span) * width, TOP + (1 - value / most) * (height - TOP)];
  const line = points.map((point, index) => `${index ? "L" : "M"}${place(point).map((number) => number.toFixed(1)).join(" ")}`).join("");
  return { line, area: `${line}L${width} ${height}L0 ${height}Z`, most, span };
}

/** A plot with its title and the present value; `set` takes new points. */
export class Plot {
  /** @param {(value: number) => string} say a value in words */
  constructor(title, say) {
    this.say = say;
    this.title = title;
    this.value = h("b.value", {}, "–");
    this.body = h("div.canvas");
    this.element = h("figure.plot", {}, h("figcaption", {}, h("span", {}, title), this.value), this.body);
  }

  /** @param {string} until what there is to read while two points are not there */
  set(points, value, until) {
    this.value.textContent = value;
    if (points.length < 2) {
      redraw(this.body, h("p.hint", {}, until));
      return;
    }
    const { line, area, most, span } = trace(points);
    const label = `${this.title}: from ${this.say(points[0].value)} to ${this.say(points.at(-1).value)} in ${formatSeconds(span)}, at most ${this.say(most)}`;
    redraw(this.body,
      svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
        svg("path.area", { d: area }), svg("path.line", { d: line })),
      h("div.scale", { "aria-hidden": "true" }, h("span", {}, `${formatSeconds(span)} ago`), h("span", {}, `max ${this.say(most)}`), h("span", {}, "now")));
  }
}
