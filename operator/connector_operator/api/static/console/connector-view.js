// One connector: what it does now, why, what may be done, and what was.

import { explain } from "./session.js";
import { act, ACTIONS, offered, remove } from "./actions.js";
import { buildConditions, buildNow, buildSettings, NowFigures } from "./cards.js";
import { h, redraw, show, toast } from "./dom.js";
import { pill } from "./fleet-view.js";
import { buildExecutions, buildLife } from "./history.js";
import { RowsCard } from "./rows-card.js";
import { RunnerMetrics } from "./runner-metrics.js";
import { StreamsCard } from "./streams-card.js";

/** After a change, the operator's events and Jobs follow a little later than the status. */
const SETTLING = 1500;

export class ConnectorView {
  constructor({ session, fleet, id }) {
    Object.assign(this, { session, fleet, id });
    this.detail = null;
    this.events = { list: [], refusal: null };
    this.executions = { list: [], refusal: null };
    this.head = h("div.title");
    this.title = h("div");
    this.owner = h("div.owner");
    this.buttons = h("div.buttons.actions");
    this.now = h("section.card.now", { "aria-label": "Now" });
    this.figures = new NowFigures();
    this.metrics = new RunnerMetrics({ session, path: this.#path("/metrics"), onChange: () => this.figures.set(this.detail, this.fleet, this.metrics) });
    this.streams = new StreamsCard({ session });
    this.rows = new RowsCard({ session });
    this.conditions = card("Conditions");
    this.life = card("Life");
    this.runs = card("Executions");
    this.settings = card("Settings");
    this.settings.head.append(h("a.button.small", { href: `#/connector/${encodeURIComponent(id)}/edit` }, "Edit"));
    this.manifest = this.#buildManifest();
    this.body = h("div.columns", {},
      h("div.column.wide", {}, this.now, this.figures.element, this.streams.element, this.rows.element, this.conditions.element),
      h("div.column", {}, this.life.element, this.runs.element, this.settings.element, this.manifest.element));
    this.element = h("main.page.connector", { id: "main", tabindex: -1 }, h("a.back", { href: "#/" }, "← Connectors"), this.head, this.owner, this.body);
    this.body.hidden = true;
    show(this.head, h("h1", {}, id), h("p.found", { role: "status" }, "Loading …"));
    this.#load();
    this.timer = setInterval(() => this.#draw(), 5000);
  }

  /** The fleet has changed; null: perhaps all of it. */
  update(names) {
    const name = this.detail?.name;
    if (name && names && !names.has(name)) return;
    const summary = name && this.fleet.connectors.get(name);
    if (name && this.fleet.isWhole && !summary) {
      this.#sayGone();
      return;
    }
    if (!summary || summary.version === this.detail.version || this.isLoading) return;
    this.#load();
  }

  end() {
    clearInterval(this.timer);
    clearTimeout(this.later);
    this.rows.end();
    this.streams.end();
    this.metrics.end();
    this.isEnded = true;
  }

  async #load() {
    this.isLoading = true;
    try {
      this.detail = await this.session.get(this.#path(""));
    } catch (error) {
      this.isLoading = false;
      if (error.status === 404) this.#sayGone();
      else show(this.head, h("h1", {}, this.id), h("p.banner.bad", { role: "alert" }, explain(error)));
      return;
    }
    this.isLoading = false;
    if (this.isEnded) return;
    this.#draw();
    this.#loadHistory();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.#loadHistory(), SETTLING);
    // What has come in meanwhile.
    this.update(null);
  }

  async #loadHistory() {
    const load = async (part) => {
      try {
        return { list: await this.session.get(this.#path(`/${part}`)), refusal: null };
      } catch (error) {
        return { list: [], refusal: error };
      }
    };
    [this.events, this.executions] = await Promise.all([load("events"), load("executions")]);
    if (!this.isEnded && this.detail) this.#drawHistory();
  }

  #draw() {
    const { detail } = this;
    if (!detail || this.isGone) return;
    document.title = `${detail.id} · Connectors`;
    this.body.hidden = false;
    redraw(this.title, h("h1", {}, detail.id),
      h("p.about", {}, pill(detail), h("span.tag", {}, detail.type), detail.dataset ? h("span", {}, "→ ", h("b", {}, detail.dataset)) : h("span.warn", {}, "no dataset"), detail.description ? h("span.dim", {}, detail.description) : null));
    show(this.head, this.title, this.#drawButtons(detail));
    const owner = detail.managedBy;
    redraw(this.owner, owner ? h("div.banner.note", {}, h("b", {}, `Managed by ${owner.tool}${owner.name ? ` (${owner.name})` : ""}. `), "Change it at its source: what is changed here is undone at the next sync.") : null);
    redraw(this.now, buildNow(detail, Date.now()));
    this.metrics.want(detail.state === "running");
    this.figures.set(detail, this.fleet, this.metrics);
    this.streams.set(detail);
    this.rows.set(detail);
    redraw(this.conditions.body, buildConditions(detail, Date.now()));
    redraw(this.settings.body, buildSettings(detail));
    show(this.manifest.text, detail.manifest);
    this.#drawHistory();
  }

  #drawHistory() {
    const now = Date.now();
    redraw(this.life.body, buildLife(this.detail, this.events, now));
    redraw(this.runs.body, buildExecutions(this.detail, this.executions, now));
  }

  /** The buttons stay the same elements, so that the focus stays on them while the page changes. */
  #drawButtons(detail) {
    this.made ??= Object.fromEntries(Object.entries(ACTIONS).map(([name, { word }]) => [name, this.#button(name, word)]));
    this.deleter ??= h("button.button.danger", { type: "button", onclick: () => this.#delete() }, "Delete");
    const may = offered(detail);
    const lead = { start: detail.state === "ready" || detail.state === "stopped" };
    for (const [name, button] of Object.entries(this.made)) {
      button.hidden = !may[name];
      button.classList.toggle("primary", Boolean(lead[name]));
    }
    show(this.buttons, Object.values(this.made), this.deleter);
    return this.buttons;
  }

  #button(name, word) {
    const button = h("button.button", { type: "button", onclick: () => act(this.session, this.detail, name, button) }, word);
    return button;
  }

  async #delete() {
    if (await remove(this.session, this.detail, this.deleter)) location.hash = "#/";
  }

  #buildManifest() {
    const made = card("Manifest");
    made.text = h("pre.code", { tabindex: 0, "aria-label": "Manifest as YAML" });
    const copy = h("button.button.small", { type: "button", onclick: () => this.#copy() }, "Copy");
    made.head.append(copy);
    show(made.body, h("p.hint", {}, "To keep under version control. Secrets are not in it: it names the Secret that has them."), h("details", {}, h("summary", {}, "Show YAML"), made.text));
    return made;
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.detail.manifest);
      toast("Copied the manifest.");
    } catch {
      const details = this.manifest.text.closest("details");
      details.open = true;
      getSelection().selectAllChildren(this.manifest.text);
      toast("The browser does not let this page copy (it does over HTTPS or on localhost). The text is selected: copy it by hand.", "bad");
    }
  }

  #sayGone() {
    this.isGone = true;
    this.body.hidden = true;
    show(this.owner);
    show(this.head, h("div", {}, h("h1", {}, this.id), h("p.banner.note", { role: "alert" }, "There is no connector of this name (any more). ", h("a", { href: "#/" }, "All connectors"))));
  }

  #path(part) {
    return `v1/fleet/connector/${encodeURIComponent(this.id)}${part}`;
  }
}

/** A box with a title; returns its parts. */
export function card(title) {
  const body = h("div.body");
  const head = h("header", {}, h("h2", {}, title));
  return { head, body, element: h("section.card", { "aria-label": title }, head, body) };
}
