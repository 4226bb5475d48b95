"""The log's column types, and whether one can belong to a column. No I/O."""

from __future__ import annotations

from enum import IntEnum

from connector_runner.sources.mysql.types.columns import (
    BINARIES,
    BLOB_PREFIX,
    GEOMETRIES,
    INTEGER_BYTES,
    TEXTS,
    SourceColumn,
    fractional_digits,
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


INTEGER_WIRES = {
    "tinyint": Wire.TINY, "smallint": Wire.SHORT, "mediumint": Wire.INT24, "int": Wire.LONG, "bigint": Wire.LONGLONG,
}  # fmt: skip


def string_meta(meta: int) -> tuple[int, int]:
    """The real type and the length in bytes, from the two bytes of metadata of a STRING column (`Field_string`)."""
    first, second = meta & 0xFF, meta >> 8
    if first & 0x30 != 0x30:
        return first | 0x30, second | ((first & 0x30) ^ 0x30) << 4
    return first, second


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
    """Whether the type and metadata in a table map can belong to this column."""
    kind = column.type
    if kind.base in INTEGER_BYTES:
        return wire == INTEGER_WIRES[kind.base]
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
