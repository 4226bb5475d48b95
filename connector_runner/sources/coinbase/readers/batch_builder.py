"""A batch that is being built: rows with operations, incidents, and what the source must do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector_runner.protocols.batch import Batch, Incident, Operation, Position, Row
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sources.coinbase.decode.messages import FeedError

REST_ROW_BYTES = 150


@dataclass(slots=True)
class BatchBuilder:
    """The result of draining the received messages once.

    Attributes:
        rows: The rows so far.
        operations: One byte per row; None as long as all are upserts.
        incidents: Stored together with the rows.
        size: The size of the messages in bytes.
        errors: Error messages of the exchange; the source decides what they mean.
        notes: Sentences for the log.
        distrust: Why the connection must be replaced; "" as long as it can be trusted.
    """

    rows: list[Row] = field(default_factory=list)
    operations: bytearray | None = None
    incidents: list[Incident] = field(default_factory=list)
    size: int = 0
    errors: list[FeedError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    distrust: str = ""

    def add(self, row: Row, operation: Operation) -> None:
        """Adds a row that may be something other than an upsert."""
        if self.operations is None and operation is not Operation.UPSERT:
            self.operations = bytearray(len(self.rows))
        self.rows.append(row)
        if self.operations is not None:
            self.operations += bytes((operation,))

    def extend(self, rows: list[Row]) -> None:
        """Adds rows that are upserts."""
        self.rows += rows
        if self.operations is not None:
            self.operations += bytes(len(rows))

    def add_incident(self, kind: str, subject: str, message: str, detail: Mapping[str, Any]) -> None:
        """Records an incident."""
        self.incidents.append(Incident(kind, subject, message, detail))

    def build(self, schema: StreamSchema, position: Position) -> Batch:
        """The batch. It takes over the builder's rows: do not use the builder afterwards."""
        return Batch(
            schema=schema,
            rows=self.rows,
            position=position,
            operations=None if self.operations is None else bytes(self.operations),
            size=max(1, self.size),
            incidents=tuple(self.incidents),
            event_time=event_time(schema, self.rows),
        )


def event_time(schema: StreamSchema, rows: list[Row]) -> float | None:
    """The time of the last row that has one, in seconds since the epoch; only the last three rows are searched."""
    column = next((n for n, name in enumerate(schema.names) if name in {"time", "timestamp"}), None)
    for row in rows[-1:-4:-1]:
        if column is not None and column < len(row) and isinstance(moment := row[column], datetime):
            return moment.timestamp() if moment.year > 1 else None
    return None
