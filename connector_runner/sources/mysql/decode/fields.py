"""How a column's value is laid out in bytes and how it becomes the canonical value, for the log and the copy side by side.

The log (row events) and the copy (binary protocol) have different layouts for the same value. Each column gets a `Field` for
each of them, and `row_compiler` compiles a table's fields into functions without loops or branches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from connector_runner.sources.mysql.decode import temporal, values
from connector_runner.sources.mysql.decode.json_binary import json_text
from connector_runner.sources.mysql.decode.wire_types import INTEGER_WIRES, Wire, string_meta
from connector_runner.sources.mysql.types import labels
from connector_runner.sources.mysql.types.charsets import is_utf8, key_decoder, text_decoder
from connector_runner.sources.mysql.types.columns import (
    GEOMETRIES,
    TEXTS,
    SourceColumn,
    fractional_digits,
    is_short_year,
)


class Use(Enum):
    """How generated code applies the converter."""

    AS_IS = "{v}"
    UTF8 = '{v}.decode("utf-8", "surrogateescape")'
    CALL = "{f}({v})"
    INDEX = "{f}[{v}]"


LENGTH_ENCODED = 9  # the protocol's length-encoded prefix, in `Field.prefix`


@dataclass(frozen=True, slots=True)
class Field:
    """The layout of one value.

    Attributes:
        code: The `struct` code of a value of fixed size (`q`, `3s`), else "".
        prefix: The number of bytes of the little-endian length before a value of variable size; `LENGTH_ENCODED` in the protocol.
        use: How `convert` is applied to get the canonical value.
        convert: A function or a mapping.
    """

    code: str = ""
    prefix: int = 0
    use: Use = Use.AS_IS
    convert: Callable[[Any], Any] | Mapping[Any, Any] | tuple[Any, ...] | None = None


_INTEGER_CODES = {Wire.TINY: "bB", Wire.SHORT: "hH", Wire.LONG: "iI", Wire.LONGLONG: "qQ"}
_ENUM_CODES = {1: "B", 2: "H"}
_FRACTION_BYTES = (0, 1, 1, 2, 2, 3, 3)


def _text(column: SourceColumn, prefix: int, in_key: bool) -> Field:
    if is_utf8(column.charset):
        return Field(prefix=prefix, use=Use.UTF8)
    build = key_decoder if in_key else text_decoder
    return Field(prefix=prefix, use=Use.CALL, convert=build(column.charset))


def log_field(
    column: SourceColumn, wire: int, meta: int, *, in_key: bool = False, logged_labels: Sequence[bytes] | None = None
) -> Field:
    """The layout in row events.

    Args:
        column: Its definition.
        wire: The type in the table map.
        meta: Its metadata there, little-endian.
        in_key: Whether it is part of the key: then two values with the same text are refused.
        logged_labels: The labels of an ENUM or SET, if the table map has them.
    """
    unsigned = column.type.is_unsigned
    if codes := _INTEGER_CODES.get(Wire(wire)):
        return Field(codes[unsigned])
    if maker := _LOG_FIXED.get(Wire(wire)):
        return maker(column, meta)
    match wire:
        case Wire.VARCHAR | Wire.VAR_STRING:
            return _log_string(column, 2 if meta > 255 else 1, in_key)
        case Wire.BLOB:
            return _log_string(column, meta, in_key)
        case Wire.GEOMETRY:
            return Field(prefix=meta, use=Use.CALL, convert=values.wkb)
        case Wire.JSON:
            return Field(prefix=meta, use=Use.CALL, convert=json_text)
        case Wire.VECTOR:
            return Field(prefix=meta)
        case _:
            real_type, length = string_meta(meta)
            if real_type in {Wire.ENUM, Wire.SET}:
                return _log_labels(column, real_type, length, labels.exact_labels(column, logged_labels), in_key)
            return _log_char(column, length, in_key)


def _log_string(column: SourceColumn, prefix: int, in_key: bool) -> Field:
    return _text(column, prefix, in_key) if column.charset else Field(prefix=prefix)


def _log_labels(
    column: SourceColumn, real_type: int, length: int, exact: tuple[str, ...] | None, in_key: bool
) -> Field:
    if real_type == Wire.ENUM:
        texts = labels.enum_texts(column, exact, in_key=in_key)
        return Field(_ENUM_CODES[length], use=Use.INDEX, convert=texts)
    sets = labels.set_texts(column, exact, in_key=in_key)
    return Field(f"{length}s", use=Use.CALL, convert=lambda raw: sets[int.from_bytes(raw, "little")])


def _log_char(column: SourceColumn, length: int, in_key: bool) -> Field:
    """CHAR and BINARY, which share a wire type, and MariaDB's UUID, INET4 and INET6, which look like BINARY."""
    kind = column.type
    prefix = 2 if length > 255 else 1
    if special := _LOG_BINARIES.get(kind.base):
        return Field(prefix=prefix, use=Use.CALL, convert=special)
    if column.charset:
        return _text(column, prefix, in_key)
    size = kind.numbers[0] if kind.numbers else 1
    return Field(prefix=prefix, use=Use.CALL, convert=lambda raw: raw.ljust(size, b"\0"))


_LOG_BINARIES: dict[str, Callable[[bytes], Any]] = {
    "uuid": values.log_uuid, "inet6": values.log_inet6, "inet4": values.log_inet4,
}  # fmt: skip


def _log_int24(column: SourceColumn, _meta: int) -> Field:
    convert = values.little_endian if column.type.is_unsigned else values.little_endian_signed
    return Field("3s", use=Use.CALL, convert=convert)


def _log_decimal(_column: SourceColumn, meta: int) -> Field:
    precision, scale = meta & 0xFF, meta >> 8
    size = values.decimal_size(precision, scale)
    return Field(f"{size}s", use=Use.CALL, convert=values.log_decimal(precision, scale))


def _log_bit(_column: SourceColumn, meta: int) -> Field:
    bits, whole = meta & 0xFF, meta >> 8
    return Field(f"{whole + (bits > 0)}s", use=Use.CALL, convert=values.big_endian)


def _packed(size: int, converter: Callable[[int], Callable[[bytes], Any]]) -> Callable[[SourceColumn, int], Field]:
    return lambda _column, meta: Field(f"{size + _FRACTION_BYTES[meta]}s", use=Use.CALL, convert=converter(meta))


_DATES = temporal.Dates()  # of all tables


def _log_date(_column: SourceColumn, _meta: int) -> Field:
    return Field("3s", use=Use.INDEX, convert=_DATES)


_YEARS = (0, *range(1901, 2156))
_SHORT_YEARS = tuple(year % 100 for year in _YEARS)

_LOG_FIXED: dict[Wire, Callable[[SourceColumn, int], Field]] = {
    Wire.INT24: _log_int24,
    Wire.FLOAT: lambda _column, _meta: Field("f"),
    Wire.DOUBLE: lambda _column, _meta: Field("d"),
    Wire.NEWDECIMAL: _log_decimal,
    Wire.BIT: _log_bit,
    Wire.YEAR: lambda column, _meta: Field(
        "B", use=Use.INDEX, convert=_SHORT_YEARS if is_short_year(column) else _YEARS
    ),
    Wire.DATE: _log_date,
    Wire.NEWDATE: _log_date,
    Wire.DATETIME2: _packed(5, temporal.log_datetime),
    Wire.TIMESTAMP2: _packed(4, temporal.log_timestamp),
    Wire.TIME2: _packed(3, temporal.log_time),
    Wire.DATETIME: lambda _column, _meta: Field("Q", use=Use.CALL, convert=temporal.log_datetime_old),
    Wire.TIMESTAMP: lambda _column, _meta: Field("I", use=Use.CALL, convert=temporal.log_timestamp_old),
    Wire.TIME: lambda _column, _meta: Field("3s", use=Use.CALL, convert=temporal.log_time_old),
}


def is_read_as_number(column: SourceColumn, *, in_key: bool) -> bool:
    """Whether the copy asks for the number of an ENUM or SET: in a key, if two of its values have the same text."""
    return in_key and labels.is_ambiguous(column)


def result_field(column: SourceColumn, *, in_key: bool = False) -> Field:
    """The layout in result sets of the binary protocol, with `character_set_results` NULL (no conversion by the server)."""
    kind = column.type
    if is_read_as_number(column, in_key=in_key):
        build = labels.enum_texts if kind.base == "enum" else labels.set_texts
        texts: Any = build(column, in_key=True)
        return Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=lambda raw: texts[int(raw)])
    if kind.base in INTEGER_WIRES:
        wire = Wire.LONG if kind.base == "mediumint" else INTEGER_WIRES[kind.base]
        return Field(_INTEGER_CODES[wire][kind.is_unsigned])
    if plain := _RESULT_PLAIN.get(kind.base):
        return plain
    if kind.base == "time":
        return Field(prefix=1, use=Use.CALL, convert=temporal.field_time(fractional_digits(kind)))
    if kind.base in {"enum", "set"} and column.charset:
        return Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=labels.result_reader(column, in_key=in_key))
    if kind.base in TEXTS and column.charset:
        return _text(column, LENGTH_ENCODED, in_key)
    if kind.base in GEOMETRIES:
        return Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=values.wkb)
    return Field(prefix=LENGTH_ENCODED)


def _decimal_text(raw: bytes) -> Any:
    return Decimal(raw.decode("ascii"))


def _ascii_lower(raw: bytes) -> str:
    return raw.decode("ascii").lower()


_RESULT_PLAIN = {
    "float": Field("f"),
    "double": Field("d"),
    "year": Field("H"),
    "decimal": Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=_decimal_text),
    "date": Field(prefix=1, use=Use.CALL, convert=temporal.field_date),
    "datetime": Field(prefix=1, use=Use.CALL, convert=temporal.field_datetime),
    "timestamp": Field(prefix=1, use=Use.CALL, convert=temporal.field_timestamp),
    "bit": Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=values.big_endian),
    "json": Field(prefix=LENGTH_ENCODED, use=Use.UTF8),
    "uuid": Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=_ascii_lower),
    "inet6": Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=_ascii_lower),
    "inet4": Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=_ascii_lower),
}
