"""`why`: about ten lines on what a connector waits for, since when, and what to do. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime

from connector_operator.kubectl.fields import (
    Object,
    describe_selection,
    describe_time,
    find,
    find_condition,
    find_count,
    find_objects,
    find_text,
    find_texts,
    is_observed,
)
from connector_operator.resources.reasons import NOTHING, Reason

MOST_FAILED = 5
"""So many failed streams are named; the status names up to twenty."""
LABEL_WIDTH = 14
FEWEST = 20
"""Cells that a text gets at the least beside its label."""
_SUMMARIES = ("Ready", "Reconciling", "Stalled")
"""Conditions that say the same as Ready, or its reverse."""
_REASONS = {reason.value: reason for reason in Reason}

Line = tuple[str, str]
"""A label and what it says."""


def explain(connector: Object, now: datetime) -> list[Line]:
    """The lines about a Connector as the API server returns it; the first has its name as the label."""
    name = find_text(connector, "metadata", "name")
    if not find_objects(connector, "status", "conditions"):
        return [
            (name, "The operator has not looked at it yet."),
            (
                "what to do",
                "If it stays so for a minute, the operator does not run, or does not watch this namespace: "
                "`kubectl get pods -A -l app.kubernetes.io/name=connector-operator`.",
            ),
        ]
    lines = [(name, _headline(connector)), *_outdated(connector), *_readiness(connector, now)]
    lines += [*_carried(connector), *_discovery(connector, now), *_last_words(connector, now)]
    lines += [*_failed_streams(connector, now), *_selection(connector), *_others(connector)]
    return lines


def find_remedy(reason: str) -> str:
    """What a person does about a reason; "" if it is not in this version's table (those of runners come with their own message)."""
    known = _REASONS.get(reason)
    return known.remedy if known else ""


def format_lines(lines: list[Line], width: int | None = None) -> str:
    """One line each, labels side by side; for a terminal of so many cells a long one is wrapped beside its label."""
    (name, headline), *rest = lines
    return f"{name}: {headline}\n" + "".join(
        f"  {f'{label}:' if label else '':<{LABEL_WIDTH}}{part}\n"
        for each in rest
        for label, part in _wrap(*each, width)
    )


def _wrap(label: str, text: str, width: int | None) -> Iterator[Line]:
    if width is None:
        yield label, text
        return
    parts = textwrap.wrap(text, max(FEWEST, width - LABEL_WIDTH - 2), break_long_words=False, break_on_hyphens=False)
    yield from ((label if at == 0 else "", part) for at, part in enumerate(parts or [""]))


def _headline(connector: Object) -> str:
    state = find_text(connector, "status", "state", "status") or "no state yet"
    ready = find_condition(connector, "Ready")
    word = {"True": "as you ask for", "False": "not as you ask for"}.get(find_text(ready, "status"), "not known yet")
    asked = find_text(connector, "spec", "status")
    return f"{state} ({find_text(ready, 'reason')}), {word}; spec.status is {asked or 'not set'}"


def _outdated(connector: Object) -> Iterator[Line]:
    if not is_observed(connector):
        yield (
            "note",
            "The spec has changed since; the operator has not looked at the change yet. What follows is older.",
        )


def _readiness(connector: Object, now: datetime) -> Iterator[Line]:
    ready = find_condition(connector, "Ready")
    reason, is_ready = find_text(ready, "reason"), find_text(ready, "status") == "True"
    yield "why" if is_ready else "waits for", find_text(ready, "message") or _meaning(reason)
    if since := find_text(ready, "lastTransitionTime"):
        yield "since", describe_time(since, now)
    yield "what to do", find_remedy(reason) or "What the message says: the reason is the runner's own."
    failures, at = find_count(connector, "status", "retry", "failures"), find_text(connector, "status", "retry", "at")
    if not is_ready and (failures or at):
        count = f"{failures} in a row have failed" if failures else ""
        yield "next start", "; ".join(part for part in (at and describe_time(at, now), count) if part)


def _meaning(reason: str) -> str:
    known = _REASONS.get(reason)
    return known.meaning if known else "No message was given."


def _carried(connector: Object) -> Iterator[Line]:
    yield "streams", describe_selection(connector) or "none is selected"
    progress = find(connector, "status", "progress") or {}
    said = [find_text(progress, "text"), find_text(progress, "unread"), find_text(progress, "problem")]
    lag = find_text(progress, "lag")
    parts = [part for part in (*said, f"behind the source by {lag}" if lag else "") if part]
    if parts:
        yield "progress", "; ".join(parts)
    elif not find_condition(connector, "StreamsHealthy"):
        yield "progress", "Not known: the operator, or the installed CRD, is of a version that does not report it."


def _discovery(connector: Object, now: datetime) -> Iterator[Line]:
    discovery = find(connector, "status", "discovery") or {}
    if not find_count(discovery, "failures"):
        return
    said = [find_text(discovery, "reason"), find_text(discovery, "message")]
    if find_text(find_condition(connector, "Ready"), "reason") == Reason.DISCOVERING.value:
        said.append("another one runs now")
    elif at := find_text(discovery, "retryAt"):
        said.append(f"next attempt {describe_time(at, now)}")
    count = find_count(discovery, "failures")
    words = "attempt has" if count == 1 else "attempts have"
    yield "discovery", f"{count} {words} failed: " + ": ".join(filter(None, said))


def _last_words(connector: Object, now: datetime) -> Iterator[Line]:
    last = find(connector, "status", "lastExecution") or {}
    if not find_count(last, "run"):
        return
    finished, code = find_text(last, "finishedAt"), find(last, "exitCode")
    end = f"ended {describe_time(finished, now)}" if finished else "is ending"
    parts = [f"run {find_count(last, 'run')} {end}", "" if code is None else f"exit code {code}"]
    words = ": ".join(filter(None, (find_text(last, "reason"), find_text(last, "message"))))
    yield "last words", ", ".join(filter(None, parts)) + (f"; {words}" if words else "")


def _failed_streams(connector: Object, now: datetime) -> Iterator[Line]:
    progress = find(connector, "status", "progress") or {}
    failures = find_objects(progress, "failures")
    for failure in failures[:MOST_FAILED]:
        since = find_text(failure, "since")
        words = ": ".join(filter(None, (find_text(failure, "reason"), find_text(failure, "message"))))
        yield (
            "failed stream",
            f"{find_text(failure, 'stream')}: {words}" + (f"; since {describe_time(since, now)}" if since else ""),
        )
    more = max(find_count(progress, "failed"), len(failures)) - len(failures[:MOST_FAILED])
    if more > 0:
        yield (
            "failed streams",
            f"{more} more: see `kubectl connectors streams {find_text(connector, 'metadata', 'name')}`",
        )


def _selection(connector: Object) -> Iterator[Line]:
    for problem in find_texts(connector, "status", "selection", "problems"):
        yield "selection", " ".join(problem.split())
    idle = find(connector, "status", "selection", "idle")
    for pattern in idle if isinstance(idle, Mapping) else ():
        near = find_texts(idle, pattern)
        hint = f"; near: {', '.join(near)}" if near else ""
        yield "selection", f"the pattern {pattern} matches no stream{hint}"


def _others(connector: Object) -> Iterator[Line]:
    """Conditions that are False for a reason of their own and that a person can do something about."""
    said = find_text(find_condition(connector, "Ready"), "reason")
    for condition in find_objects(connector, "status", "conditions"):
        reason, remedy = find_text(condition, "reason"), find_remedy(find_text(condition, "reason"))
        is_new = condition.get("type") not in _SUMMARIES and reason != said
        if is_new and condition.get("status") == "False" and remedy != NOTHING:
            message = find_text(condition, "message") or _meaning(reason)
            yield (
                "also",
                " ".join(filter(None, (f"{find_text(condition, 'type')} is False ({reason}): {message}", remedy))),
            )
