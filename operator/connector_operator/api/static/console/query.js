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
  const keyed = found.map((connector) => [key(connector, rates), connector]);
  const way = query.isDown ? -1 : 1;
  keyed.sort(([a, one], [b, other]) => way * compare(a, b) || compare(one.id, other.id));
  return keyed.map(([, connector]) => connector);
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

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : COLLATOR.compare(String(a), String(b));
}
