// The streams of a source as the page has them: from the status, and all of them once somebody has asked the source. Pure.

import { formatCount, plural } from "./words.js";

/** Those of the source in its order, then what only the status lists (as where a pattern was asked for). */
export function mergeStreams(ofStatus, ofSource) {
  if (!ofSource.length) return ofStatus;
  const ids = new Set(ofSource.map((stream) => stream.id));
  return [...ofSource, ...ofStatus.filter((stream) => !ids.has(stream.id))];
}

const texts = new WeakMap();

/** What is searched of a stream: its name, key, modes, and what is not possible. */
function textOf(stream) {
  if (!texts.has(stream)) texts.set(stream, [stream.id, ...(stream.key || []), ...(stream.modes || []), ...whyNot(stream)].join("\n").toLowerCase());
  return texts.get(stream);
}

/** The streams that have each word of a text; those with all of them in their name first. */
export function searchStreams(streams, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return streams;
  const found = streams.filter((stream) => words.every((word) => textOf(stream).includes(word)));
  const isNamed = (stream) => words.every((word) => stream.id.toLowerCase().includes(word));
  return [...found.filter(isNamed), ...found.filter((stream) => !isNamed(stream))];
}

/** Why a stream, or a mode of it, is not possible: a sentence each. */
export function whyNot({ obstacle, aside, unavailable = {} }) {
  const modes = Object.entries(unavailable).map(([mode, why]) => `Not ${mode}: ${why}`);
  return [obstacle ? `It can't be read: ${obstacle}` : "", aside ? `Only its exact name selects it: ${aside}` : "", ...modes].filter(Boolean);
}

/** How much of the list has come, in a sentence: of an answer's last event. */
export function sayListed({ listed, matched, total }, like, time) {
  const which = like ? ` like ${like}` : "";
  if (matched === null || listed < matched) {
    const of = matched === null ? "" : ` of ${formatCount(matched)}`;
    return `${formatCount(listed)}${of} streams${which} arrived: the list is too long for this page, or the Job's log was cut. Name a pattern, so that it is shorter.`;
  }
  return like
    ? `${plural(matched, "stream")}${which}, of ${formatCount(total)} at the source, listed ${time}.`
    : `All ${plural(matched, "stream")}, listed ${time}.`;
}
