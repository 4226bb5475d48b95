"""Columns of values in PostgreSQL's binary format: each value exact, or refused.

A cell is a value preceded by its length; the joined cells of a column are an array parameter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import DataError
from psycopg.adapt import PyFormat, Transformer

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind
from connector_runner.schemas.datasets.postgresql import POSTGRESQL
from connector_runner.sinks.postgresql.times import date_days, time_micros, timestamp_micros, timestamptz_micros

NULL = b"\xff\xff\xff\xff"

Cells = list[bytes]
Encode = Callable[[Sequence[Any]], Cells]
_length = struct.Struct(">i").pack
_numeric_dumper = Transformer().get_dumper(Decimal(1), PyFormat.BINARY)


def _packed(code: str, size: int, convert: Callable[[Any], Any] | None = None) -> Encode:
    pack = struct.Struct(f">i{code}").pack

    def encode(values: Sequence[Any]) -> Cells:
        if convert is None:
            return [NULL if value is None else pack(size, value) for value in values]
        return [NULL if value is None else pack(size, convert(value)) for value in values]

    return encode


def _sized(payloads: Sequence[bytes | None]) -> Cells:
    return [NULL if payload is None else _length(len(payload)) + payload for payload in payloads]


def encode_texts(values: Sequence[str | None]) -> Cells:
    """UTF-8.

    Raises:
        RefusedError: A NUL, which PostgreSQL's text type can't hold.
        UnicodeEncodeError: A lone surrogate.
    """
    if any("\0" in value for value in values if value is not None):
        raise RefusedError("a text with a NUL character: PostgreSQL can't store it")
    return _sized([None if value is None else value.encode() for value in values])


def _encode_bytes(values: Sequence[bytes | None]) -> Cells:
    return _sized([None if value is None else bytes(value) for value in values])


def _encode_numbers(values: Sequence[Any]) -> Cells:
    dump = _numeric_dumper.dump
    try:
        return _sized([None if value is None else bytes(dump(Decimal(value)) or b"") for value in values])
    except DataError as error:
        raise RefusedError(str(error)) from None


def _encode_uuids(values: Sequence[str | None]) -> Cells:
    return _sized([None if value is None else bytes.fromhex(value.replace("-", "")) for value in values])


@dataclass(frozen=True, slots=True)
class PostgresType:
    """How a kind is stored.

    Attributes:
        name: The type's name from `format_type`, without a modifier: a narrower type would round silently.
        oid: The OID of the type.
        encode: Encodes a column of values as cells.
    """

    name: str
    oid: int
    encode: Encode


# By the type's name: its OID and its binary format.
FORMATS: dict[str, tuple[int, Encode]] = {
    "boolean": (16, _packed("?", 1)),
    "bigint": (20, _packed("q", 8)),
    "numeric": (1700, _encode_numbers),
    "real": (700, _packed("f", 4)),
    "double precision": (701, _packed("d", 8)),
    "text": (25, encode_texts),
    "bytea": (17, _encode_bytes),
    "date": (1082, _packed("i", 4, date_days)),
    "time without time zone": (1083, _packed("q", 8, time_micros)),
    "timestamp without time zone": (1114, _packed("q", 8, timestamp_micros)),
    "timestamp with time zone": (1184, _packed("q", 8, timestamptz_micros)),
    "json": (114, encode_texts),
    "uuid": (2950, _encode_uuids),
}
TYPES = {Kind(kind): PostgresType(stored.type, *FORMATS[stored.type]) for kind, stored in POSTGRESQL.types.items()}
TEXT = TYPES[Kind.STRING]

# (found, wanted) → True: the found type holds every value; False: needs ALTER COLUMN … TYPE, which loses nothing.
WIDENS: dict[tuple[str, str], bool] = {
    ("bigint", "numeric"): False,
    ("integer", "bigint"): False,
    ("smallint", "bigint"): False,
    ("real", "double precision"): False,
    ("date", "timestamp without time zone"): False,
    ("numeric", "bigint"): True,
    ("double precision", "real"): True,
    ("character varying", "text"): True,
    ("time(6) without time zone", "time without time zone"): True,
    ("timestamp(6) without time zone", "timestamp without time zone"): True,
    ("timestamp(6) with time zone", "timestamp with time zone"): True,
}


def column_types(schema: StreamSchema) -> list[PostgresType]:
    """The stored types of the columns, in row order."""
    return [TYPES[column.type.kind] for column in schema.columns]


def encode_columns(types: Sequence[PostgresType], rows: Sequence[Sequence[Any]]) -> list[Cells]:
    """Rows as columns of cells.

    Raises:
        RefusedError, UnicodeError, struct.error, OverflowError, ValueError, TypeError: A value has no exact form.
    """
    return [type_.encode(column) for type_, column in zip(types, zip(*rows, strict=True), strict=True)]


def array_parameter(oid: int, cells: Cells) -> bytes:
    """A one-dimensional array of at least one element."""
    return struct.pack(">iiIii", 1, 1, oid, len(cells), 1) + b"".join(cells)
