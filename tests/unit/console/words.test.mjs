import assert from "node:assert/strict";
import { test } from "node:test";
import { asSentence, byClicks, copiedPart, formatAge, formatCount, formatSeconds, formatShort, formatWhen, plural, toneOf, whyOf } from "../../../operator/connector_operator/api/static/console/words.js";

test("seconds and ages are said as kubectl says them", () => {
  assert.deepEqual([0, 119, 120, 7199, 7200, 172799, 172800].map(formatSeconds), ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
  assert.equal(formatSeconds(-5), "0s");
  const now = Date.parse("2026-11-01T00:10:00Z");
  assert.equal(formatAge("2026-11-01T00:00:00Z", now), "10m");
  assert.equal(formatAge("", now), "");
  assert.equal(formatWhen("2026-11-01T00:10:09Z", now), "in 9s");
  assert.equal(formatWhen("nonsense", now), "");
});

test("numbers have three digits at the most", () => {
  assert.deepEqual([0, 0.25, 7, 9.96, 999, 1000, 12_345, 2_500_000].map(formatShort), ["0", "0.3", "7", "10.0", "999", "1k", "12k", "2.5M"]);
  assert.equal(formatShort(Number.NaN), "");
  assert.equal(formatCount(1234567.4), "1,234,567");
  assert.deepEqual([plural(1, "stream"), plural(0, "stream"), plural(2000, "stream")], ["1 stream", "0 streams", "2,000 streams"]);
});

test("a connector's colour says whether a person must look", () => {
  const base = { state: "running", ready: "True", asked: "running", observed: true };
  assert.equal(toneOf(base), "good");
  assert.equal(toneOf({ ...base, ready: "False" }), "busy");
  assert.equal(toneOf({ ...base, stalled: true }), "bad");
  assert.equal(toneOf({ ...base, state: "errored" }), "bad");
  assert.equal(toneOf({ ...base, state: "stopped", asked: "stopped" }), "idle");
  assert.equal(toneOf({ ...base, state: "ready" }), "busy");
  assert.equal(toneOf({ ...base, state: "ready", asked: "" }), "idle");
  assert.equal(toneOf({ ...base, state: "pending", asked: "" }), "busy");
});

test("nothing is said while all is as it should be", () => {
  const base = { state: "running", ready: "True", observed: true, message: "m", reason: "R" };
  assert.equal(whyOf(base), "");
  assert.equal(whyOf({ ...base, ready: "False" }), "m");
  assert.equal(whyOf({ ...base, ready: "False", message: "" }), "R");
  assert.match(whyOf({ ...base, ready: "" }), /not looked/);
  assert.match(whyOf({ ...base, observed: false }), /change/);
  assert.equal(whyOf({ ...base, state: "received" }), "m");
});

test("a copy's part is known only with its whole", () => {
  assert.equal(copiedPart({ copying: 1, done: 5, total: 10 }), 0.5);
  assert.equal(copiedPart({ copying: 1, done: 50, total: 10 }), 1);
  assert.equal(copiedPart({ copying: 1, done: 5 }), null);
  assert.equal(copiedPart({ done: 5, total: 10 }), null);
  assert.equal(copiedPart(undefined), null);
});

test("a message begins with a capital, a name stays as it is", () => {
  assert.equal(asSentence("there is no Dataset"), "There is no Dataset");
  for (const text of ["shop.orders can't be read", "ws://nowhere: refused", "Ready", ""]) assert.equal(asSentence(text), text);
});

test("what a message has a person write into the manifest is a click here", () => {
  assert.equal(byClicks("Stopped as requested; set spec.status to running to continue where it left off."), "Stopped as requested; press Start to continue where it left off.");
  assert.equal(byClicks("8 streams. Select one in spec.selectedStream."), "8 streams. Select streams on this page.");
  assert.equal(byClicks("End the other one, then set spec.restartedAt to any new text."), "End the other one, then press Restart.");
  assert.equal(byClicks("Set `spec.selectedStream`."), "Select streams on this page.");
  assert.equal(byClicks("spec.streams: nothing matches"), "spec.streams: nothing matches");
});
