"""The copy and the log as batches of one stream: how each changes the position. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from connector_runner.protocols.batch import Batch, Incident, Operation, Position, Row
from connector_runner.sources.mysql.log_reader.log_batch import Again, LogBatch
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.snapshot.chunk import Chunk, key_literals

PIECE_ROWS = 5000


@dataclass(frozen=True)
class Applied:
    """The position after a batch of the log was applied.

    Attributes:
        position: The position after it.
        incidents: The incidents to record with it.
        is_copied_again: Whether the copy starts from the table's start.
    """

    position: StreamPosition
    incidents: tuple[Incident, ...]
    is_copied_again: bool


def apply_log(before: StreamPosition, batch: LogBatch) -> Applied:
    """Advances a position by a batch of the log."""
    copy, incidents, is_copied_again = before.copy, batch.incidents, False
    if batch.again in {Again.RESTART, Again.RENEW, Again.REFRESH}:
        copy, is_copied_again = Progress(), True
    elif copy is not None and copy.last is not None and batch.definition.order != before.definition.order:
        copy, is_copied_again = Progress(), True
        message = (
            f"{batch.definition.id}: its key sorts otherwise than when the copy began, so that the rows behind the last one copied "
            "are others; all are read again"
        )
        incidents = (*incidents, Incident("refresh", batch.definition.id, message, {}))
    return Applied(StreamPosition(batch.position, batch.definition, copy), incidents, is_copied_again)


def build_log_batch(applied: Applied, batch: LogBatch, position: Position) -> Batch:
    """Makes the stream's batch, with its position, from a batch of the log."""
    operations = batch.operations if any(batch.operations) else None
    rows: list[Any] = batch.rows
    if batch.again in {Again.RESTART, Again.RENEW, Again.CLEAR}:
        rows, operations = [*rows, ()], (batch.operations + bytes([Operation.REPLACE]))
    return Batch(
        batch.definition.schema, rows, position, operations, batch.size, applied.incidents, batch.event_time,
        renews=batch.again is Again.RENEW,
    )  # fmt: skip


def clearing_batch(position: StreamPosition, incident: Incident | None = None, *, renews: bool = False) -> Batch:
    """A batch that empties the dataset's table before a copy."""
    return Batch(
        position.definition.schema, [()], position.to_json(), bytes([Operation.REPLACE]),
        incidents=() if incident is None else (incident,), renews=renews,
    )  # fmt: skip


def position_batch(position: StreamPosition) -> Batch:
    """A batch that stores only a position."""
    return Batch(position.definition.schema, [], position.to_json())


def chunk_batches(start: StreamPosition, end: StreamPosition, chunk: Chunk, rows: list[Row]) -> list[Batch]:
    """Splits a chunk into batches.

    Args:
        start: The position before it.
        end: The position after it.
        chunk: The chunk as it was read.
        rows: Its rows without those that the log has delivered.
    """
    done = 0 if start.copy is None else start.copy.done
    size = max(1, chunk.size // max(1, len(chunk.rows)))
    batches = []
    for at in range(0, max(1, len(rows)), PIECE_ROWS):
        piece, position = rows[at : at + PIECE_ROWS], end
        if at + PIECE_ROWS < len(rows):
            last = key_literals(chunk.definition, piece[-1])
            position = replace(start, copy=Progress(last, done + at + len(piece)))
        batches.append(Batch(chunk.definition.schema, piece, position.to_json(), None, max(1, size * len(piece))))
    return batches
