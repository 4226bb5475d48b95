// The newest rows of the dataset: a short Job made with the person's own rights, watched until it has printed them.

import { buildCommands, h, redraw, show, uniqueId } from "./dom.js";
import { explain } from "./session.js";
import { carriedBy } from "./selection.js";
import { formatTime, plural } from "./words.js";

const LIMIT = 20;
/** Streams that are suggested at a time while a name is typed. */
const SUGGESTED = 50;

export class RowsCard {
  constructor({ session }) {
    this.session = session;
    const id = uniqueId("streams");
    this.stream = h("input", { type: "text", list: id, "aria-label": "Stream whose rows are shown", placeholder: "Stream", autocomplete: "off", spellcheck: "false", oninput: () => this.#suggest() });
    this.streams = h("datalist", { id });
    this.button = h("button.button.small", { type: "submit" }, "Show newest rows");
    this.form = h("form.inline-form", { onsubmit: (event) => { event.preventDefault(); this.#ask(); } }, this.stream, this.streams, this.button);
    this.status = h("p.found", { role: "status" });
    this.result = h("div.body");
    this.element = h("section.card", { "aria-label": "Newest rows" },
      h("header", {}, h("h2", {}, "Newest rows"), this.form),
      h("p.hint", {}, "Read from the dataset by a short Job that is made with your rights and removed at once. While it exists, its log holds the rows."),
      this.status, this.result);
  }

  set(detail) {
    const isOther = this.detail?.name !== detail.name;
    this.detail = detail;
    const carries = carriedBy(detail);
    this.carried = detail.streamList.map((stream) => stream.id).filter(carries);
    this.stream.hidden = !detail.selectedStreams;
    if (isOther && this.carried.length) [this.stream.value] = this.carried;
    this.element.hidden = !detail.dataset || (!detail.selectedStream && !detail.selectedStreams);
    if (document.activeElement !== this.stream) this.#suggest();
  }

  end() {
    this.asking?.abort();
  }

  #suggest() {
    const text = this.stream.value.toLowerCase();
    const near = this.carried.filter((id) => id.toLowerCase().includes(text));
    redraw(this.streams, (near.length ? near : this.carried).slice(0, SUGGESTED).map((value) => h("option", { value })));
  }

  async #ask() {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const stream = this.stream.hidden ? "" : this.stream.value.trim();
    this.button.disabled = true;
    this.button.setAttribute("aria-busy", "true");
    this.#say("Asking for a Job …");
    let isOver = false;
    try {
      const path = `v1/fleet/connector/${encodeURIComponent(this.detail.id)}/rows?limit=${LIMIT}&stream=${encodeURIComponent(stream)}`;
      await this.session.follow(path, (event) => {
        if (event.event === "made") this.#say(`The Job ${event.job} is made; waiting for its pod …`);
        else if (event.event === "waiting") this.#say(`The Job is made: ${event.message}`);
        else {
          isOver = true;
          this.#finish(event, stream);
        }
      }, asking.signal, { method: "POST" });
      if (!isOver) this.#fail("The answer broke off before there were rows. Try again.");
    } catch (error) {
      if (asking.signal.aborted) return;
      this.#fail(explain(error), error.commands);
    } finally {
      this.button.disabled = false;
      this.button.removeAttribute("aria-busy");
    }
  }

  #say(text) {
    this.status.textContent = text;
  }

  #finish(event, stream) {
    const of = stream || this.detail.selectedStream;
    if (event.event === "failed") {
      const code = event.exitCode === null || event.exitCode === undefined ? "" : ` (exit code ${event.exitCode})`;
      this.#fail(`The rows of ${of} could not be read${code}: ${event.message || event.reason}`);
      return;
    }
    if (!event.rows.length) {
      this.#say(`${of} has no rows in the dataset yet.`);
      show(this.result);
      return;
    }
    this.#say(`${plural(event.rows.length, "row")} of ${of}, the newest first, read ${formatTime(new Date().toISOString())}.${event.isWhole ? "" : " The rows are large: newer ones did not fit, and are left out."}`);
    show(this.result, buildTable(event, `Newest rows of ${of}`));
  }

  #fail(text, commands = []) {
    this.#say("");
    show(this.result, h("p.banner.bad", { role: "alert" }, text), buildCommands(commands));
  }
}

/** Rows as a table that scrolls by itself, the newest first. */
function buildTable({ columns, rows }, label) {
  const cell = (text) => (text === null ? h("td.null", {}, "NULL") : h("td", { title: text.length > 60 ? text : null }, text));
  return h("div.scroll", { tabindex: 0, role: "region", "aria-label": label },
    h("table", {},
      h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, [...rows].reverse().map((row) => h("tr", {}, row.map(cell))))));
}
