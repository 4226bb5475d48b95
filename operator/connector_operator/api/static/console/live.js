// Keeps the fleet as it is in the cluster: the list in pages, then a watch, for as long as the page is open.

import { Expired } from "./store.js";

const FIRST_PAGE = 100;
const PAGE = 500;
const LONGEST_PAUSE = 30;

export class Live {
  /**
   * @param {import("./session.js").Session} session
   * @param {import("./store.js").Fleet} fleet
   * @param {(names: Set<string>|null) => void} onChange null after a page of the list
   * @param {(link: {state: string, refusal?: Error}) => void} onLink state: loading, live, lost, refused
   */
  constructor(session, fleet, onChange, onLink) {
    Object.assign(this, { session, fleet, onChange, onLink });
    this.end = new AbortController();
  }

  stop() {
    this.end.abort();
  }

  /** Runs until `stop`, or until the API refuses (401, 403): that a person must mend. */
  async run() {
    let failures = 0;
    while (!this.end.signal.aborted) {
      try {
        this.onLink({ state: this.fleet.isWhole ? "live" : "loading" });
        if (!this.fleet.version) await this.#list();
        failures = 0;
        this.onLink({ state: "live" });
        await this.#watch();
      } catch (error) {
        if (this.end.signal.aborted) return;
        if (error.status === 401 || error.status === 403) {
          this.onLink({ state: "refused", refusal: error });
          return;
        }
        this.fleet.version = "";
        if (error instanceof Expired) continue;
        failures += 1;
        this.onLink({ state: "lost", refusal: error });
        await this.#pause(Math.min(LONGEST_PAUSE, 2 ** (failures - 1)));
      }
    }
  }

  async #list() {
    let after = "";
    do {
      const query = `limit=${after ? PAGE : FIRST_PAGE}${after ? `&continue=${encodeURIComponent(after)}` : ""}`;
      const page = await this.session.get(`v1/fleet?${query}`);
      this.fleet.addPage(page, !after);
      this.onChange(null);
      after = page.continue;
    } while (after && !this.end.signal.aborted);
  }

  async #watch() {
    const path = `v1/fleet/watch?version=${this.fleet.version}`;
    await this.session.follow(path, (event) => this.onChange(new Set([this.fleet.addEvent(event)])), this.end.signal);
  }

  #pause(seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.end.signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }
}
