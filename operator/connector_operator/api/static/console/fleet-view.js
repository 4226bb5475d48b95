// All connectors in one table.

import { h, show } from "./dom.js";
import { countStates, select, STATES } from "./query.js";
import { copiedPart, formatAge, formatSeconds, formatShort, plural, toneOf, whyOf } from "./words.js";
import { VirtualList } from "./virtual.js";

const COLUMNS = [
  ["name", "Connector"],
  ["streams", "Streams"],
  ["dataset", "Dataset"],
  ["state", "State"],
  ["rate", "Rows/s"],
  ["lag", "Lag"],
  ["progress", "Progress"],
  ["age", "Age"],
];
const STATE_WORDS = { "": "All", attention: "Need attention" };
/** Milliseconds between two drawings, so that scrolling has the time in between. */
const DRAW_PAUSE = 150;
const NARROW = matchMedia("(max-width: 760px)");

/** What is looked for; kept while the page is open, so that going back shows the same. */
export const query = { text: "", state: "", type: "", sort: "name", isDown: false };

export class FleetView {
  constructor({ fleet, types }) {
    this.fleet = fleet;
    this.types = types;
    this.states = h("div.states", { role: "group", "aria-label": "Filter by state" });
    this.found = h("p.found", { role: "status" });
    this.search = h("input.search", {
      type: "search", placeholder: "Search name, stream, dataset, reason", "aria-label": "Search connectors", value: query.text, autocomplete: "off",
      spellcheck: "false", oninput: () => { query.text = this.search.value; this.#again(); },
    });
    this.heads = h("div.row.head", { role: "row", "aria-rowindex": 1 });
    this.scroller = h("div.rows", { tabindex: 0, role: "rowgroup", "aria-label": "Connectors" });
    this.empty = h("div.empty", { hidden: true });
    this.table = h("div.table", { role: "table", "aria-label": "Connectors" }, h("div", { role: "rowgroup" }, this.heads), this.scroller);
    this.list = new VirtualList({
      scroller: this.scroller,
      height: () => (NARROW.matches ? 92 : 52),
      build: () => buildRow(),
      update: (row, connector, index) => this.#fill(row, connector, index),
      keyOf: (connector) => connector.name,
    });
    this.element = h("main.fleet", { id: "main", tabindex: -1 },
      h("div.title", {}, h("h1", {}, "Connectors"), h("a.button.primary", { href: "#/new" }, "New connector")),
      h("div.tools", {}, this.search, this.#typeChoice(), this.#sortChoice()),
      this.states, this.found, this.table, this.empty);
    this.#drawHeads();
    this.timer = setInterval(() => this.update(), 1000);
  }

  /** Draws again, at once or soon after the last time: of a large fleet changes come many times a second. */
  update() {
    if (this.waiting) return;
    this.waiting = true;
    const pause = Math.max(0, (this.drawnAt || 0) + DRAW_PAUSE - performance.now());
    setTimeout(() => requestAnimationFrame(() => {
      this.waiting = false;
      this.#draw();
      this.drawnAt = performance.now();
    }), pause);
  }

  end() {
    clearInterval(this.timer);
    this.list.end();
  }

  #draw() {
    const now = Date.now();
    const all = [...this.fleet.connectors.values()];
    const found = select(all, query, (name) => this.fleet.rateOf(name, now));
    this.#drawStates(countStates(all));
    this.table.setAttribute("aria-rowcount", String(found.length + 1));
    this.table.hidden = found.length === 0;
    this.list.set(found);
    const isFiltered = query.text || query.state || query.type;
    show(this.found, isFiltered ? `${plural(found.length, "connector")} of ${all.length}` : "");
    this.empty.hidden = found.length > 0;
    if (!found.length) this.#drawEmpty(all.length);
  }

  /** Drawn anew only when it says something else, so that the focus stays on its button. */
  #drawEmpty(total) {
    const said = JSON.stringify([this.fleet.isWhole, total > 0]);
    if (said === this.emptySaid) return;
    this.emptySaid = said;
    show(this.empty, ...this.#sayEmpty(total));
  }

  #sayEmpty(total) {
    if (!this.fleet.isWhole) return [h("p", {}, "Loading connectors …")];
    if (total) return [h("h2", {}, "Nothing matches"), h("p", {}, "No connector fits the search and the filters."), h("button", { type: "button", onclick: () => this.#clear() }, "Show all")];
    return [
      h("h2", {}, "No connectors yet"),
      h("p", {}, `The namespace ${this.fleet.namespace} has none. A connector carries streams of a source (COINBASE, ETHEREUM, MYSQL) into a dataset.`),
      h("a.button.primary", { href: "#/new" }, "Make the first one"),
    ];
  }

  #clear() {
    Object.assign(query, { text: "", state: "", type: "" });
    this.search.value = "";
    this.typeInput.value = "";
    this.#again();
  }

  /** What a person has asked for is shown at once. */
  #again() {
    this.scroller.scrollTop = 0;
    this.drawnAt = 0;
    this.#drawHeads();
    this.update();
  }

  #typeChoice() {
    this.typeInput = h("select", { "aria-label": "Filter by type", onchange: () => { query.type = this.typeInput.value; this.#again(); } },
      h("option", { value: "" }, "All types"), ...this.types.map((type) => h("option", { value: type }, type)));
    this.typeInput.value = query.type;
    return this.typeInput;
  }

  #sortChoice() {
    const sort = h("select.only-narrow", { "aria-label": "Sort by", onchange: () => { query.sort = sort.value; this.#again(); } },
      ...COLUMNS.map(([key, title]) => h("option", { value: key }, `By ${title.toLowerCase()}`)));
    sort.value = query.sort;
    return sort;
  }

  #drawStates(counts) {
    const shown = ["", "attention", ...STATES].filter((state) => !state || counts[state] || query.state === state);
    const text = JSON.stringify([shown, counts, query.state]);
    if (text === this.statesText) return;
    this.statesText = text;
    const focused = this.states.contains(document.activeElement) ? document.activeElement.dataset.state : null;
    show(this.states, shown.map((state) =>
      h(`button.chip.${state || "all"}`, {
        type: "button", "aria-pressed": String(query.state === state), data: { state },
        onclick: () => { query.state = query.state === state ? "" : state; this.#again(); },
      }, h("span", {}, STATE_WORDS[state] || capital(state)), h("b", {}, counts[state].toLocaleString("en-US")))));
    if (focused !== null) [...this.states.children].find((chip) => chip.dataset.state === focused)?.focus();
  }

  #drawHeads() {
    show(this.heads, COLUMNS.map(([key, title]) => {
      const isSorted = query.sort === key;
      return h(`div.cell.${key}`, { role: "columnheader", "aria-sort": isSorted ? (query.isDown ? "descending" : "ascending") : "none" },
        h("button.sort", { type: "button", data: { key }, onclick: () => this.#sortBy(key) }, title, isSorted ? h("span.way", { "aria-hidden": "true" }, query.isDown ? "↓" : "↑") : null));
    }));
  }

  #sortBy(key) {
    query.isDown = query.sort === key ? !query.isDown : ["rate", "lag"].includes(key);
    query.sort = key;
    this.#again();
    this.heads.querySelector(`[data-key="${key}"]`)?.focus();
  }

  #fill(row, connector, index) {
    row.dataset.index = String(index);
    row.setAttribute("aria-rowindex", String(index + 2));
    const now = Date.now();
    const rate = this.fleet.rateOf(connector.name, now);
    const lag = connector.progress?.lagSeconds;
    const text = [connector.version, rate, Math.floor(now / 5000)].join();
    if (row.dataset.text === text) return;
    row.dataset.text = text;
    const { link, type, streams, dataset, state, rows, behind, progress, age } = row.parts;
    link.textContent = connector.id;
    link.setAttribute("href", `#/connector/${encodeURIComponent(connector.id)}`);
    type.textContent = connector.managedBy ? `${connector.type} · ${connector.managedBy.tool}` : connector.type;
    streams.textContent = connector.streams || (connector.streamsTotal ? `none of ${connector.streamsTotal}` : "–");
    streams.title = connector.streams;
    dataset.textContent = connector.dataset || "–";
    show(state, pill(connector), h("span.why", { title: whyOf(connector) }, whyOf(connector)));
    rows.textContent = connector.state !== "running" ? "–" : rate === null ? "…" : formatShort(rate);
    rows.title = rate === null && connector.state === "running" ? "Known from the runner's second report on, within two minutes" : "";
    behind.textContent = lag === undefined || lag === null ? "–" : formatSeconds(lag);
    behind.classList.toggle("late", lag > 60);
    show(progress, bar(connector.progress), h("span.text", {}, connector.progress?.text || "–"));
    age.textContent = formatAge(connector.created, now);
  }
}

function buildRow() {
  const part = (name, label) => h(`div.cell.${name}`, { role: "cell", data: { label } });
  const parts = {
    link: h("a", { href: "#/" }), type: h("span.type"), streams: part("streams", "Streams"), dataset: part("dataset", "Dataset"), state: part("state", ""),
    rows: part("rate", "Rows/s"), behind: part("lag", "Lag"), progress: part("progress", "Progress"), age: part("age", "Age"),
  };
  const name = h("div.cell.name", { role: "cell" }, parts.link, parts.type);
  const row = h("div.row", { role: "row", onclick: (event) => { if (event.target !== parts.link && !getSelection().toString()) parts.link.click(); } },
    name, parts.streams, parts.dataset, parts.state, parts.rows, parts.behind, parts.progress, parts.age);
  row.parts = parts;
  return row;
}

/** The state as a coloured word. */
export function pill(connector) {
  return h(`span.pill.${toneOf(connector)}`, {}, h("span.dot", { "aria-hidden": "true" }), connector.state);
}

/** How much of the copies is done, as a bar; nothing when that is not known. */
export function bar(progress) {
  const part = copiedPart(progress);
  return part === null ? null : h("progress", { max: 1, value: part, "aria-label": "Copied" });
}

function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
