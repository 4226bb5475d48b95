"""What moves through the pipeline: rows with operations, and the position that is reached when they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from connector_runner.protocols.schema import StreamSchema

Row = tuple[Any, ...]
# A source's own bookmark: a mapping that survives JSON (text, whole numbers, booleans, null, lists, mappings), opaque to all
# others, never changed once it was handed over. It names the point *after* the rows that it came with. Members whose names begin
# with `_` are kept by the checkpoint alone: what a source needs for resuming but nobody needs beside each row or in a log.
Position = Mapping[str, Any]


def place_of(position: Position) -> Position:
    """A position for rows, dead letters, incidents and logs: without what only the checkpoint keeps."""
    return {name: value for name, value in position.items() if not name.startswith("_")}


def whole_position(reader: Position, place: Position | None) -> Position:
    """Where a stream stands: at the reader's position, but for what its own place says.

    A *parked* stream's place has the members of a reader's position too, so that it stands at its own, older one. All positions of
    a reader therefore have the same members (null where there is nothing to say).
    """
    return {**reader, **place} if place else reader


class Operation(IntEnum):
    """What a row does to the dataset; the values are the bytes of `Batch.operations`."""

    UPSERT = 0
    """The row is the state of its key from now on. A full row in schema order."""
    DELETE = 1
    """The key is gone. A full row in schema order; only the key's values count, others may be None or the old values."""
    INSERT = 2
    """As UPSERT, but a row that is there already stays as it is (a poorer source never overwrites a richer one)."""
    REPLACE = 3
    """All rows whose key starts with this prefix are gone. The row is just the prefix: 1 … len(key) values (shorter than the
    schema), or the empty tuple for the whole table. A barrier: what comes before it in order is applied before, what comes
    after is applied after; it is never separated from the rest of its batch."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something a reader of the dataset must know: a hole that can't be filled, a snapshot taken again.

    Stored in `<table>_incidents` in the same transaction as the batch that carries it.

    Attributes:
        kind: One word in lower case: `gap`, `resnapshot`, `truncate`, …
        subject: What it is about: a product, a table, a block range.
        message: A sentence for people.
        detail: Facts for programs, JSON-able.
    """

    kind: str
    subject: str
    message: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """An indivisible step of a stream: stored as a whole with its position, or not at all.

    The pipeline puts several batches into one transaction but never splits one; a source keeps a batch small (about a
    megabyte) unless its rows must appear together. Handing it over gives it away: the source changes nothing in it later.

    Attributes:
        schema: The schema of these rows; another version than the batch before means that the schema changed here.
        rows: Tuples in schema order (see `Operation.REPLACE` for the exception).
        operations: One byte (an `Operation`) a row, or None when all rows are upserts.
        position: The reader's, after the last row. A batch without rows carries news of the position alone (a quiet stream).
        size: Estimated bytes in memory or on the wire, for queues and metrics; at least 1.
        incidents: Told and stored with the batch.
        event_time: Seconds since the epoch at which the source made the newest row, None if unknown; for the lag metric.
        place: What is particular to this stream after the batch (`whole_position`); the same object again while nothing changed.
            None from a source that keeps nothing apart: then `position` is whole.
        more: The next batch belongs to the same transaction of the source: they become visible together or not at all, so that only
            the last one's position is ever gone on from. What may be too much to hold at once the source ends earlier, where it can
            resume; and a stream has one schema within it.
    """

    schema: StreamSchema
    rows: Sequence[Row]
    position: Position
    operations: bytes | None = None
    size: int = 1
    incidents: tuple[Incident, ...] = ()
    event_time: float | None = None
    place: Position | None = None
    more: bool = False
