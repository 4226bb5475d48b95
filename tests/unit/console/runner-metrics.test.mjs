import assert from "node:assert/strict";
import { test } from "node:test";
import { readSeries, RunnerMetrics } from "../../../operator/connector_operator/api/static/console/runner-metrics.js";
import { Refusal } from "../../../operator/connector_operator/api/static/console/session.js";

const sample = (at, rows, more = {}) => ({ at, rows, run: 1, lagSeconds: 2, commits: 0, commitSeconds: 0, ...more });

test("rates and commits are those between two samples of one execution", () => {
  const { rates, lags, commits } = readSeries([sample(10, 0), sample(15, 50, { commits: 2, commitSeconds: 0.01 }), sample(20, 50, { commits: 2, commitSeconds: 0.01 })]);
  assert.deepEqual(rates, [{ at: 15, value: 10 }, { at: 20, value: 0 }]);
  assert.deepEqual(commits, [{ at: 15, value: 5 }]);
  assert.equal(lags.length, 3);
});

test("another execution counts from zero, and an unknown lag is no point", () => {
  const { rates, lags } = readSeries([sample(10, 900), sample(15, 5, { run: 2, lagSeconds: null }), sample(20, 3, { run: 2 }), sample(20, 9, { run: 2 })]);
  assert.deepEqual(rates, []);
  assert.equal(lags.length, 3);
});

/** Asks once; says what came of it and after how long it asks again (null: never). */
async function askOnce(answer) {
  const waits = [];
  globalThis.document = { hidden: false };
  const { setTimeout: before } = globalThis;
  globalThis.setTimeout = (_, milliseconds) => void waits.push(milliseconds);
  try {
    const metrics = new RunnerMetrics({ session: { get: answer }, path: "p", onChange: () => {} });
    metrics.want(true);
    await new Promise((resolve) => setImmediate(resolve));
    metrics.end();
    return { metrics, wait: waits[0] ?? null };
  } finally {
    globalThis.setTimeout = before;
  }
}

test("who may not read them is not asked again; what may pass is tried later", async () => {
  const asked = await askOnce(async () => sample(10, 1));
  assert.deepEqual([asked.metrics.samples.length, asked.wait], [1, 5000]);
  for (const [status, wait] of [[403, null], [401, null], [502, 60_000], [409, 60_000], [0, 60_000]]) {
    const refused = await askOnce(async () => { throw new Refusal(status, "no"); });
    assert.deepEqual([refused.metrics.refusal.status, refused.wait, refused.metrics.hasSeries], [status, wait, false]);
  }
});

test("points of more than an hour ago are forgotten", async () => {
  let at = 0;
  const metrics = new RunnerMetrics({ session: { get: async () => sample((at += 1000), at) }, path: "p", onChange: () => {} });
  for (let turn = 0; turn < 6; turn += 1) {
    metrics.want(true);
    await new Promise((resolve) => setImmediate(resolve));
    metrics.want(false);
  }
  assert.deepEqual(metrics.samples.map((each) => each.at), [3000, 4000, 5000, 6000]);
});
