"""Dead letters: rows that a dataset refuses, as JSON with the reason, and the limit on their number."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connector_runner.datasets.fencing import encode_position
from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Batch, Incident, Position, Row, place_of
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import RefusedRows


class RefusedError(Exception):
    """A value that the dataset can't store exactly, found before it was sent; the message names column and reason."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused row.

    Attributes:
        reason: Why the database or the sink refused it.
        operation: `upsert`, `delete`, …
        position: The position after its batch, as JSON.
        row: A JSON object by column name (a list for the prefix of a replacement).
    """

    reason: str
    operation: str
    position: str
    row: str


def build_letter(schema: StreamSchema, operation: int, row: Row, batch: Batch, reason: str) -> DeadLetter:
    """The row with its reason; NUL characters are escaped, since not every database can store them."""
    return DeadLetter(
        reason.replace("\0", "\\0"), NAMES[operation], encode_position(place_of(batch.position)), row_json(schema, row)
    )


def row_json(schema: StreamSchema, row: Row) -> str:
    """A row as a JSON object in ASCII, with every value recognisable."""
    if len(row) != len(schema.names):
        return json.dumps([json_value(value) for value in row])
    return json.dumps({name: json_value(value) for name, value in zip(schema.names, row, strict=True)})


def json_value(value: Any) -> Any:
    """A value in JSON: decimals and times as text, bytes in base64, NaN and infinities by name."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    return value


class Refusals:
    """The policy for refused rows: counts consecutive refusals; ends the run if so configured or at the limit."""

    def __init__(self, policy: RefusedRows, limit: int) -> None:
        self._policy = policy
        self._limit = limit
        self._streak = 0

    def accepted(self) -> None:
        """Records that a row was stored."""
        self._streak = 0

    def refused(self, letter: DeadLetter, table: str) -> None:
        """Records that a row was refused.

        Raises:
            ActionRequiredError: The dataset says `stop`, or the limit is reached; the transaction must be rolled back.
        """
        self._streak += 1
        shown = letter.row if len(letter.row) <= 500 else letter.row[:500] + "…"
        if self._policy is RefusedRows.STOP:
            raise ActionRequiredError(
                f"table {table} refuses a row ({letter.operation}): {letter.reason}; row {shown}; fix the source or the "
                "table, or set refusedRows: deadLetter on the Dataset",
                reason="RowRefused",
            )
        if self._streak >= self._limit:
            raise ActionRequiredError(
                f"table {table} refused {self._streak} rows in a row; the last reason: {letter.reason}; row {shown}",
                reason="TooManyRefusedRows",
            )

    def snapshot(self) -> int:
        """The state, to be restored if a transaction is rolled back."""
        return self._streak

    def restore(self, state: int) -> None:
        """Undoes what was counted since `snapshot`."""
        self._streak = state


def incident_rows(batches: Sequence[Batch]) -> list[tuple[str, str, str, str, str]]:
    """(kind, subject, message, detail as JSON, position as JSON) of each incident, in order."""
    return [incident_row(incident, batch.position) for batch in batches for incident in batch.incidents]


def incident_row(incident: Incident, position: Position) -> tuple[str, str, str, str, str]:
    """(kind, subject, message, detail as JSON, position as JSON) of one incident."""
    detail = json.dumps(dict(incident.detail))
    return incident.kind, incident.subject, incident.message, detail, encode_position(place_of(position))
