// Which streams a connector carries, what each does now, and the call that selects others. Pure.

import { compileSelection, quote } from "./patterns.js";
import { formatCount, formatSeconds } from "./words.js";

/** The body of the call: one stream by its name, or many by patterns; tables that were named stay. Pure. */
export function buildSelection({ include, exclude, added }, known, present = null) {
  const only = include.length === 1 && !exclude.length ? include[0] : "";
  const id = [...known].find((one) => one === only || quote(one) === only);
  if (id) return { selectedStream: id, streams: null };
  const tables = present?.tables && Object.keys(present.tables).length ? { tables: present.tables } : {};
  const streams = { include, ...(exclude.length ? { exclude } : {}), ...(added === "ignore" ? { added } : {}), ...tables };
  return { streams, selectedStream: null };
}

/** Whether the connector carries a stream, by its id. */
export function carriedBy(detail) {
  if (detail.selectedStream) return (id) => id === detail.selectedStream;
  if (!detail.selectedStreams) return () => false;
  const aside = new Set(detail.selection.aside || []);
  try {
    const takes = compileSelection(detail.selectedStreams);
    return (id) => takes(id) && !aside.has(id);
  } catch {
    return () => false;
  }
}

/** What streams do now, by id: the failed, the copied, those furthest behind. */
export function activitiesOf(progress) {
  const found = new Map();
  for (const lag of progress?.slowest || []) found.set(lag.stream, `${formatSeconds(lag.seconds)} behind`);
  for (const copy of progress?.copies || []) found.set(copy.stream, copy.total ? `copying ${Math.floor((100 * (copy.done || 0)) / copy.total)} %` : `copying, ${formatCount(copy.done || 0)} done`);
  for (const failure of progress?.failures || []) found.set(failure.stream, `failed: ${failure.reason}`);
  return found;
}
