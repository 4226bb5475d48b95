"""Rows as JSON records: numbers with all their digits, times as ISO text, bytes in base64."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.protocols.batch import Row
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind

_encode = msgspec.json.Encoder(decimal_format="number").encode


def _raw(text: str) -> msgspec.Raw:
    try:
        json.loads(text)
    except ValueError:
        raise RefusedError("not a JSON text") from None
    return msgspec.Raw(text.encode())


def _float(value: float) -> float:
    if not math.isfinite(value):
        raise RefusedError(f"{value}: JSON has no such number")
    return value


def _decimal(value: Decimal | int) -> Any:
    number = Decimal(value)
    if not number.is_finite():
        raise RefusedError(f"{number}: JSON has no such number")
    return number


def _time(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    return str(value.isoformat())


# The other kinds need no conversion: JSON has them.
CONVERT: dict[Kind, Callable[[Any], Any]] = {
    Kind.UINT64: _decimal,
    Kind.INT256: _decimal,
    Kind.DECIMAL: _decimal,
    Kind.FLOAT32: _float,
    Kind.FLOAT64: _float,
    Kind.DATE: _time,
    Kind.TIME: _time,
    Kind.TIMESTAMP: _time,
    Kind.TIMESTAMPTZ: _time,
    Kind.JSON: _raw,
}


def build_record(
    schema: StreamSchema, row: Row, extra: dict[str, Any] | None = None, *, only_key: bool = False
) -> bytes:
    """One record as JSON.

    Args:
        schema: The row's schema.
        row: A full row, or a prefix of the key.
        extra: Further members.
        only_key: Only the key's columns.

    Raises:
        RefusedError, UnicodeEncodeError, OverflowError: JSON can't represent a value.
    """
    if len(row) < len(schema.columns):
        columns = [schema.columns[place] for place in schema.key_indices[: len(row)]]
        values: Sequence[Any] = row
    elif only_key:
        columns = [schema.columns[place] for place in schema.key_indices]
        values = [row[place] for place in schema.key_indices]
    else:
        columns, values = list(schema.columns), row
    record: dict[str, Any] = {}
    for column, value in zip(columns, values, strict=True):
        convert = CONVERT.get(column.type.kind)
        record[column.name] = value if value is None or convert is None else convert(value)
    if extra:
        record.update(extra)
    return _encode(record)
