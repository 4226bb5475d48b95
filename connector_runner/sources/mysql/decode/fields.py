"""How one column's value lies on the wire and becomes the canonical value, for both paths side by side.

The log (row events) and the copy (binary protocol) have different layouts of the same value; each column gets a `Field` for
either, and `rowcode` compiles a table's fields into straight-line functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any

from connector_runner.sources.mysql.decode import values
from connector_runner.sources.mysql.decode.json_binary import json_text
from connector_runner.sources.mysql.types import labels
from connector_runner.sources.mysql.types.charsets import is_utf8, key_decoder, text_decoder
from connector_runner.sources.mysql.types.columns import (
    BINARIES,
    BLOB_PREFIX,
    GEOMETRIES,
    INTEGER_BYTES,
    TEXTS,
    SourceColumn,
    fractional_digits,
    is_short_year,
)


class Wire(IntEnum):
    """Column types of table map events (`enum_field_types`)."""

    TINY = 1
    SHORT = 2
    LONG = 3
    FLOAT = 4
    DOUBLE = 5
    TIMESTAMP = 7
    LONGLONG = 8
    INT24 = 9
    DATE = 10
    TIME = 11
    DATETIME = 12
    YEAR = 13
    NEWDATE = 14
    VARCHAR = 15
    BIT = 16
    TIMESTAMP2 = 17
    DATETIME2 = 18
    TIME2 = 19
    VECTOR = 242
    JSON = 245
    NEWDECIMAL = 246
    ENUM = 247
    SET = 248
    BLOB = 252
    VAR_STRING = 253
    STRING = 254
    GEOMETRY = 255


class Use(Enum):
    """How the converter is applied in generated code."""

    AS_IS = "{v}"
    UTF8 = '{v}.decode("utf-8", "surrogateescape")'
    CALL = "{f}({v})"
    INDEX = "{f}[{v}]"


LENGTH_ENCODED = 9  # the protocol's length-encoded prefix, in `Field.prefix`


@dataclass(frozen=True, slots=True)
class Field:
    """One value's layout.

    Attributes:
        code: Its `struct` code when it has a fixed size (`q`, `3s`), else "".
        prefix: Bytes of the little-endian length before it when its size varies; `LENGTH_ENCODED` in the protocol.
        use: How `convert` makes the canonical value of it.
        convert: A function or a mapping.
    """

    code: str = ""
    prefix: int = 0
    use: Use = Use.AS_IS
    convert: Callable[[Any], Any] | Mapping[Any, Any] | tuple[Any, ...] | None = None


_INTEGER_CODES = {Wire.TINY: "bB", Wire.SHORT: "hH", Wire.LONG: "iI", Wire.LONGLONG: "qQ"}
_INTEGER_WIRES = {
    "tinyint": Wire.TINY, "smallint": Wire.SHORT, "mediumint": Wire.INT24, "int": Wire.LONG, "bigint": Wire.LONGLONG,
}  # fmt: skip
_ENUM_CODES = {1: "B", 2: "H"}
_FRACTION_BYTES = (0, 1, 1, 2, 2, 3, 3)


def string_meta(meta: int) -> tuple[int, int]:
    """The real type and the length in bytes that a STRING column's two bytes of metadata hide (`Field_string`)."""
    first, second = meta & 0xFF, meta >> 8
    if first & 0x30 != 0x30:
        return first | 0x30, second | ((first & 0x30) ^ 0x30) << 4
    return first, second


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
        in_key: Whether the key has it: then values that read alike are refused.
        logged_labels: Of an ENUM or SET, where the table map has them.
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
    """CHAR and BINARY, which share a wire type; and MariaDB's UUID, INET4 and INET6, which look like BINARY."""
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


def _log_date(_column: SourceColumn, _meta: int) -> Field:
    return Field("3s", use=Use.INDEX, convert=values.Dates())


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
    Wire.DATETIME2: _packed(5, values.log_datetime),
    Wire.TIMESTAMP2: _packed(4, values.log_timestamp),
    Wire.TIME2: _packed(3, values.log_time),
    Wire.DATETIME: lambda _column, _meta: Field("Q", use=Use.CALL, convert=values.log_datetime_old),
    Wire.TIMESTAMP: lambda _column, _meta: Field("I", use=Use.CALL, convert=values.log_timestamp_old),
    Wire.TIME: lambda _column, _meta: Field("3s", use=Use.CALL, convert=values.log_time_old),
}


def is_read_as_number(column: SourceColumn, *, in_key: bool) -> bool:
    """Whether the copy asks for the number of an ENUM or SET: in a key, where the text does not tell its values apart."""
    return in_key and labels.is_ambiguous(column)


def result_field(column: SourceColumn, *, in_key: bool = False) -> Field:
    """The layout in result sets of the binary protocol, with `character_set_results` NULL (no conversion by the server)."""
    kind = column.type
    if is_read_as_number(column, in_key=in_key):
        build = labels.enum_texts if kind.base == "enum" else labels.set_texts
        texts: Any = build(column, in_key=True)
        return Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=lambda raw: texts[int(raw)])
    if kind.base in _INTEGER_WIRES:
        wire = Wire.LONG if kind.base == "mediumint" else _INTEGER_WIRES[kind.base]
        return Field(_INTEGER_CODES[wire][kind.is_unsigned])
    if plain := _RESULT_PLAIN.get(kind.base):
        return plain
    if kind.base == "time":
        return Field(prefix=1, use=Use.CALL, convert=values.field_time(fractional_digits(kind)))
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
    "date": Field(prefix=1, use=Use.CALL, convert=values.field_date),
    "datetime": Field(prefix=1, use=Use.CALL, convert=values.field_datetime),
    "timestamp": Field(prefix=1, use=Use.CALL, convert=values.field_timestamp),
    "bit": Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=values.big_endian),
    "json": Field(prefix=LENGTH_ENCODED, use=Use.UTF8),
    "uuid": Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=_ascii_lower),
    "inet6": Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=_ascii_lower),
    "inet4": Field(prefix=LENGTH_ENCODED, use=Use.CALL, convert=_ascii_lower),
}

# What a table map may hold for a column of each SQL type: to notice a definition that does not fit before decoding with it.
_LOG_WIRES: dict[str, tuple[Wire, ...]] = {
    "float": (Wire.FLOAT,),
    "double": (Wire.DOUBLE,),
    "decimal": (Wire.NEWDECIMAL,),
    "year": (Wire.YEAR,),
    "bit": (Wire.BIT,),
    "date": (Wire.DATE, Wire.NEWDATE),
    "time": (Wire.TIME2, Wire.TIME),
    "datetime": (Wire.DATETIME2, Wire.DATETIME),
    "timestamp": (Wire.TIMESTAMP2, Wire.TIMESTAMP),
    "json": (Wire.JSON,),
    "vector": (Wire.VECTOR, Wire.VARCHAR),  # MySQL 9; MariaDB 11.7 and later
    "varchar": (Wire.VARCHAR, Wire.VAR_STRING),
    "varbinary": (Wire.VARCHAR, Wire.VAR_STRING),
    "char": (Wire.STRING,),
    "binary": (Wire.STRING,),
    "enum": (Wire.STRING,),
    "set": (Wire.STRING,),
    "uuid": (Wire.STRING,),
    "inet6": (Wire.STRING,),
    "inet4": (Wire.STRING,),
}


def fits(column: SourceColumn, wire: int, meta: int) -> bool:
    """Whether a table map's type and metadata can be those of this column."""
    kind = column.type
    if kind.base in INTEGER_BYTES:
        return wire == _INTEGER_WIRES[kind.base]
    if kind.base in GEOMETRIES:
        return wire == Wire.GEOMETRY
    if kind.base in TEXTS | BINARIES and kind.base.endswith(("text", "blob")):
        return wire == Wire.BLOB and meta == BLOB_PREFIX[kind.base.removesuffix("text").removesuffix("blob")]
    if wire not in _LOG_WIRES.get(kind.base, ()):
        return False
    match kind.base:
        case "decimal":
            return (meta & 0xFF, meta >> 8) == (column.logical.precision, column.logical.scale)
        case "time" | "datetime" | "timestamp":
            return meta == fractional_digits(kind)
        case "varbinary":
            return meta == kind.numbers[0]
        case "vector":
            return wire == Wire.VECTOR or meta == 4 * kind.numbers[0]
        case "varchar":
            return bool(kind.numbers) and meta % kind.numbers[0] == 0 if kind.numbers[0] else True
        case "enum" | "set":
            return string_meta(meta)[0] == (Wire.ENUM if kind.base == "enum" else Wire.SET)
        case "binary":
            return string_meta(meta) == (Wire.STRING, kind.numbers[0] if kind.numbers else 1)
        case _:
            return True
