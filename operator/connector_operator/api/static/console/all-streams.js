// All streams of the source: a short Job made with the person's own rights lists them; the status has only 500.

import { buildCommands, h, redraw, show } from "./dom.js";
import { sayListed } from "./listing.js";
import { explain } from "./session.js";
import { formatCount, formatTime } from "./words.js";

export class AllStreams {
  constructor({ session, onChange }) {
    this.session = session;
    this.onChange = onChange;
    this.streams = [];
    this.about = h("p.hint");
    this.like = h("input", { type: "text", "aria-label": "Only streams like this pattern", placeholder: "All, or shop.*", autocomplete: "off", spellcheck: "false" });
    this.button = h("button.button.small", { type: "submit" });
    this.form = h("form.inline-form", { onsubmit: (event) => { event.preventDefault(); this.#ask(); } }, this.like, this.button);
    this.status = h("p.found", { role: "status" });
    this.failure = h("div.notes");
    this.element = h("div.all-streams", {}, h("div.line", {}, this.about, this.form), this.status, this.failure);
  }

  set(detail) {
    this.detail = detail;
    const listed = detail.streamList.length;
    const isCut = detail.streamsTotal > listed;
    this.element.hidden = !listed;
    this.like.hidden = !isCut;
    show(this.button, isCut ? `List all ${formatCount(detail.streamsTotal)}` : "Show why not");
    redraw(this.about, isCut
      ? `The status lists ${formatCount(listed)} of ${formatCount(detail.streamsTotal)}, those selected by name first; patterns take in all. A short Job with your rights lists the others, and what is not possible and why.`
      : "What is not possible with a stream, and why, a short Job with your rights asks the source.");
  }

  end() {
    this.asking?.abort();
  }

  async #ask() {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const like = this.like.hidden ? "" : this.like.value.trim();
    this.button.disabled = true;
    this.button.setAttribute("aria-busy", "true");
    show(this.failure);
    show(this.status, "Asking for a Job …");
    const come = [];
    let isOver = false;
    try {
      const path = `v1/fleet/connector/${encodeURIComponent(this.detail.id)}/streams?like=${encodeURIComponent(like)}`;
      await this.session.follow(path, (event) => {
        isOver ||= this.#take(event, come, like);
      }, asking.signal, { method: "POST" });
      if (!isOver) this.#fail("The answer broke off before all streams were listed. Try again.");
    } catch (error) {
      if (asking.signal.aborted) return;
      this.#fail(explain(error), error.commands);
    } finally {
      this.button.disabled = false;
      this.button.removeAttribute("aria-busy");
    }
  }

  /** Takes an event; returns whether it is the last. */
  #take(event, come, like) {
    switch (event.event) {
      case "made":
        show(this.status, `The Job ${event.job} is made; waiting for its pod …`);
        return false;
      case "waiting":
        show(this.status, `The Job is made: ${event.message}`);
        return false;
      case "streams":
        come.push(...event.streams);
        return false;
      case "listed":
        this.streams = come;
        show(this.status, sayListed(event, like, formatTime(new Date().toISOString())));
        this.onChange();
        return true;
      default: {
        const code = event.exitCode === null || event.exitCode === undefined ? "" : ` (exit code ${event.exitCode})`;
        this.#fail(`The streams could not be listed${code}: ${event.message || event.reason}`);
        return true;
      }
    }
  }

  #fail(text, commands = []) {
    show(this.status);
    show(this.failure, h("p.banner.bad", { role: "alert" }, text), buildCommands(commands));
  }
}
