"""What a runner reports of itself becomes status: figures, a few words for `kubectl get`, and the condition StreamsHealthy. Pure."""

from __future__ import annotations

import msgspec

from connector_operator.decide.case import Case
from connector_operator.decide.facts import Facts
from connector_operator.decide.outputs import Action
from connector_operator.resources.reasons import Reason
from connector_runner.schemas.kinds.connector_status import ConnectorStatus, RunProgress
from connector_runner.schemas.progress import Progress

_NAMED = 5
"""Failed streams that a condition names; the status lists more."""
_LONGEST = 120
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


def fold_progress(facts: Facts, status: ConnectorStatus) -> ConnectorStatus:
    """The status with what was last read of the present execution's progress; what is known of an earlier one is dropped."""
    seen, known = facts.seen, status.progress
    if not seen.policy.asks_progress or known.run != status.run:
        known = RunProgress()
    heard, run = seen.heard, facts.live[-1].job.run if facts.live else 0
    if heard is not None and heard.run == run and run == status.run and seen.policy.asks_progress:
        if heard.problem:
            known = RunProgress(run=run, unread=heard.problem)
        elif heard.progress is not None:
            known = build_run_progress(run, heard.progress)
        elif known.unread:
            known = RunProgress()
    return msgspec.structs.replace(status, progress=known)


def build_run_progress(run: int, progress: Progress) -> RunProgress:
    """A runner's record as the status has it."""
    figures = msgspec.structs.asdict(progress)
    lag = "" if progress.lag_seconds is None else say_time(progress.lag_seconds)
    return RunProgress(**figures, run=run, text=describe(progress), lag=lag)


def describe(progress: Progress) -> str:
    """How far a runner is, in a few words: `58 following, 1 copying 43% (5m left), 1 failed`."""
    is_one = progress.selected == 1
    parts = []
    if progress.following:
        parts.append("following" if is_one else f"{progress.following} following")
    if progress.copying:
        parts.append(("copying" if is_one else f"{progress.copying} copying") + _describe_copy(progress))
    if progress.failed:
        parts.append("failed" if is_one else f"{progress.failed} failed")
    text = ", ".join(parts)
    if progress.problem:
        text = f"{text}; {progress.problem}" if text else progress.problem
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _describe_copy(progress: Progress) -> str:
    if not progress.unit:
        return ""
    if not progress.total or progress.done >= progress.total:
        return f" {progress.done} {progress.unit}"
    left = "" if progress.seconds_left is None else f" ({say_time(progress.seconds_left)} left)"
    return f" {100 * progress.done // progress.total}%{left}"


def say_time(seconds: int) -> str:
    """A time as `kubectl get` shows an age: 5s, 12m, 3h, 4d."""
    return next((f"{seconds // size}{unit}" for unit, size in _UNITS if seconds >= 2 * size), f"{seconds}s")


def say_streams_healthy(case: Case) -> tuple[str, Reason, str]:
    """Status, reason and message of the condition StreamsHealthy; one that is being stopped or replaced costs no write for it."""
    facts, progress = case.facts, case.memory.progress
    if progress.unread:
        return "Unknown", Reason.PROGRESS_UNKNOWN, progress.unread
    if progress.failed:
        return "False", Reason.STREAMS_FAILED, _say_failed(progress)
    if progress.run:
        return "True", Reason.NO_STREAM_FAILED, "The runner carries all selected streams."
    if not facts.live or not facts.live[-1].job.ready or case.row.action is Action.STOP:
        return "Unknown", Reason.NO_EXECUTION, "No execution is ready."
    if not facts.seen.policy.asks_progress:
        off = "The operator does not ask runners for their progress: --progress-seconds is 0."
        return "Unknown", Reason.PROGRESS_UNKNOWN, off
    return "Unknown", Reason.PROGRESS_UNKNOWN, "The runner has not reported its progress yet."


def _say_failed(progress: RunProgress) -> str:
    verb = "has" if progress.failed == 1 else "have"
    named = [
        f"{failure.stream} ({': '.join(part for part in (failure.reason, failure.message) if part)})"
        for failure in progress.failures[:_NAMED]
    ]
    more = progress.failed - len(named)
    others = f" and {more} more" if named and more > 0 else ""
    rest = "; the others continue" if progress.failed < progress.selected else ""
    names = f": {'; '.join(named)}{others}" if named else ""
    return f"{progress.failed} of {progress.selected} streams {verb} failed{rest}{names}."
