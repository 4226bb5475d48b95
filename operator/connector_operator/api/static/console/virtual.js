// A list of which only the rows in sight exist, so that ten thousand scroll as easily as ten.

import { h } from "./dom.js";

const SPARE = 6; // rows above and below what is in sight

export class VirtualList {
  /**
   * @param {object} options
   * @param {HTMLElement} options.scroller the element that scrolls; the rows go into it
   * @param {() => number} options.height of a row in pixels
   * @param {(item: any, index: number) => HTMLElement} options.build a row
   * @param {(row: HTMLElement, item: any, index: number) => void} options.update brings a row up to date
   * @param {(item: any) => string} options.keyOf what identifies an item
   */
  constructor({ scroller, height, build, update, keyOf }) {
    Object.assign(this, { scroller, height, build, update, keyOf });
    this.items = [];
    this.rows = new Map();
    this.canvas = h("div.canvas", { role: "presentation" });
    scroller.append(this.canvas);
    scroller.addEventListener("scroll", () => this.#soon(), { passive: true });
    scroller.addEventListener("keydown", (event) => this.#move(event));
    this.observer = new ResizeObserver(() => this.#soon());
    this.observer.observe(scroller);
  }

  set(items) {
    this.items = items;
    this.draw();
  }

  /** Draws what is in sight; rows that stay keep their elements and the focus. Of one that goes, the row at its place gets it. */
  draw() {
    this.waiting = false;
    const focused = this.canvas.contains(document.activeElement) ? document.activeElement : null;
    const place = focused?.closest("[data-index]")?.dataset.index;
    const height = this.height();
    this.canvas.style.height = `${this.items.length * height}px`;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - SPARE);
    const last = Math.min(this.items.length, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / height) + SPARE);
    const kept = new Map();
    for (let index = first; index < last; index += 1) {
      const item = this.items[index];
      const key = this.keyOf(item);
      const row = this.rows.get(key) || this.build(item, index);
      this.rows.delete(key);
      row.style.transform = `translateY(${index * height}px)`;
      row.style.height = `${height}px`;
      this.update(row, item, index);
      kept.set(key, row);
    }
    for (const row of this.rows.values()) row.remove();
    this.rows = kept;
    this.#arrange([...kept.values()]);
    if (focused && focused !== document.activeElement) (focused.isConnected ? focused : this.#linkAt(place) || this.scroller).focus({ preventScroll: true });
  }

  #linkAt(index) {
    return [...this.rows.values()].find((one) => one.dataset.index === String(index))?.querySelector("a, button, input");
  }

  /** Puts the rows into the order in which a screen reader should find them, without moving those that stand right. */
  #arrange(rows) {
    let place = this.canvas.firstElementChild;
    for (const row of rows) {
      if (row === place) place = place.nextElementSibling;
      else this.canvas.insertBefore(row, place);
    }
  }

  #soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => this.draw());
  }

  /** Arrow keys, Home and End move the focus from row to row. */
  #move(event) {
    const row = event.target.closest?.("[data-index]");
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.target.matches("input, textarea, select")) return;
    event.preventDefault();
    const from = row ? Number(row.dataset.index) : -1;
    const to = Math.max(0, Math.min(this.items.length - 1, from + steps[event.key]));
    this.reveal(to);
    this.#linkAt(to)?.focus({ preventScroll: true });
  }

  reveal(index) {
    const height = this.height();
    const top = index * height;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + height > scrollTop + clientHeight) this.scroller.scrollTop = top + height - clientHeight;
    this.draw();
  }

  end() {
    this.observer.disconnect();
  }
}
