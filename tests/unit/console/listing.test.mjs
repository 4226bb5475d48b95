import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeStreams, sayListed, searchStreams, whyNot } from "../../../operator/connector_operator/api/static/console/listing.js";

const MANY = Array.from({ length: 10_000 }, (_, number) => ({ id: `shop.t${number}`, key: ["id"], modes: ["LOG_BASED"] }));

test("the source's order counts, and what only the status lists stays", () => {
  const ofStatus = [{ id: "gone" }, { id: "b", columns: 1 }];
  assert.equal(mergeStreams(ofStatus, []), ofStatus);
  assert.deepEqual(mergeStreams(ofStatus, [{ id: "a" }, { id: "b", columns: 2 }]), [{ id: "a" }, { id: "b", columns: 2 }, { id: "gone" }]);
  assert.equal(mergeStreams(MANY.slice(0, 500), MANY).length, 10_000);
});

test("a search has all words somewhere, those in the name first", () => {
  const streams = [{ id: "shop.a", key: ["order_id"], modes: ["FULL_TABLE"] }, { id: "shop.orders" }, { id: "b", unavailable: { LOG_BASED: "no Key" } }];
  const find = (text) => searchStreams(streams, text).map((stream) => stream.id);
  assert.deepEqual([find("ORDER"), find("order full"), find("log_based key"), find(" "), find("none")], [["shop.orders", "shop.a"], ["shop.a"], ["b"], ["shop.a", "shop.orders", "b"], []]);
  assert.deepEqual(searchStreams(MANY, "t9999").map((stream) => stream.id), ["shop.t9999"]);
});

test("why not is a sentence for the stream and for each mode", () => {
  assert.deepEqual(whyNot({ id: "a" }), []);
  assert.deepEqual(whyNot({ obstacle: "no right.", aside: "a shadow.", unavailable: { LOG_BASED: "no key." } }), ["It can't be read: no right.", "Only its exact name selects it: a shadow.", "Not LOG_BASED: no key."]);
});

test("what has come is said, and what has not", () => {
  assert.equal(sayListed({ listed: 10_000, matched: 10_000, total: 10_000 }, "", "today"), "All 10,000 streams, listed today.");
  assert.equal(sayListed({ listed: 1, matched: 1, total: 10_000 }, "*.a", "today"), "1 stream like *.a, of 10,000 at the source, listed today.");
  assert.equal(sayListed({ listed: 0, matched: 0, total: 10_000 }, "*.a", "today"), "0 streams like *.a, of 10,000 at the source, listed today.");
  assert.match(sayListed({ listed: 20_000, matched: 30_000, total: 30_000 }, "", "today"), /^20,000 of 30,000 streams arrived: .* Name a pattern/);
  assert.match(sayListed({ listed: 7, matched: null, total: null }, "", "today"), /^7 streams arrived/);
});
