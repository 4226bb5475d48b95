// Keeps the fleet as it is in the cluster: the list in pages, then a watch, for as long as the page is open.

import { Expired } from "./store.js";

const FIRST_PAGE = 100;
const PAGE = 500;
const LONGEST_PAUSE = 30;
/** How often the list is read by who may not watch it. */
const READ_AGAIN = 30;
/** So often in a row a list is begun again at once because the cluster has forgotten it meanwhile. */
const MOST_EXPIRED = 3;

export class Live {
  /**
   * @param {import("./session.js").Session} session
   * @param {import("./store.js").Fleet} fleet
   * @param {(names: Set<string>|null) => void} onChange null after a page of the list
   * @param {(link: {state: string, refusal?: Error}) => void} onLink state: loading, live, listed (but not watched), lost, refused
   */
  constructor(session, fleet, onChange, onLink) {
    Object.assign(this, { session, fleet, onChange, onLink });
    this.end = new AbortController();
  }

  get isOver() {
    return this.end.signal.aborted;
  }

  stop() {
    this.end.abort();
  }

  /** Runs until `stop`, or until the API refuses (401, 403 for the list): that a person must mend. */
  async run() {
    let failures = 0;
    let expired = 0;
    while (!this.end.signal.aborted) {
      let isListed = Boolean(this.fleet.version);
      try {
        if (!this.fleet.isWhole) this.onLink({ state: "loading" });
        if (!isListed) await this.#list();
        isListed = true;
        await this.#watch(() => {
          failures = expired = 0;
          this.onLink({ state: "live" });
        });
      } catch (error) {
        if (this.end.signal.aborted) return;
        this.fleet.version = "";
        if ((error instanceof Expired || error.status === 410) && (expired += 1) <= MOST_EXPIRED) continue;
        if (error.status === 403 && isListed) {
          this.onLink({ state: "listed", refusal: error });
          await this.#pause(READ_AGAIN);
        } else if (error.status === 401 || error.status === 403) {
          this.onLink({ state: "refused", refusal: error });
          return;
        } else {
          failures += 1;
          this.onLink({ state: "lost", refusal: error });
          await this.#pause(Math.min(LONGEST_PAUSE, 2 ** (failures - 1)));
        }
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

  /** Follows the changes until the watch ends, which is no failure; `onOpen` is called once it is allowed. */
  async #watch(onOpen) {
    const path = `v1/fleet/watch?version=${this.fleet.version}`;
    const take = (event) => this.onChange(new Set([this.fleet.addEvent(event)]));
    await this.session.follow(path, take, this.end.signal, { onOpen });
  }

  #pause(seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.end.signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }
}
