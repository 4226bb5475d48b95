// The source's streams: search, what each does now, and which the connector carries.

import { confirmOwned, run } from "./actions.js";
import { AllStreams } from "./all-streams.js";
import { h, redraw, show } from "./dom.js";
import { mergeStreams, searchStreams, whyNot } from "./listing.js";
import { compileSelection, quote, readLines } from "./patterns.js";
import { activitiesOf, buildSelection, carriedBy } from "./selection.js";
import { VirtualList } from "./virtual.js";
import { formatCount, plural } from "./words.js";

const ROW = 40;

export class StreamsCard {
  constructor({ session }) {
    this.session = session;
    this.picked = null; // ids that are ticked while a selection is made; null: none is being made
    this.search = h("input.search", { type: "search", placeholder: "Search streams", "aria-label": "Search streams", autocomplete: "off", spellcheck: "false", oninput: () => this.#drawList() });
    this.opener = h("button.button.small", { type: "button", onclick: () => this.#open() }, "Select …");
    this.summary = h("p.found", { role: "status" });
    this.notes = h("div.notes");
    this.scroller = h("div.stream-list", { tabindex: 0, role: "group", "aria-label": "Streams" });
    this.editor = h("form.editor", { hidden: true, onsubmit: (event) => { event.preventDefault(); this.#save(); } });
    this.why = h("div.notes", { role: "status" });
    this.all = new AllStreams({ session, onChange: () => this.set(this.detail) });
    this.list = new VirtualList({
      scroller: this.scroller, height: () => ROW, keyOf: (stream) => stream.id,
      build: () => buildStream((id, isPicked) => this.#pick(id, isPicked), (stream) => this.#sayWhy(stream)),
      update: (row, stream, index) => this.#fill(row, stream, index),
    });
    this.element = h("section.card", { "aria-label": "Streams" },
      h("header", {}, h("h2", {}, "Streams"), this.opener), this.summary, this.notes, this.all.element, this.editor, this.search, this.scroller, this.why);
  }

  end() {
    this.all.end();
  }

  set(detail) {
    this.detail = detail;
    this.carries = carriedBy(detail);
    this.activities = activitiesOf(detail.progress);
    this.failures = new Map((detail.progress?.failures || []).map((failure) => [failure.stream, failure]));
    this.all.set(detail);
    this.streams = mergeStreams(detail.streamList, this.all.streams);
    const listed = this.streams.length;
    const selected = detail.selectedStream || (detail.selectedStreams ? detail.selectedStreams.include.join(", ") : "");
    const number = detail.streamsTotal ? `${plural(detail.streamsTotal, "stream")} at the source` : "Not known yet";
    redraw(this.summary, number, selected ? [" · selected: ", h("b", {}, detail.selection.text || selected)] : listed ? " · none is selected" : "");
    redraw(this.notes, this.#buildNotes(detail));
    this.opener.disabled = !listed;
    this.opener.classList.toggle("primary", Boolean(listed) && !selected);
    this.search.hidden = listed < 8;
    this.scroller.hidden = !listed;
    if (this.picked === null) this.#drawList();
    else this.#preview();
  }

  #buildNotes(detail) {
    const problems = [...(detail.selection.problems || []), ...detail.discovery.notes].map((text) => h("p.hint", {}, text));
    const idle = Object.entries(detail.selection.idle || {}).map(([pattern, near]) => h("p.hint.warn", {}, `${pattern} matches no stream${near.length ? `; near: ${near.join(", ")}` : ""}.`));
    const failed = [...this.failures.values()].map((failure) => h("p.failure", {}, h("b", {}, failure.stream), ` ${failure.reason}: ${failure.message}`));
    return [...failed, ...idle, ...problems];
  }

  #drawList() {
    const found = searchStreams(this.streams, this.search.value);
    this.scroller.style.height = `${Math.min(8, Math.max(1, found.length)) * ROW + 2}px`;
    this.list.set(found);
  }

  #fill(row, stream, index) {
    const { box, name, about, now, why } = row.parts;
    row.dataset.index = String(index);
    const isCarried = this.carries(stream.id);
    box.disabled = this.picked === null;
    box.checked = this.picked === null ? isCarried : this.#isPicked(stream.id);
    box.setAttribute("aria-label", stream.id);
    box.dataset.id = stream.id;
    name.textContent = stream.id;
    about.textContent = [stream.key?.length ? `key ${stream.key.join(", ")}` : "no key", stream.columns ? plural(stream.columns, "column") : "", (stream.modes || []).join(", ")].filter(Boolean).join(" · ");
    now.textContent = this.activities.get(stream.id) || "";
    now.classList.toggle("bad", this.failures.has(stream.id));
    why.hidden = !whyNot(stream).length;
    why.setAttribute("aria-label", `Why not? ${stream.id}`);
    row.stream = stream;
    row.classList.toggle("carried", isCarried);
  }

  #sayWhy(stream) {
    show(this.why, h("div.banner.note", {}, h("b", {}, stream.id), whyNot(stream).map((text) => h("p", {}, text))));
  }

  #isPicked(id) {
    return this.preview ? this.preview(id) : this.picked.has(id);
  }

  #open() {
    const { detail } = this;
    const present = detail.selectedStreams;
    this.picked = new Set(detail.selectedStream ? [detail.selectedStream] : []);
    const includes = present?.include || [];
    this.include = h("textarea.code", { rows: 3, spellcheck: "false", "aria-label": "Patterns of streams to carry", value: (includes.length ? includes : [...this.picked].map(quote)).join("\n"), oninput: () => this.#preview() });
    this.exclude = h("textarea.code", { rows: 2, spellcheck: "false", "aria-label": "Patterns of streams to leave out", value: (present?.exclude || []).join("\n"), oninput: () => this.#preview() });
    this.added = h("select", { "aria-label": "Streams that the source gets later" }, h("option", { value: "follow" }, "are carried, too, if they match"), h("option", { value: "ignore" }, "are left alone"));
    this.added.value = present?.added || "follow";
    this.told = h("p.hint", { role: "status" });
    this.submit = h("button.button.primary", { type: "submit" }, "Save selection");
    show(this.editor,
      h("p.hint", {}, "Tick streams in the list, or write patterns, one a line: ", h("code", {}, "shop.*"), " takes every table of shop."),
      h("div.pair", {}, h("label", {}, "Carry", this.include), h("label", {}, "But not", this.exclude)),
      h("label.inline", {}, "Streams that the source gets later ", this.added),
      this.told, h("div.buttons", {}, this.submit, h("button.button", { type: "button", onclick: () => this.#close() }, "Cancel")));
    this.editor.hidden = false;
    this.#preview();
    (this.scroller.querySelector("input") || this.include).focus();
  }

  #close() {
    this.picked = null;
    this.preview = null;
    this.editor.hidden = true;
    this.opener.focus();
    this.#drawList();
  }

  /** A tick writes or removes the stream's own pattern. */
  #pick(id, isPicked) {
    const [includes, excludes] = [readLines(this.include.value), readLines(this.exclude.value)];
    const own = quote(id);
    const without = (lines) => lines.filter((line) => line !== own && line !== id);
    if (isPicked) {
      this.exclude.value = without(excludes).join("\n");
      this.include.value = (this.#takes({ include: includes, exclude: without(excludes) }, id) ? includes : [...includes, own]).join("\n");
    } else {
      const left = without(includes);
      this.include.value = left.join("\n");
      if (this.#takes({ include: left, exclude: excludes }, id)) this.exclude.value = [...excludes, own].join("\n");
    }
    this.#preview();
  }

  #takes(selection, id) {
    try {
      return compileSelection(selection)(id);
    } catch {
      return false;
    }
  }

  #preview() {
    const selection = this.#read();
    try {
      this.preview = compileSelection(selection);
      const taken = this.streams.filter((stream) => this.preview(stream.id)).length;
      show(this.told, `Takes ${formatCount(taken)} of the ${plural(this.streams.length, "listed stream")}.`);
      this.submit.disabled = selection.include.length === 0;
    } catch (error) {
      show(this.told, error.message);
      this.submit.disabled = true;
    }
    this.#drawList();
  }

  #read() {
    return { include: readLines(this.include.value), exclude: readLines(this.exclude.value), added: this.added.value };
  }

  async #save() {
    const { detail } = this;
    if (!(await confirmOwned(detail))) return;
    const body = buildSelection(this.#read(), this.streams.map((stream) => stream.id), detail.selectedStreams);
    if (await run(this.submit, `Selected streams of ${detail.id}.`, () => this.session.put(`v1/connectors/connector/${encodeURIComponent(detail.id)}`, body))) this.#close();
  }
}

function buildStream(onPick, onWhy) {
  const box = h("input", { type: "checkbox", onchange: () => onPick(box.dataset.id, box.checked) });
  const parts = { box, name: h("b"), about: h("span.dim"), now: h("span.now"), why: h("button.quiet.small", { type: "button", onclick: () => onWhy(row.stream) }, "Why not?") };
  const row = h("label.stream", {}, box, h("span.names", {}, parts.name, parts.about), parts.now, parts.why);
  row.parts = parts;
  return row;
}
