import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { compile, compileSelection, quote, readLines } from "../../../operator/connector_operator/api/static/console/patterns.js";
import { activitiesOf, buildSelection, carriedBy } from "../../../operator/connector_operator/api/static/console/selection.js";

test("the preview takes what the runner's own reading of patterns may take", () => {
  // Written by test_console_logic.py with the runner's code.
  for (const { pattern, taken } of JSON.parse(readFileSync(process.env.PATTERN_CASES))) {
    for (const [id, expected] of Object.entries(taken)) assert.equal(compile(pattern).test(id), expected, `${pattern} on ${id}`);
  }
});

test("what can't be read says so", () => {
  for (const bad of ["", "a.", ".a", "a..b", '"a', 'a"b', '"a"b']) assert.throws(() => compile(bad), /no pattern/, bad);
});

test("a selection is its patterns without the excluded", () => {
  const takes = compileSelection({ include: ["shop.*", "b"], exclude: ["shop.tmp_*"] });
  assert.deepEqual(["shop.a", "shop.tmp_1", "b", "c"].map(takes), [true, false, true, false]);
});

test("a quoted id takes just that stream", () => {
  for (const id of ["a.b", "a*b", 'say "x"', "ü.é", "a b"]) {
    assert.ok(compile(quote(id)).test(id));
    assert.ok(!compile(quote(id)).test(`${id}x`));
  }
  assert.deepEqual(readLines(" a \n\n b"), ["a", "b"]);
});

test("one name is one stream, anything else many; tables that were named stay", () => {
  const known = new Set(["a", "b*"]);
  const ask = (include, exclude = [], added = "follow", present = null) => buildSelection({ include, exclude, added }, known, present);
  assert.deepEqual(ask(["a"]), { selectedStream: "a", streams: null });
  assert.deepEqual(ask(['"b*"']), { selectedStream: "b*", streams: null });
  assert.deepEqual(ask(["a", "c"]), { streams: { include: ["a", "c"] }, selectedStream: null });
  assert.deepEqual(ask(["x"], ["y"], "ignore", { tables: { a: "t" } }).streams, { include: ["x"], exclude: ["y"], added: "ignore", tables: { a: "t" } });
});

test("which streams are carried, and what they do", () => {
  assert.ok(carriedBy({ selectedStream: "a" })("a"));
  const many = carriedBy({ selectedStreams: { include: ["s.*"] }, selection: { aside: ["s.x"] } });
  assert.deepEqual(["s.a", "s.x", "t.a"].map(many), [true, false, false]);
  assert.ok(!carriedBy({ selectedStreams: { include: ['"'] }, selection: {} })("a"));
  const found = activitiesOf({ slowest: [{ stream: "a", seconds: 9 }], copies: [{ stream: "b", done: 5, total: 10 }], failures: [{ stream: "a", reason: "R" }] });
  assert.deepEqual([...found], [["a", "failed: R"], ["b", "copying 50 %"]]);
  assert.equal(activitiesOf(undefined).size, 0);
});
