"""Values as columns of Arrow: each exact, or refused. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.protocols.schema import Column
from connector_runner.protocols.types import Kind, LogicalType

LONGEST_DECIMAL = 38
VALUE_ERRORS = (RefusedError, ValueError, TypeError, OverflowError, pa.ArrowException)
_PLAIN: dict[Kind, pa.DataType] = {
    Kind.BOOL: pa.bool_(),
    Kind.INT64: pa.int64(),
    Kind.UINT64: pa.decimal128(20, 0),
    Kind.FLOAT32: pa.float32(),
    Kind.FLOAT64: pa.float64(),
    Kind.BYTES: pa.binary(),
    Kind.DATE: pa.date32(),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.TIMESTAMPTZ: pa.timestamp("us", "UTC"),
}


def arrow_type(type_: LogicalType) -> pa.DataType:
    """The type of a column; text where there is no exact type that all lake formats have."""
    if type_.kind is Kind.DECIMAL and type_.precision is not None and type_.precision <= LONGEST_DECIMAL:
        return pa.decimal128(max(1, type_.precision), type_.scale or 0)
    return _PLAIN.get(type_.kind, pa.string())


def decimal_text(value: Decimal) -> str:
    """All digits, without an exponent unless the text would be extremely long."""
    exponent = value.as_tuple().exponent
    return format(value, "f") if isinstance(exponent, int) and -20_000 <= exponent <= 20_000 else str(value)


def canonical_decimal(value: Decimal) -> str:
    """The same text for all equal decimals, in a key."""
    if not value.is_finite():
        return str(value)
    text = decimal_text(value)
    if "." in text and "E" not in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", "0"} else text


def _time_text(value: dt.time) -> str:
    return value.isoformat("microseconds")


_TEXTS: dict[Kind, Callable[[Any], str]] = {Kind.INT256: str, Kind.DECIMAL: decimal_text, Kind.TIME: _time_text}


class Converter:
    """Converts the values of one column.

    Attributes:
        name: The column's name.
        type: Its type.
    """

    def __init__(self, column: Column, *, is_key: bool) -> None:
        self.name = column.name
        self.type = arrow_type(column.type)
        self.field = pa.field(column.name, self.type, nullable=not is_key)
        kind = column.type.kind
        text = canonical_decimal if is_key and kind is Kind.DECIMAL else _TEXTS.get(kind)
        self._text = text if self.type == pa.string() else None

    def convert(self, values: Sequence[Any]) -> pa.Array:
        """The values as an array.

        Raises:
            `VALUE_ERRORS`: One of them has no exact form.
        """
        if (text := self._text) is not None:
            values = [None if value is None else text(value) for value in values]
        return pa.array(values, self.type)
