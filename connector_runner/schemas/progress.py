"""What a runner tells of itself while it runs: one tagged line in its log, at most once a minute and only when it has changed.

The operator reads the end of the log. It holds whatever the source's texts brought into it, so the reader believes nothing: lines that
are not a record are left out, numbers and texts are cut to limits, and the record's size is bounded whatever the line holds. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec

from connector_runner.schemas.kinds.declare import described

LINE_MESSAGE = "progress"
"""The message of the log line, and the name of the field that holds the record."""
INTERVAL_VARIABLE = "CONNECTOR_PROGRESS_SECONDS"
INTERVAL_SECONDS = 60
"""How often a runner tells, at the most."""
MOST_FAILED = 20
MOST_NAMED = 5
MOST_LINE = 256 * 1024
"""A longer line is no record: the longest that a runner writes is shorter."""
_MOST_BRACKETS = 12_000
"""More than any record has, even if its texts consist of them; what is nested so deeply would exhaust the reader's stack."""
_LONGEST_NAME, _LONGEST_REASON, _LONGEST_MESSAGE, _LONGEST_UNIT = 200, 63, 300, 20
_LARGEST = 10**12
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


class FailedStream(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stream that is paused while the others go on."""

    stream: Annotated[str, described("The stream.")] = ""
    reason: Annotated[str, described("Why, in one word.")] = ""
    message: Annotated[str, described("Why, in a sentence.")] = ""
    since: Annotated[str, described("Since when.")] = ""


class Copying(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far the copy of one stream is."""

    stream: Annotated[str, described("The stream; absent where one copy is for all.")] = ""
    done: Annotated[int, described("How many rows or blocks are done.", format="int64")] = 0
    total: Annotated[int | None, described("Of about how many; absent if unknown.", format="int64")] = None


class StreamLag(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far one stream is behind."""

    stream: Annotated[str, described("The stream.")] = ""
    seconds: Annotated[int, described("How many seconds it is behind the source.", format="int64")] = 0


class Progress(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What goes on inside a runner, counted since its start."""

    selected: Annotated[int, described("How many streams it carries.", format="int64")] = 0
    following: Annotated[
        int, described("How many of them are whole and follow the source; also those without rows.", format="int64")
    ] = 0
    copying: Annotated[int, described("How many of them are being copied, or catch up.", format="int64")] = 0
    failed: Annotated[int, described("How many of them have failed and are paused.", format="int64")] = 0
    done: Annotated[int, described("Of all copies of this execution: how much is done.", format="int64")] = 0
    total: Annotated[
        int | None, described("Of all copies of this execution: of about how much; absent if unknown.", format="int64")
    ] = None
    unit: Annotated[str, described("What is copied: rows or blocks; absent when nothing was copied.")] = ""
    per_second: Annotated[
        int | None, described("How much is copied a second; absent when nothing is copied.", format="int64")
    ] = None
    seconds_left: Annotated[
        int | None, described("About how long the copies still take, in seconds; absent if unknown.", format="int64")
    ] = None
    copies: Annotated[
        tuple[Copying, ...], described("The copies that go on, the furthest first; at most 5.")
    ] = ()  # fmt: skip
    lag_seconds: Annotated[
        int | None, described("How many seconds it is behind the source; absent if unknown.", format="int64")
    ] = None
    slowest: Annotated[
        tuple[StreamLag, ...], described("The streams that are furthest behind the source, if any is; at most 5.")
    ] = ()
    rows: Annotated[int, described("How many rows it has committed.", format="int64")] = 0
    rows_per_minute: Annotated[
        int | None,
        described("How many rows it committed a minute, since the report before; absent if none.", format="int64"),
    ] = None
    commit_milliseconds: Annotated[
        int | None,
        described(
            "How long a commit with rows took on average, since the report before; absent if none.", format="int64"
        ),
    ] = None
    refused: Annotated[
        int, described("How many rows the dataset has refused: its dead letters.", format="int64")
    ] = 0  # fmt: skip
    last_commit: Annotated[str, described("When it last committed rows.")] = ""
    problem: Annotated[str, described("Why nothing is committed at the moment.")] = ""
    failures: Annotated[
        tuple[FailedStream, ...], described("The streams that have failed and are paused, by name; at most 20.")
    ] = ()  # fmt: skip


class _Line(msgspec.Struct, frozen=True):
    message: str
    progress: Progress


def encode_record(progress: Progress) -> Mapping[str, Any]:
    """The record as plain JSON, for the field of the log line."""
    return cast("Mapping[str, Any]", msgspec.to_builtins(progress))


_DECODER = msgspec.json.Decoder(_Line)


def parse_progress(log: str) -> Progress | None:
    """The last record in a part of a runner's log, within the limits; None if it has none.

    Args:
        log: Any text; its first line may be cut.
    """
    for line in reversed(log.split("\n")):  # not splitlines: a name may contain U+2028
        if (
            f'"{LINE_MESSAGE}"' not in line
            or len(line) > MOST_LINE
            or line.count("[") + line.count("{") > _MOST_BRACKETS
        ):
            continue
        try:
            found = _DECODER.decode(line)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue
        if found.message == LINE_MESSAGE:
            return within_limits(found.progress)
    return None


def within_limits(progress: Progress) -> Progress:
    """The record with bounded numbers, texts and lists; one of a runner of ours is returned as it was."""
    numbers = {
        field.name: _cut_number(value)
        for field in msgspec.structs.fields(Progress)
        if isinstance(value := getattr(progress, field.name), int)
    }
    return msgspec.structs.replace(
        progress,
        **numbers,
        unit=_cut(progress.unit, _LONGEST_UNIT),
        copies=tuple(_cut_copy(copy) for copy in progress.copies[:MOST_NAMED]),
        slowest=tuple(
            StreamLag(_cut(lag.stream, _LONGEST_NAME), _cut_number(lag.seconds))
            for lag in progress.slowest[:MOST_NAMED]
        ),
        last_commit=_cut_time(progress.last_commit),
        problem=_cut(progress.problem, _LONGEST_MESSAGE),
        failures=tuple(_cut_failure(failure) for failure in progress.failures[:MOST_FAILED]),
    )


def _cut(text: str, most: int) -> str:
    text = _CONTROL.sub(" ", text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _cut_number(number: int) -> int:
    return min(max(number, 0), _LARGEST)


def _cut_time(text: str) -> str:
    return text if _TIME.fullmatch(text) else ""


def _cut_copy(copy: Copying) -> Copying:
    total = None if copy.total is None else _cut_number(copy.total)
    return Copying(_cut(copy.stream, _LONGEST_NAME), _cut_number(copy.done), total)


def _cut_failure(failure: FailedStream) -> FailedStream:
    is_word = len(failure.reason) <= _LONGEST_REASON and _REASON.fullmatch(failure.reason)
    return FailedStream(
        _cut(failure.stream, _LONGEST_NAME),
        failure.reason if is_word else "",
        _cut(failure.message, _LONGEST_MESSAGE),
        _cut_time(failure.since),
    )
