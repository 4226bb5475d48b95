"""Logs decoded by a contract's ABI: one stream per event, one typed column per argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import STRING
from connector_runner.sources.ethereum.decode.abi import Event, UnreadableTypeError, parse_entry, parse_signature
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.decode.rows import BLOCK_COLUMNS, EXTRA, Json, build_schema
from connector_runner.sources.ethereum.decode.tables import LOGS, log_rows
from connector_runner.sources.ethereum.errors import MalformedAnswerError

PREFIX = "events."
UNDECODED = Column(
    "undecoded",
    STRING,
    True,
    "The log's data where it does not fit the ABI; its arguments are null then, its topics are in extra.",
)
_BASE = LOGS[:4]  # log index, transaction, contract; topics and data are decoded
_TAKEN = frozenset(column.name for column in (*BLOCK_COLUMNS, *(field.column for field in _BASE), UNDECODED, EXTRA))


def event_schema(event: Event, stream: str) -> StreamSchema:
    """Schema of an event's own stream."""
    columns = [
        Column(name, argument.logical, True, f"{argument.type} {argument.name}".strip())
        for name, argument in zip(event.names, event.arguments, strict=True)
    ]
    return build_schema(stream, _BASE, ("log_index",), (*columns, UNDECODED, EXTRA))


def event_rows(event: Event, header: Header, logs: Sequence[Json]) -> list[Row]:
    """Makes rows of the logs that belong to this event."""
    own = [log for log in logs if event.is_log(log)]
    raw = [(log["topics"], log["data"]) for log in own]
    base = len(_BASE) + len(BLOCK_COLUMNS)
    rows = []
    for row, (topics, data) in zip(log_rows(header, own), raw, strict=True):
        try:
            rows.append((*row[:base], *event.values(topics, data), None, row[-1]))
        except (ValueError, OverflowError, StopIteration, MalformedAnswerError):
            nothing = [None] * len(event.arguments)
            rows.append((*row[:base], *nothing, data, _with_topics(row[-1], topics)))
    return rows


def _with_topics(extra: str | None, topics: Sequence[str]) -> str:
    """Adds the topics of a log that does not match to `extra`, so that no data is lost."""
    return msgspec.json.encode({**msgspec.json.decode(extra or "{}"), "topics": topics}).decode()


@dataclass(frozen=True, slots=True)
class EventStreams:
    """The events of a configuration.

    Attributes:
        streams: The events by stream id: `events.Transfer`; an overloaded name gets a number, `events.Transfer_2`.
        unreadable: Why events of the ABI are not streams, one sentence each.
    """

    streams: dict[str, Event]
    unreadable: tuple[str, ...] = ()


def find_events(
    abi: Sequence[Mapping[str, Any]], signatures: Sequence[str], reserved: frozenset[str] = frozenset()
) -> EventStreams:
    """Finds the events of a configuration; no column of an argument has a name in `reserved`.

    Raises:
        InvalidConfigError: An entry can't be understood.
    """
    problems: list[str] = []
    found: list[Event] = []
    unreadable: list[str] = []
    attempts: list[tuple[str, Callable[[], Event]]] = [
        *((f"config.abi[{index}]", partial(parse_entry, entry)) for index, entry in enumerate(abi)),
        *((f"config.events[{index}]", partial(parse_signature, text)) for index, text in enumerate(signatures)),
    ]
    for place, (path, parse) in enumerate(attempts):
        try:
            found.append(replace(parse(), reserved=_TAKEN | reserved))
        except UnreadableTypeError as error:
            if place >= len(abi):  # the configuration names this event explicitly
                problems.append(f"{path}: not an event ({error})")
            else:
                unreadable.append(f"the event {abi[place].get('name')} of the ABI is not a stream: {error}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}: not an event ({error})")
    if problems:
        raise InvalidConfigError(problems)
    streams: dict[str, Event] = {}
    for event in dict.fromkeys(found):
        names = (PREFIX + event.name + (f"_{number}" if number > 1 else "") for number in range(1, len(found) + 2))
        streams[next(name for name in names if name not in streams)] = event
    return EventStreams(streams, tuple(unreadable))
