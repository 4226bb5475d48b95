// The running execution's own metrics, asked through the API server every few seconds while the page is looked at.

import { Refusal } from "./session.js";

const EVERY = 5000;
/** At the most after refusals that may pass: the pod begins, the API server does not reach it. The first are tried sooner. */
const LATER = 60_000;
/** So long are points kept: while the page is open, an hour at the most. */
const KEPT_SECONDS = 3600;

/** Rows per second, lag and the mean time of a commit between each two samples of one execution. Pure. */
export function readSeries(samples) {
  const series = { rates: [], lags: [], commits: [] };
  samples.forEach((sample, index) => {
    const { at } = sample;
    if (sample.lagSeconds !== null) series.lags.push({ at, value: sample.lagSeconds });
    const before = samples[index - 1];
    if (!before || before.run !== sample.run || sample.rows < before.rows || at <= before.at) return;
    series.rates.push({ at, value: (sample.rows - before.rows) / (at - before.at) });
    const commits = sample.commits - before.commits;
    if (commits > 0) series.commits.push({ at, value: (1000 * (sample.commitSeconds - before.commitSeconds)) / commits });
  });
  return series;
}

export class RunnerMetrics {
  /** @param {() => void} onChange called after each answer */
  constructor({ session, path, onChange }) {
    Object.assign(this, { session, path, onChange });
    this.samples = [];
    /** Why there is no answer; null while there is one. */
    this.refusal = null;
    this.refusals = 0;
    this.isWanted = false;
  }

  /** Whether an execution runs that can be asked. */
  want(isRunning) {
    if (isRunning === this.isWanted) return;
    this.isWanted = isRunning;
    this.refusals = 0;
    clearTimeout(this.timer);
    if (isRunning) this.#ask();
    else this.refusal = null;
  }

  get series() {
    return readSeries(this.samples);
  }

  get hasSeries() {
    return this.series.rates.length > 0;
  }

  end() {
    this.isWanted = false;
    clearTimeout(this.timer);
  }

  async #ask() {
    let pause = EVERY;
    if (!document.hidden) {
      try {
        this.#take(await this.session.get(this.path));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        this.refusal = error;
        // Who may not read them now is not asked again: each refusal stands in the cluster's audit log.
        pause = [401, 403].includes(error.status) ? null : Math.min(LATER, EVERY * 2 ** this.refusals);
        this.refusals += 1;
      }
      if (!this.isWanted) return;
      this.onChange();
    }
    if (pause !== null) this.timer = setTimeout(() => this.#ask(), pause);
  }

  #take(sample) {
    this.refusal = null;
    this.refusals = 0;
    this.samples.push(sample);
    while (this.samples[0].at < sample.at - KEPT_SECONDS) this.samples.shift();
  }
}
