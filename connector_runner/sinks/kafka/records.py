"""Rows as records: the key and the value as JSON objects (or the value as Avro), operation and position as headers. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from connector_runner.datasets.fencing import encode_position
from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Batch, Operation, Row, place_of
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.sinks.kafka.avro import AvroValues, is_avro, with_avro_operation, without_avro_operation
from connector_runner.sinks.kafka.types import CONVERT, CONVERT_KEY, ConvertColumn

VALUE_ERRORS = (ValueError, TypeError, OverflowError, UnicodeError, RecursionError, struct.error)
Headers = list[tuple[str, str | bytes | None]]
_encode = msgspec.json.Encoder().encode


class Encoder:
    """Encodes rows of one schema.

    Args:
        schema: Of the rows.
        avro: Encodes the values, if they are not JSON.
    """

    def __init__(self, schema: StreamSchema, avro: AvroValues | None = None) -> None:
        self.schema = schema
        self._avro = avro
        self._names = schema.names
        self._convert = _conversions(list(enumerate(schema.columns)), CONVERT)
        self._key_columns = [schema.columns[place] for place in schema.key_indices]
        self._key_convert = _conversions(list(enumerate(self._key_columns)), CONVERT_KEY)

    def values(self, rows: Sequence[Row]) -> list[bytes]:
        """The values of full rows.

        Raises:
            RefusedError and `VALUE_ERRORS`: The format can't represent one of them.
        """
        if self._avro is not None:
            return self._avro.values(rows)
        columns, names = _converted(rows, self._convert), self._names
        return [_encode(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]

    def keys(self, rows: Sequence[Row]) -> list[bytes | None]:
        """The keys of full rows; None where the schema has none."""
        places = self.schema.key_indices
        if not places:
            return [None] * len(rows)
        return [*self._encode_keys([tuple(row[place] for place in places) for row in rows])]

    def _encode_keys(self, keys: Sequence[Row]) -> list[bytes]:
        columns, names = _converted(keys, self._key_convert), self.schema.key
        return [_encode(dict(zip(names, key, strict=True))) for key in zip(*columns, strict=True)]

    def prefix(self, values: Row) -> bytes:
        """How the keys begin that start with these values; b"" for all keys."""
        if not values:
            return b""
        conversions = [(place, convert) for place, convert in self._key_convert if place < len(values)]
        columns = _converted([values], conversions)
        names = self.schema.key[: len(values)]
        text = _encode({name: column[0] for name, column in zip(names, columns, strict=True)})
        return text if len(values) == len(self.schema.key) else text[:-1] + b","


def _conversions(
    columns: Sequence[tuple[int, Column]], table: dict[Any, ConvertColumn]
) -> list[tuple[int, ConvertColumn]]:
    return [(place, table[column.type.kind]) for place, column in columns if column.type.kind in table]


def _converted(rows: Sequence[Row], conversions: Sequence[tuple[int, ConvertColumn]]) -> list[Sequence[Any]]:
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for place, convert in conversions:
        columns[place] = convert(columns[place])
    return columns


def with_operation(value: bytes, operation: str) -> bytes:
    """A value of a history: the operation is its last member."""
    if is_avro(value):
        return with_avro_operation(value, operation)
    return b'%b%b"_op":"%b"}' % (value[:-1], b"," if len(value) > 2 else b"", operation.encode())


def without_operation(value: bytes) -> tuple[bytes, str]:
    """The row in a value of a history, and its operation.

    Raises:
        ValueError: It has none.
    """
    if is_avro(value):
        return without_avro_operation(value)
    start = value.rindex(b'"_op":"')
    row = value[:start].removesuffix(b",") + b"}"
    return row, value[start + 7 : -2].decode()


class BatchHeaders:
    """The headers of the rows of a batch, the same list for all rows of an operation."""

    def __init__(self, batch: Batch, owner: tuple[str, str] | None = None) -> None:
        self._common: Headers = [("position", encode_position(place_of(batch.position)))]
        if owner is not None:
            self._common += [("connector", owner[0]), ("stream", owner[1])]
        self._by_operation: dict[int, Headers] = {}

    def of(self, operation: int) -> Headers:
        """Those of an operation."""
        found = self._by_operation.get(operation)
        if found is None:
            name = NAMES[operation] if operation != Operation.REPLACE else NAMES[Operation.DELETE]
            found = self._by_operation[operation] = [("op", name), *self._common]
        return found
