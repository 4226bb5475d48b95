// What a connector does now, its conditions and its settings, as elements.

import { buildCommands, h, redraw, show } from "./dom.js";
import { Plot } from "./plot.js";
import { explain } from "./session.js";
import { asSentence, byClicks, copiedPart, formatAge, formatCount, formatDue, formatMilliseconds, formatSeconds, formatShort, formatTime, formatWhen, plural, toneOf, whyOf } from "./words.js";

/** The sentence that matters most, and what to do about it. */
export function buildNow(detail, now) {
  const ready = detail.conditions.find((condition) => condition.type === "Ready");
  const why = whyOf(detail);
  const head = why || calm(detail);
  const stale = detail.observed ? null : h("p.hint", {}, "The operator has not looked at the last change yet; what follows is older.");
  const cure = cureOf(detail, ready);
  const retry = detail.retry.at && detail.ready !== "True" ? h("p.hint", {}, `Next start ${formatDue(detail.retry.at, now)}; ${plural(detail.retry.failures, "execution")} in a row failed.`) : null;
  const discovery = detail.discovery.failures ? h("p", {}, sayDiscovery(detail.discovery, head, now)) : null;
  return h(`div.say.${toneOf(detail)}`, {},
    h("p.lead", {}, asSentence(byClicks(head))), stale, discovery,
    cure ? h("p.cure", {}, h("b", {}, "What to do: "), ...withCode(cure)) : null, retry,
    ready?.since ? h("p.hint", { title: formatTime(ready.since) }, `${ready.reason} · for ${formatAge(ready.since, now)}`) : null);
}

function sayDiscovery({ failures, message, reason, retryAt }, said, now) {
  const why = message && said.includes(message) ? "." : `: ${(message || reason).replace(/\.$/, "")}.`;
  return `Listing its streams failed ${plural(failures, "time")} in a row${why}${retryAt ? ` Next attempt ${formatDue(retryAt, now)}.` : ""}`;
}

function calm(detail) {
  return detail.state === "running" ? "It runs." : "It is stopped, as you asked; its position is kept.";
}

/** What a person does next; the buttons of this page are named where they do it. */
function cureOf(detail, ready) {
  if (!detail.ready) return "Wait a few seconds. If it stays so for a minute, the operator does not run or does not watch this namespace.";
  switch (detail.reason) {
    case "StreamsReceived": return "Select streams below.";
    case "StreamNotSelected": return "Select streams below.";
    case "ReadyToRun": return "Press Start.";
    case "Stopped": return "Press Start to continue where it left off.";
    case "Completed": return "Press Restart to run it again.";
    case "DatasetNotNamed": return "Edit its settings and name a dataset.";
    default: return ready?.remedy || (ready && !ready.known && ready.status !== "True" ? "Mend what the message names; if the settings are at fault, edit them. Until then it is tried again by itself." : "");
  }
}

/** What to do, in the words of this page's buttons, where `…` is code. */
export function withCode(text) {
  return byClicks(text).split(/(`[^`]*`)/).map((part) => (part.startsWith("`") ? h("code", {}, part.slice(1, -1)) : part));
}

/** Conditions as sentences, what needs a look first. */
export function buildConditions(detail, now) {
  if (!detail.conditions.length) return h("p.hint", {}, "None yet.");
  return h("ul.conditions", {}, detail.conditions.map((condition) =>
    h(`li.${isBad(condition) ? "bad" : condition.status === "True" ? "good" : "idle"}`, {},
      h("p", {}, h("b", {}, condition.type), h("span.tag", {}, `${condition.status} · ${condition.reason}`), h("span.dim", { title: formatTime(condition.since) }, formatWhen(condition.since, now))),
      h("p", {}, byClicks(condition.message)),
      condition.remedy && condition.status !== "True" && condition.reason !== "Stopped" ? h("p.cure", {}, h("b", {}, "What to do: "), ...withCode(condition.remedy)) : null)));
}

const BAD_WHEN_TRUE = new Set(["Stalled"]);
const NEUTRAL = new Set(["Reconciling"]);

function isBad(condition) {
  if (NEUTRAL.has(condition.type)) return false;
  return BAD_WHEN_TRUE.has(condition.type) ? condition.status === "True" : condition.status === "False" && Boolean(condition.remedy || !condition.known);
}

/** Numbers and plots of the running execution. */
export class NowFigures {
  constructor() {
    this.figures = h("dl.figures");
    this.idle = h("p.hint");
    this.copies = h("ul.copies");
    this.rate = new Plot("Rows per second", (value) => formatShort(value));
    this.lag = new Plot("Behind the source", (value) => formatSeconds(value));
    this.commit = new Plot("Time of a commit", (value) => formatMilliseconds(value));
    this.source = h("div.hint");
    this.plots = h("div.plots", {}, this.rate.element, this.lag.element, this.commit.element);
    this.element = h("section.card", { "aria-label": "Figures" }, h("header", {}, h("h2", {}, "Figures")), this.figures, this.idle, this.copies,
      this.plots, this.source);
  }

  set(detail, fleet, metrics) {
    const progress = detail.progress;
    const { rates, lags, commits } = metrics.hasSeries ? metrics.series : fleet.seriesOf(detail.name);
    const isLive = metrics.hasSeries && metrics.isWanted && !metrics.refusal;
    const rate = isLive ? rates.at(-1).value : fleet.rateOf(detail.name, Date.now());
    const lag = isLive ? metrics.samples.at(-1).lagSeconds : progress?.lagSeconds;
    this.#showSource(metrics);
    // Of what does not run no further report comes, and one report is no line.
    this.plots.hidden = detail.state !== "running" && Math.max(rates.length, lags.length) < 2;
    this.source.hidden = this.plots.hidden;
    this.idle.hidden = detail.state === "running" || Boolean(progress);
    show(this.idle, "It does not run now, so nothing is counted. How its last execution ended stands under Executions.");
    const until = sayUntil(metrics);
    const isKnown = rates.length > 1;
    this.rate.set(rates, rate === null ? "–" : formatShort(rate), until);
    this.lag.set(lags, lag === undefined || lag === null ? "–" : formatSeconds(lag), isKnown ? "Not known yet how far it is behind." : until);
    const commit = isLive ? commits.at(-1)?.value : progress?.commitMilliseconds;
    this.commit.set(commits, commit === undefined || commit === null ? "–" : formatMilliseconds(commit), isKnown ? "Drawn once it has committed rows a few times." : until);
    redraw(this.figures, [
      ["Rows", progress ? formatCount(progress.rows || 0) : "–", "committed by this execution"],
      ["Dead letters", progress ? formatCount(progress.refused || 0) : "–", "rows that the dataset refused"],
      ["Last commit", formatWhen(progress?.lastCommit, Date.now()) || "–", formatTime(progress?.lastCommit)],
      ["Streams", progress?.selected ? `${formatCount(progress.following || 0)} / ${formatCount(progress.selected)}` : "–", "that follow, of those selected"],
      ["Run", detail.run ? `#${detail.run}` : "–", detail.runnerVersion],
    ].map(([title, value, help]) => h("div", { title: help }, h("dt", {}, title), h("dd", {}, value))));
    redraw(this.copies, buildCopies(progress));
    this.element.hidden = !detail.run;
  }

  /** Drawn anew only when it says something else, so that what a person has opened stays open. */
  #showSource(metrics) {
    const said = `${metrics.hasSeries} ${metrics.refusal?.message}`;
    if (said === this.said) return;
    this.said = said;
    show(this.source, saySource(metrics));
  }
}

/** What a plot is empty for, just after a start: the first one, or that after a fault was mended. */
export function sayUntil(metrics) {
  if (metrics.isWanted && !metrics.refusal) return "The runner is asked every five seconds: drawn in a moment.";
  return "A runner reports once a minute, the first time a minute after its start, also of one that follows a repair: drawn from its second report on, within about two minutes.";
}

/** Where the plots come from, and why not from the better source. */
function saySource(metrics) {
  const kept = "for an hour at the most. Nobody keeps earlier values but a Prometheus that scrapes the runners.";
  const from = metrics.hasSeries
    ? `Plots from the runner's own metrics, asked through the API server every five seconds since this page was opened, ${kept}`
    : `From status.progress: what the runner reports once a minute, as watched since this page was opened, ${kept}`;
  const { refusal } = metrics;
  if (!refusal) return from;
  return [h("p", {}, from), h("details", {}, h("summary", {}, "Why not from the runner's own metrics, which are finer?"), h("p", {}, [401, 403].includes(refusal.status) ? explain(refusal) : `${refusal.message.replace(/[.\s]+$/, "")}.`), buildCommands(refusal.commands))];
}

function buildCopies(progress) {
  if (!progress) return [];
  const whole = copiedPart(progress);
  const rest = progress.secondsLeft ? `, about ${formatSeconds(progress.secondsLeft)} left` : "";
  const lines = (progress.copies || []).map((copy) =>
    copyLine(copy.stream || "Copy", copy.total ? copy.done / copy.total : null, `${formatCount(copy.done || 0)}${copy.total ? ` of ${formatCount(copy.total)}` : ""} ${progress.unit || ""}`));
  const all = whole !== null && lines.length !== 1 ? [copyLine("All copies", whole, `${formatCount(progress.done || 0)} of ${formatCount(progress.total)} ${progress.unit || ""}${rest}`)] : [];
  const problem = progress.problem ? [h("li.bad", {}, h("b", {}, "Nothing is committed at the moment: "), progress.problem)] : [];
  const unread = progress.unread ? [h("li.dim", {}, progress.unread)] : [];
  return [...problem, ...unread, ...all, ...lines];
}

function copyLine(title, part, text) {
  return h("li", {}, h("span", {}, title), part === null ? null : h("progress", { max: 1, value: Math.min(1, part), "aria-label": `Copied of ${title}` }), h("span.dim", {}, text));
}

/** The config as a list; secrets by the name of their Secret. */
export function buildSettings(detail) {
  const entries = flatten(detail.config);
  if (detail.table) entries.push(["table", detail.table]);
  if (detail.onStreamFailure) entries.push(["onStreamFailure", detail.onStreamFailure]);
  for (const secret of detail.secrets) entries.push(["secrets", `in the Secret ${secret}`]);
  if (!entries.length) return h("p.hint", {}, "Nothing is set; the source's defaults hold.");
  return h("dl.settings", {}, entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function flatten(value, prefix = "") {
  return Object.entries(value || {}).flatMap(([name, child]) => {
    const path = prefix ? `${prefix}.${name}` : name;
    if (child && typeof child === "object" && !Array.isArray(child)) return flatten(child, path);
    return [[path, Array.isArray(child) ? child.map(String).join(", ") : String(child)]];
  });
}
