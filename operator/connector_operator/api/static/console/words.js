// How numbers, times and states are said. Pure.

const UNITS = [["d", 86400], ["h", 3600], ["m", 60]];

/** Seconds as one short unit, as kubectl shows an age: 5s, 12m, 3h, 4d. */
export function formatSeconds(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const unit = UNITS.find(([, size]) => whole >= 2 * size);
  return unit ? `${Math.floor(whole / unit[1])}${unit[0]}` : `${whole}s`;
}

/** Milliseconds with their unit: 4ms, 850ms, 1.2s, 12s. */
export function formatMilliseconds(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)}ms` : `${trim(milliseconds / 1000)}s`;
}

/** How long ago an RFC 3339 time was; "" if it is no time. */
export function formatAge(time, now) {
  const at = Date.parse(time);
  return Number.isNaN(at) ? "" : formatSeconds((now - at) / 1000);
}

/** "12m ago", "in 5s"; "" if it is no time. */
export function formatWhen(time, now) {
  const at = Date.parse(time);
  if (Number.isNaN(at)) return "";
  return at > now ? `in ${formatSeconds((at - now) / 1000)}` : `${formatSeconds((now - at) / 1000)} ago`;
}

/** When something is tried again: "in 5s", or "now" once its time has come. */
export function formatDue(time, now) {
  return Date.parse(time) > now ? formatWhen(time, now) : "now";
}

/** A time of day and date in the reader's own zone. */
export function formatTime(time) {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? "" : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** 1234567 as "1,234,567". */
export function formatCount(value) {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "";
}

/** A number with three digits at the most: 0.4, 12, 3.4k, 1.2M. */
export function formatShort(value) {
  if (!Number.isFinite(value)) return "";
  for (const [size, mark] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size) return `${trim(value / size)}${mark}`;
  }
  return trim(value);
}

function trim(value) {
  return value >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}

/** The colour group of a connector: good, busy, bad, idle. */
export function toneOf(connector) {
  if (connector.state === "errored" || connector.stalled) return "bad";
  if (connector.state === "running") return connector.ready === "True" ? "good" : "busy";
  if (connector.state === "pending") return "busy";
  return connector.asked === "running" ? "busy" : "idle";
}

/** Why it is in its state, in a sentence; "" while all is as it should be. */
export function whyOf(connector) {
  if (!connector.ready) return "The operator has not looked at it yet.";
  if (!connector.observed) return "A change is about to be taken up.";
  const calm = connector.ready === "True" && (connector.state === "running" || connector.state === "stopped");
  return calm ? "" : connector.message || connector.reason;
}

/** A message as a sentence: its first word with a capital, unless it is a name (`shop.orders`, `ws://…`). */
export function asSentence(text) {
  return /^[a-z]+[ ,]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}

const CLICKS = [
  [/set spec\.status to running/g, "press Start"],
  [/Select one in spec\.selectedStream/g, "Select streams on this page"],
  [/set spec\.selectedStream/g, "select streams on this page"],
  [/Set `spec\.selectedStream`/g, "Select streams on this page"],
  [/set spec\.restartedAt to any new text/g, "press Restart"],
  [/spec\.datasetId is not set; name a Dataset there/g, "no dataset is named; name one in the settings"],
];

/** A message that names fields of the manifest, in the words of this page's buttons; whatever else it says stays. */
export function byClicks(text) {
  return CLICKS.reduce((said, [field, click]) => said.replace(field, click), text);
}

/** From 0 to 1: how much of the copies is done; null if nothing is copied, or the whole is unknown. */
export function copiedPart(progress) {
  if (!progress || !progress.copying || !progress.total) return null;
  return Math.min(1, (progress.done || 0) / progress.total);
}

/** One for one, many for others: "1 stream", "2 streams". */
export function plural(count, word) {
  return `${formatCount(count)} ${word}${count === 1 ? "" : "s"}`;
}
