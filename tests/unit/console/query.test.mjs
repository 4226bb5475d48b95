import assert from "node:assert/strict";
import { test } from "node:test";
import { countStates, select, SORTS } from "../../../operator/connector_operator/api/static/console/query.js";

const one = (id, more = {}) => ({ id, name: id.toLowerCase(), type: "MYSQL", dataset: "rows", streams: "shop.*", state: "running", ready: "True", reason: "Running", message: "", asked: "running", created: "2026-11-01T00:00:00Z", ...more });
const FLEET = [
  one("b10", { progress: { lagSeconds: 9, text: "x" } }), one("b9", { type: "COINBASE", created: "2026-11-02T00:00:00Z" }),
  one("a", { state: "errored", ready: "False", reason: "CrashLoop", message: "the exchange closed" }), one("c", { state: "stopped", asked: "stopped", progress: { lagSeconds: 1 } }),
];
const ids = (query, rates = () => null) => select(FLEET, { text: "", state: "", type: "", sort: "name", isDown: false, ...query }, rates).map(({ id }) => id);

test("names sort as people count", () => assert.deepEqual(ids({}), ["a", "b9", "b10", "c"]));

test("all words must be somewhere", () => {
  assert.deepEqual(ids({ text: "CRASH exchange" }), ["a"]);
  assert.deepEqual(ids({ text: "crash coinbase" }), []);
  assert.deepEqual(ids({ text: "  coinbase " }), ["b9"]);
  assert.deepEqual(select([one("x", { managedBy: { tool: "Argo CD" } }), one("y")], { text: "argo", state: "", type: "", sort: "name" }, () => null).length, 1);
});

test("filters by state, attention and type", () => {
  assert.deepEqual(ids({ state: "stopped" }), ["c"]);
  assert.deepEqual(ids({ state: "attention" }), ["a"]);
  assert.deepEqual(ids({ type: "COINBASE", state: "running" }), ["b9"]);
});

test("sorts by each column, unknown numbers first, and down", () => {
  assert.deepEqual(ids({ sort: "lag" }), ["a", "b9", "c", "b10"]);
  assert.deepEqual(ids({ sort: "lag", isDown: true }).slice(0, 2), ["b10", "c"]);
  assert.deepEqual(ids({ sort: "rate", isDown: true }, (name) => (name === "b9" ? 5 : null))[0], "b9");
  assert.deepEqual(ids({ sort: "state" })[0], "a");
  assert.deepEqual(ids({ sort: "age" })[0], "b9");
  for (const sort of SORTS) assert.equal(ids({ sort }).length, FLEET.length);
});

test("counts of states", () => {
  const counts = countStates(FLEET);
  assert.deepEqual([counts[""], counts.attention, counts.running, counts.stopped, counts.pending], [4, 1, 2, 1, 0]);
});
