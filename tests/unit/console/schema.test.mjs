import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldOfError, kindOf, listFields, pick, place, problemOfId, readValue, showValue } from "../../../operator/connector_operator/api/static/console/schema.js";

const SCHEMA = {
  type: "object", required: ["host", "port"],
  properties: {
    note: { type: "string" }, host: { type: "string" }, port: { type: "integer", default: 3306 },
    ssl: { type: "object", required: ["ca"], properties: { ca: { type: "string" }, key: { type: "string", format: "password" } } },
    products: { type: "array", items: { type: "string" } }, start: { type: ["integer", "string"] }, headers: { type: "object", format: "password" }, mode: { type: "string", enum: ["A", "B"] },
  },
};

test("fields of a schema: required first, objects opened, a required one with a default may stay empty", () => {
  const fields = listFields(SCHEMA);
  assert.deepEqual(fields.map(({ path }) => path), ["host", "note", "port", "ssl.ca", "ssl.key", "products", "start", "headers", "mode"]);
  assert.deepEqual(fields.filter(({ isRequired }) => isRequired).map(({ path }) => path), ["host"]);
  assert.deepEqual(fields.map(({ kind }) => kind), ["text", "text", "whole", "text", "secret", "list", "json", "secretJson", "choice"]);
});

test("kinds of schemas", () => {
  assert.equal(kindOf({ type: ["string", "null"] }), "text");
  assert.equal(kindOf({ type: "boolean" }), "switch");
  assert.equal(kindOf({ type: "array", items: { type: "object" } }), "json");
  assert.equal(kindOf({}), "json");
});

test("texts become values, empty ones nothing", () => {
  assert.equal(readValue("text", "  "), undefined);
  assert.equal(readValue("text", " a "), "a");
  assert.equal(readValue("secret", " a "), " a ");
  assert.equal(readValue("whole", "12"), 12);
  assert.throws(() => readValue("whole", "1.5"), /whole number/);
  assert.throws(() => readValue("number", "x"), /number/);
  assert.equal(readValue("switch", "false"), false);
  assert.deepEqual(readValue("list", "BTC-USD, ETH-USD\n\n*"), ["BTC-USD", "ETH-USD", "*"]);
  assert.deepEqual(readValue("json", '{"a": 1}'), { a: 1 });
  assert.equal(readValue("json", "12"), 12);
  assert.equal(readValue("json", "latest"), "latest");
  assert.equal(readValue("json", "-x"), "-x");
  assert.throws(() => readValue("json", "{"), /not valid JSON/);
});

test("a value is shown as it is written", () => {
  for (const [kind, value] of [["list", ["a", "b"]], ["json", { a: [1] }], ["whole", 5], ["switch", true], ["text", "x"]]) {
    assert.deepEqual(readValue(kind, showValue(kind, value)), value);
  }
  assert.equal(showValue("text", undefined), "");
});

test("paths of configs and of errors", () => {
  const config = {};
  place(config, "ssl.key", "k");
  place(config, "ssl.ca", "c");
  assert.deepEqual(config, { ssl: { key: "k", ca: "c" } });
  assert.equal(pick(config, "ssl.key"), "k");
  assert.equal(pick({}, "ssl.key"), undefined);
  assert.equal(fieldOfError("$.config.ssl.key"), "ssl.key");
  assert.equal(fieldOfError("$.config.productId[0]"), "productId");
  assert.equal(fieldOfError("$.config['odd']"), "odd");
  assert.equal(fieldOfError("$.datasetId"), "");
});

test("names", () => {
  assert.equal(problemOfId("My_One-2"), "");
  for (const bad of ["", "a b", "a.b", "__", "x".repeat(52)]) assert.notEqual(problemOfId(bad), "");
});
