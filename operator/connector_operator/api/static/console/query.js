// Which connectors are shown, and in which order. Pure.

import { toneOf } from "./words.js";

export const STATES = ["pending", "received", "ready", "running", "stopped", "errored"];
const COLLATOR = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const KEYS = {
  name: (connector) => connector.id,
  type: (connector) => connector.type,
  state: (connector) => `${["bad", "busy", "good", "idle"].indexOf(toneOf(connector))}${connector.state}`,
  streams: (connector) => connector.streams,
  dataset: (connector) => connector.dataset,
  rate: (connector, rates) => rates(connector.name) ?? -1,
  lag: (connector) => connector.progress?.lagSeconds ?? -1,
  progress: (connector) => connector.progress?.text || "",
  age: (connector) => -Date.parse(connector.created) || 0,
};

export const SORTS = Object.keys(KEYS);

/**
 * The connectors that a query takes, in its order.
 * @param {Iterable} connectors summaries
 * @param {{text: string, state: string, type: string, sort: string, isDown: boolean}} query "" takes all
 * @param {(name: string) => number|null} rates rows per second
 */
export function select(connectors, query, rates) {
  const words = query.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [...connectors].filter(
    (connector) => isInState(connector, query.state) && (!query.type || connector.type === query.type) && holds(connector, words),
  );
  const key = KEYS[query.sort] || KEYS.name;
  const ranks = rank(found.map((connector) => key(connector, rates)));
  const names = rank(found.map((connector) => connector.id));
  const way = query.isDown ? -1 : 1;
  const order = found.map((_, index) => index).sort((a, b) => way * (ranks[a] - ranks[b]) || names[a] - names[b]);
  return order.map((index) => found[index]);
}

let ranked = { values: [], ranks: [] };

/** A number for each value, in the order of the values: texts are compared once each, since that is slow. */
function rank(values) {
  if (values.every((value) => typeof value === "number")) return values;
  // Names seldom change from one drawing to the next.
  if (values.length === ranked.values.length && values.every((value, index) => value === ranked.values[index])) return ranked.ranks;
  const places = new Map([...new Set(values)].sort((a, b) => COLLATOR.compare(String(a), String(b))).map((value, place) => [value, place]));
  const ranks = values.map((value) => places.get(value));
  if (places.size > values.length / 2) ranked = { values, ranks };
  return ranks;
}

/** Whether it belongs under a state's button; "attention" is what a person should look at. */
export function isInState(connector, state) {
  if (!state) return true;
  return state === "attention" ? toneOf(connector) === "bad" : connector.state === state;
}

/** How many connectors each state has, "attention" and "" (all) included. */
export function countStates(connectors) {
  const counts = Object.fromEntries(["", "attention", ...STATES].map((state) => [state, 0]));
  for (const connector of connectors) {
    counts[""] += 1;
    counts[connector.state] = (counts[connector.state] || 0) + 1;
    if (toneOf(connector) === "bad") counts.attention += 1;
  }
  return counts;
}

function holds(connector, words) {
  if (!words.length) return true;
  const text = [connector.id, connector.type, connector.dataset, connector.streams, connector.state, connector.reason, connector.message, connector.managedBy?.tool]
    .join(" ")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}
