"""Reports in the log how the run goes: at most once in a while, and only when it has changed. The record: `schemas/progress.py`."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from connector_runner.pipeline.copies import Copies, CopyProgress
from connector_runner.pipeline.telemetry import Telemetry, Totals
from connector_runner.schemas.progress import (
    INTERVAL_SECONDS,
    INTERVAL_VARIABLE,
    LINE_MESSAGE,
    MOST_FAILED,
    MOST_NAMED,
    Copying,
    FailedStream,
    Progress,
    StreamLag,
    encode_record,
    within_limits,
)

SMOOTHING = 0.5
"""How much the newest measurement of the copies' rate counts."""
_DIGITS = 2
"""Digits of the rate that are reported: with more, each line would differ."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")


class CopyRate:
    """How fast the copies of a run go, smoothed over what was measured so far."""

    def __init__(self) -> None:
        self._last: tuple[float, CopyProgress] | None = None
        self._rate: float | None = None

    def measure(self, copies: Copies, now: float) -> float | None:
        """How much is done a second; None if nothing is copied, or nothing was measured yet. `now` in seconds from any start."""
        whole = copies.sum()
        if whole is None or not copies.going_on():
            self._last = self._rate = None
            return None
        last, self._last = self._last, (now, whole)
        if last is not None and now > last[0] and whole.done >= last[1].done and whole.unit == last[1].unit:
            newest = (whole.done - last[1].done) / (now - last[0])
            self._rate = newest if self._rate is None else SMOOTHING * newest + (1 - SMOOTHING) * self._rate
        return self._rate


class Pace(NamedTuple):
    """How fast rows went since the report before; None where there were none.

    Attributes:
        rows_per_minute: Rows committed.
        commit_milliseconds: The mean time of a commit that had rows.
    """

    rows_per_minute: int | None = None
    commit_milliseconds: int | None = None


NO_PACE = Pace()


class PaceMeter:
    """Measures the pace between two reports."""

    def __init__(self) -> None:
        self._last: tuple[float, int, int, float] | None = None

    def measure(self, totals: Totals, now: float) -> Pace:
        """The pace since the last call. `now` in seconds from any start."""
        last, self._last = self._last, (now, totals.rows, totals.row_commits, totals.row_seconds)
        if last is None or now <= last[0] or totals.row_commits == last[2]:
            return NO_PACE
        rows, commits, seconds = totals.rows - last[1], totals.row_commits - last[2], totals.row_seconds - last[3]
        return Pace(round(60 * rows / (now - last[0])), round(1000 * seconds / commits))


def build_progress(telemetry: Telemetry, rate: float | None, now: float, pace: Pace = NO_PACE) -> Progress:
    """The record of how a run goes; `rate` as `CopyRate.measure` gives it, `now` in seconds as `time.monotonic`."""
    totals, counts = telemetry.totals, telemetry.streams.counts()
    copies, going_on = telemetry.copies.sum(), telemetry.copies.going_on()
    is_one = counts["selected"] == 1 and going_on and not counts["failed"]  # its source need not report its state
    if is_one or telemetry.copies.is_for_all:
        counts |= {"copying": counts["copying"] + counts["following"], "following": 0}
    problems = telemetry.health.problems()
    lags = telemetry.lags.worst(now, MOST_NAMED)
    progress = Progress(
        selected=counts["selected"],
        following=counts["following"],
        copying=counts["copying"],
        failed=counts["failed"],
        done=0 if copies is None else copies.done,
        total=None if copies is None else copies.total,
        unit="" if copies is None else copies.unit,
        per_second=None if rate is None else round_to(rate, _DIGITS),
        seconds_left=find_seconds_left(copies, rate),
        copies=tuple(Copying(stream, copy.done, copy.total) for stream, copy in going_on[:MOST_NAMED]),
        lag_seconds=None if totals.lag is None else int(totals.lag),
        slowest=tuple(StreamLag(stream, int(lag)) for stream, lag in lags if lag >= 1),
        rows=totals.rows,
        rows_per_minute=pace.rows_per_minute,
        commit_milliseconds=pace.commit_milliseconds,
        refused=totals.refused,
        last_commit="" if totals.last_rows is None else format_time(totals.last_rows),
        problem=problems[0] if problems else "",
        failures=tuple(
            FailedStream(stream, *explain(standing.reason, standing.message), format_time(standing.since))
            for stream, standing in list(telemetry.streams.failures().items())[:MOST_FAILED]
        ),
    )
    return within_limits(progress)


def explain(reason: str, message: str) -> tuple[str, str]:
    """A failure in a word and a sentence, of which the source may have given one or both."""
    if message or _WORD.fullmatch(reason):
        return reason, message
    return "", reason


def find_seconds_left(copies: CopyProgress | None, rate: float | None) -> int | None:
    """About how long the copies still take; None if that is unknown."""
    if copies is None or copies.total is None or copies.done >= copies.total or not rate:
        return None
    return round_to((copies.total - copies.done) / rate, _DIGITS)


def round_to(number: float, digits: int) -> int:
    """A number that is not negative, with only so many digits that are not 0."""
    return int(float(f"{number:.{digits}g}"))


def format_time(moment: float) -> str:
    """A Unix time as Kubernetes writes it."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_interval(environment: Mapping[str, str]) -> int:
    """How often it is reported, in seconds, from the environment; what is no number from 1 on counts as absent."""
    text = environment.get(INTERVAL_VARIABLE, "")
    return int(text) if text.isdecimal() and int(text) else INTERVAL_SECONDS


async def log_progress(telemetry: Telemetry, seconds: float = INTERVAL_SECONDS) -> None:
    """Writes the line until it is cancelled; the first one once rows can flow."""
    rate, pace, reported = CopyRate(), PaceMeter(), None
    while True:
        now = time.monotonic()
        is_ready = reported is not None or telemetry.health.is_ready
        if is_ready:
            measured = rate.measure(telemetry.copies, now), now, pace.measure(telemetry.totals, now)
            if (progress := build_progress(telemetry, *measured)) != reported:
                telemetry.log("info", LINE_MESSAGE, **{LINE_MESSAGE: encode_record(progress)})
                reported = progress
        await asyncio.sleep(seconds if is_ready else min(seconds, 1.0))
