import assert from "node:assert/strict";
import { test } from "node:test";
import { Expired, Fleet } from "../../../operator/connector_operator/api/static/console/store.js";

const at = (seconds) => new Date(Date.UTC(2026, 10, 1) + seconds * 1000).toISOString();
const connector = (name, more = {}) => ({ name, id: name.toUpperCase(), version: "5", updated: at(0), ...more });
const page = (names, more = "") => ({ namespace: "n", connectors: names.map((name) => connector(name)), continue: more, version: "9" });
const running = (rows, seconds, run = 1) => connector("a", { updated: at(seconds), progress: { run, rows, lagSeconds: 2 } });
const ms = (seconds) => Date.parse(at(seconds));

test("a list in pages replaces what was known, at its end", () => {
  const fleet = new Fleet();
  fleet.addPage(page(["a", "b"], "more"), true);
  assert.equal(fleet.isWhole, false);
  fleet.addPage(page(["c"]), false);
  assert.deepEqual([...fleet.connectors.keys()], ["a", "b", "c"]);
  assert.deepEqual([fleet.version, fleet.isWhole, fleet.namespace], ["9", true, "n"]);
  fleet.addPage(page(["b"], "more"), true);
  assert.equal(fleet.connectors.size, 3);
  fleet.addPage(page(["d"]), false);
  assert.deepEqual([...fleet.connectors.keys()], ["b", "d"]);
});

test("events change one connector and the version", () => {
  const fleet = new Fleet();
  fleet.addPage(page(["a"]), true);
  assert.equal(fleet.addEvent({ event: "changed", connector: connector("b", { version: "12" }) }), "b");
  assert.equal(fleet.version, "12");
  assert.equal(fleet.addEvent({ event: "seen", version: "20" }), "");
  assert.equal(fleet.addEvent({ event: "deleted", name: "a", id: "A", version: "21" }), "a");
  assert.deepEqual([[...fleet.connectors.keys()], fleet.version], [["b"], "21"]);
  assert.throws(() => fleet.addEvent({ event: "expired" }), Expired);
});

test("rows per second come from two reports of one execution", () => {
  const fleet = new Fleet();
  assert.equal(fleet.rateOf("a", ms(0)), null);
  fleet.put(running(100, 0));
  assert.equal(fleet.rateOf("a", ms(0)), null);
  fleet.put(running(100, 5)); // the same report again
  fleet.put(running(700, 60));
  assert.equal(fleet.rateOf("a", ms(61)), 10);
  assert.equal(fleet.rateOf("a", ms(60 + 151)), 0);
  fleet.put(running(5, 120, 2)); // another execution counts from its own start
  assert.equal(fleet.rateOf("a", ms(121)), null);
  fleet.put(running(65, 180, 2));
  assert.equal(fleet.rateOf("a", ms(181)), 1);
  const { rates, lags } = fleet.seriesOf("a");
  assert.deepEqual(rates.map(({ value }) => value), [10, 1]);
  assert.equal(lags.length, 4);
});

test("what was seen of one is bounded, and goes with it", () => {
  const fleet = new Fleet();
  for (let minute = 0; minute < 200; minute += 1) fleet.put(running(minute, minute * 60));
  // An hour of reports, one a minute.
  assert.deepEqual([fleet.points.get("a").length, fleet.points.get("a")[0].at * 1000], [61, ms(139 * 60)]);
  fleet.remove("a");
  assert.equal(fleet.points.size, 0);
});
