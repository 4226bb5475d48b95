"""What moves through the pipeline: rows with operations, and the position that is reached once they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from connector_runner.protocols.schema import StreamSchema

Row = tuple[Any, ...]
# A source's own bookmark: a mapping of JSON values (text, whole numbers, booleans, null, lists, mappings), opaque to all other
# code, never changed after it was passed on. It names the point *after* the rows that it came with. Members whose names begin with
# `_` are stored in the checkpoint only: a source needs them to resume, but they are not needed beside each row or in a log.
Position = Mapping[str, Any]


def place_of(position: Position) -> Position:
    """A position for rows, dead letters, incidents and logs: without the members that only the checkpoint stores."""
    return {name: value for name, value in position.items() if not name.startswith("_")}


def whole_position(reader: Position, place: Position | None) -> Position:
    """A stream's whole position: the reader's position, overridden by the members of the stream's own place.

    The place of a *parked* stream also has the members of a reader's position, so its whole position is its own, older one. All
    positions of a reader therefore have the same members (null where one has no value).
    """
    return {**reader, **place} if place else reader


class Operation(IntEnum):
    """What a row does to the dataset; the values of the enum are the bytes of `Batch.operations`."""

    UPSERT = 0
    """The row is the new state of its key. A full row in schema order."""
    DELETE = 1
    """The key is deleted. A full row in schema order; only the key's values count, others may be None or the old values."""
    INSERT = 2
    """Like UPSERT, but an existing row is left unchanged (a source with less data never overwrites one with more)."""
    REPLACE = 3
    """All rows whose key starts with this prefix are deleted. The row is just the prefix: 1 … len(key) values (shorter than the
    schema), or the empty tuple for the whole table. A barrier: operations before it are applied before it, operations after it
    are applied after it; it is never separated from the rest of its batch."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that readers of the dataset must know: a gap that can't be filled, a snapshot that was repeated.

    Stored in `<table>_incidents` in the same transaction as the batch that carries it.

    Attributes:
        kind: One word in lower case: `gap`, `resnapshot`, `truncate`, …
        subject: What is affected: a product, a table, a block range.
        message: A sentence for people.
        detail: Facts for programs, as JSON values.
    """

    kind: str
    subject: str
    message: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """An indivisible step of a stream: stored as a whole with its position, or not at all.

    The pipeline puts several batches into one transaction but never splits one; a source keeps a batch small (about a
    megabyte) unless its rows must appear together. After the source has yielded it, the source never changes it.

    Attributes:
        schema: The schema of these rows; if its version differs from the previous batch, the schema changed here.
        rows: Tuples in schema order (see `Operation.REPLACE` for the exception).
        operations: One byte (an `Operation`) for each row, or None if all rows are upserts.
        position: The reader's position after the last row. A batch without rows carries only a newer position (a quiet stream).
        size: Estimated bytes in memory or on the wire, for queues and metrics; at least 1.
        incidents: Reported and stored with the batch.
        event_time: When the source created the newest row, as Unix time; None if unknown. For the lag metric.
        place: The stream's own part of the position after the batch (`whole_position`); the same object while it is unchanged.
            None from a source that has no such part: then `position` is whole.
        more: The next batch belongs to the same transaction of the source: they become visible together or not at all, so the source
            only ever resumes from the last one's position. The source ends a transaction that may be too large to hold at once
            earlier, at a point where it can resume. Within a transaction a stream has one schema.
        renews: It removes all rows, and all come again, as the user has chosen for such a case: a table that can't be made to fit
            the schema with its rows in it may be altered once they are gone.
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
    renews: bool = False


def first_renews(batches: Iterable[Batch]) -> bool:
    """Whether the first of these batches that has rows renews the table."""
    return next((batch.renews for batch in batches if batch.rows), False)
