import assert from "node:assert/strict";
import { test } from "node:test";
import { sayUntil } from "../../../operator/connector_operator/api/static/console/cards.js";
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

/** Asks as often as there are answers; says what came of it and after how long it asked again each time (null: never). */
async function ask(...answers) {
  const waits = [];
  const again = [];
  globalThis.document = { hidden: false };
  const { setTimeout: before } = globalThis;
  globalThis.setTimeout = (run, milliseconds) => void (waits.push(milliseconds), again.push(run));
  try {
    const left = [...answers];
    const metrics = new RunnerMetrics({ session: { get: async () => left.shift()() }, path: "p", onChange: () => {} });
    metrics.want(true);
    while (left.length) {
      await new Promise((resolve) => setImmediate(resolve));
      again.shift()?.();
    }
    await new Promise((resolve) => setImmediate(resolve));
    metrics.end();
    return { metrics, waits };
  } finally {
    globalThis.setTimeout = before;
  }
}

const say = () => sample(10, 1);
const refuse = (status) => () => { throw new Refusal(status, "no"); };

test("who may not read them is not asked again; what may pass is tried later", async () => {
  const asked = await ask(say);
  assert.deepEqual([asked.metrics.samples.length, asked.waits], [1, [5000]]);
  for (const [status, waits] of [[403, []], [401, []], [502, [5000]], [409, [5000]], [0, [5000]]]) {
    const refused = await ask(refuse(status));
    assert.deepEqual([refused.metrics.refusal.status, refused.waits, refused.metrics.hasSeries], [status, waits, false]);
  }
});

test("a pod that begins is asked soon again, one that is not reached less and less often", async () => {
  const no = refuse(502);
  assert.deepEqual((await ask(no, no, no, no, no, no)).waits, [5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  assert.deepEqual((await ask(no, no, say, no)).waits, [5000, 10_000, 5000, 5000]);
});

test("an empty plot says until when, by where its points would come from", async () => {
  assert.match(sayUntil({ isWanted: true, refusal: null }), /in a moment/);
  assert.match(sayUntil({ isWanted: true, refusal: new Refusal(403, "no") }), /within about two minutes/);
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
