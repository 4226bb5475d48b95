// What happened to a connector: its events as one line through time, and its executions.

import { explain } from "./session.js";
import { h } from "./dom.js";
import { withCode } from "./cards.js";
import { byClicks, formatTime, formatWhen } from "./words.js";

/** Moments of a life, the newest first: events of Kubernetes and what the status remembers beyond them. Pure. */
export function listMoments(detail, events) {
  const moments = events.map((event) => ({
    at: event.at, title: event.reason, text: byClicks(event.message), tone: event.warning ? "bad" : "good", count: event.count, cure: event.warning ? event.remedy : "",
  }));
  const last = detail.lastExecution;
  if (last.finishedAt) {
    const code = last.exitCode === undefined || last.exitCode === null ? "" : `, exit code ${last.exitCode}`;
    moments.push({ at: last.finishedAt, title: `Run #${last.run} ended${code}`, text: [last.reason, last.message].filter(Boolean).join(": "), tone: "idle", count: 1, cure: "" });
  }
  if (detail.discovery.at) moments.push({ at: detail.discovery.at, title: "Streams received", text: `${detail.streamsTotal} at the source`, tone: "idle", count: 1, cure: "" });
  moments.push({ at: detail.created, title: "Created", text: "", tone: "idle", count: 1, cure: "" });
  return moments.sort((one, other) => Date.parse(other.at) - Date.parse(one.at));
}

export function buildLife(detail, { list, refusal }, now) {
  const moments = listMoments(detail, list);
  return [
    refusal ? h("p.hint", {}, `Its Kubernetes events are not shown: ${explain(refusal)}`) : null,
    h("ol.life", { tabindex: 0, "aria-label": "Events" }, moments.map((moment) =>
      h(`li.${moment.tone}`, {},
        h("p", {}, h("b", {}, moment.title), moment.count > 1 ? h("span.tag", {}, `${moment.count} times`) : null, h("time", { datetime: moment.at, title: formatTime(moment.at) }, formatWhen(moment.at, now))),
        moment.text ? h("p.text", {}, moment.text) : null,
        moment.cure ? h("p.cure", {}, h("b", {}, "What to do: "), ...withCode(moment.cure)) : null))),
    h("p.hint", {}, "The cluster keeps events for about an hour."),
  ];
}

export function buildExecutions(detail, { list, refusal }, now) {
  if (refusal) return h("p.hint", {}, `Its executions are not shown: ${explain(refusal)}`);
  if (!list.length) return h("p.hint", {}, detail.run ? `Run #${detail.run} was the last; nothing else is known of it.` : "It has not run yet.");
  return h("ol.runs", {}, list.map((run) =>
    h(`li.${toneOfRun(run)}`, {},
      h("p", {}, h("b", {}, `Run #${run.run}`), h("span.tag", {}, outcomeOf(run)),
        h("time", { datetime: run.startedAt, title: formatTime(run.startedAt) }, run.finishedAt ? `ended ${formatWhen(run.finishedAt, now)}` : `began ${formatWhen(run.startedAt, now)}`)),
      run.message ? h("p.text", {}, run.message) : null,
      h("p.dim", {}, [run.pod || run.job, run.node].filter(Boolean).join(" on ")))));
}

function outcomeOf(run) {
  if (!run.finishedAt) return run.phase ? run.phase.toLowerCase() : "waiting for its pod";
  const code = run.exitCode === null || run.exitCode === undefined ? "" : `exit code ${run.exitCode}`;
  return [run.reason, code].filter(Boolean).join(" · ") || "ended";
}

function toneOfRun(run) {
  if (!run.finishedAt) return run.phase === "Running" ? "good" : "busy";
  return [0, 143, null, undefined].includes(run.exitCode) ? "idle" : "bad";
}
