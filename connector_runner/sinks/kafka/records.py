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
from connector_runner.protocols.types import Kind
from connector_runner.sinks.kafka.avro import AvroValues, is_avro, with_avro_operation, without_avro_operation
from connector_runner.sinks.kafka.types import CONVERT, CONVERT_KEY, ConvertColumn

VALUE_ERRORS = (ValueError, TypeError, OverflowError, UnicodeError, RecursionError, struct.error)
Headers = list[tuple[str, str | bytes | None]]
_encode, _encode_lines = msgspec.json.Encoder().encode, msgspec.json.Encoder().encode_lines


class Encoder:
    """Encodes rows of one schema.

    Args:
        schema: Of the rows.
        avro: Encodes the values, if they are not JSON.
    """

    def __init__(self, schema: StreamSchema, avro: AvroValues | None = None) -> None:
        self.schema = schema
        self._avro = avro
        self._values = _Objects(schema.columns, CONVERT)
        self._keys = _Objects([schema.columns[place] for place in schema.key_indices], CONVERT_KEY)
        self._prefixes: dict[int, _Objects] = {}

    def values(self, rows: Sequence[Row]) -> list[bytes]:
        """The values of full rows.

        Raises:
            RefusedError and `VALUE_ERRORS`: The format can't represent one of them.
        """
        if self._avro is not None:
            return self._avro.values(rows)
        return self._values.encode(list(zip(*rows, strict=True)))

    def keys(self, rows: Sequence[Row]) -> Sequence[bytes | None]:
        """The keys of full rows; None where the schema has none."""
        places = self.schema.key_indices
        if not places:
            return [None] * len(rows)
        return self._keys.encode([[row[place] for row in rows] for place in places])

    def prefix(self, values: Row) -> bytes:
        """How the keys begin that start with these values; b"" for all keys."""
        if not values:
            return b""
        count = len(values)
        if count not in self._prefixes:
            first = [self.schema.columns[place] for place in self.schema.key_indices[:count]]
            self._prefixes[count] = _Objects(first, CONVERT_KEY)
        (text,) = self._prefixes[count].encode([[value] for value in values])
        return text if len(values) == len(self.schema.key) else text[:-1] + b","


class _Objects:
    """JSON objects, made of columns.

    All rows are encoded by one call, one object a line, as instances of a class whose members' names are encoded once. A text in
    JSON has no line's end, unless it comes from a column of JSON, whose texts stay as they are; then each row is a call.
    """

    def __init__(self, columns: Sequence[Column], table: dict[Any, ConvertColumn]) -> None:
        self._convert = [(at, table[each.type.kind]) for at, each in enumerate(columns) if each.type.kind in table]
        self._has_lines = any(each.type.kind is Kind.JSON for each in columns)
        names = {f"member_{at}": each.name for at, each in enumerate(columns)}
        self._object = msgspec.defstruct("Object", [(name, Any) for name in names], rename=names, gc=False)

    def encode(self, columns: list[Sequence[Any]]) -> list[bytes]:
        """The objects of columns of equal length."""
        for place, convert in self._convert:
            columns[place] = convert(columns[place])
        objects = list(map(self._object, *columns))
        if self._has_lines:
            return [_encode(each) for each in objects]
        lines = _encode_lines(objects).split(b"\n")
        del lines[-1]
        return lines


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
    """The headers of the rows of a batch, the same list for all rows of an operation.

    Attributes:
        size: How long they are; a position may be longer than the row (the transactions of MySQL that are applied).
    """

    def __init__(self, batch: Batch, owner: tuple[str, str] | None = None) -> None:
        common = {"position": encode_position(place_of(batch.position))}
        if owner is not None:
            common |= {"connector": owner[0], "stream": owner[1]}
        self._common: Headers = list(common.items())
        self.size = sum(len(name) + len(value.encode()) for name, value in common.items())
        self._by_operation: dict[int, Headers] = {}

    def of(self, operation: int) -> Headers:
        """Those of an operation."""
        found = self._by_operation.get(operation)
        if found is None:
            name = NAMES[operation] if operation != Operation.REPLACE else NAMES[Operation.DELETE]
            found = self._by_operation[operation] = [("op", name), *self._common]
        return found
