"""Compares a table map with a definition; and makes a definition from a map alone (binlog_row_metadata=FULL)."""

from __future__ import annotations

from collections.abc import Mapping

from connector_runner.sources.mysql.binlog.table_map import TableMap
from connector_runner.sources.mysql.decode.wire_types import Wire, fits, string_meta
from connector_runner.sources.mysql.types.charsets import is_same_charset, text_decoder
from connector_runner.sources.mysql.types.columns import SourceColumn, quote_label
from connector_runner.sources.mysql.types.table import TableDefinition

_INTEGERS = {
    Wire.TINY: "tinyint",
    Wire.SHORT: "smallint",
    Wire.INT24: "mediumint",
    Wire.LONG: "int",
    Wire.LONGLONG: "bigint",
}
_PLAIN = {
    Wire.FLOAT: "float", Wire.DOUBLE: "double", Wire.YEAR: "year", Wire.DATE: "date", Wire.NEWDATE: "date", Wire.JSON: "json",
    Wire.VECTOR: "vector", Wire.DATETIME: "datetime", Wire.TIMESTAMP: "timestamp", Wire.TIME: "time",
}  # fmt: skip
_FRACTIONAL = {Wire.DATETIME2: "datetime", Wire.TIMESTAMP2: "timestamp", Wire.TIME2: "time"}
_BLOBS = {1: "tiny", 2: "", 3: "medium", 4: "long"}
_GEOMETRIES = (
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
)
_BINARY = "binary"


def describes(table_map: TableMap, definition: TableDefinition, charsets: Mapping[int, str]) -> bool:
    """Whether a map matches a definition in all that it has: types, names, signs, character sets, labels."""
    return definition.matches(table_map) and all(
        _agrees(column, table_map, place, charsets) for place, column in enumerate(definition.columns)
    )


def _agrees(column: SourceColumn, table_map: TableMap, place: int, charsets: Mapping[int, str]) -> bool:
    """Whether the map contradicts nothing in a column's definition; the type is compared elsewhere (`fits`)."""
    if (
        table_map.wires[place] in _INTEGERS
        and table_map.is_unsigned.get(place, column.type.is_unsigned) != column.type.is_unsigned
    ):
        return False
    collation = table_map.collations.get(place, table_map.enum_collations.get(place, -1))
    charset = charsets.get(collation, "")
    if charset and not is_same_charset(charset, column.charset):
        return False
    labels = table_map.labels.get(place)
    if labels is None or not column.charset:
        return True
    return tuple(map(text_decoder(column.charset), labels)) == column.type.labels


def build_definition(
    table_map: TableMap, before: TableDefinition, after: TableDefinition | None, charsets: Mapping[int, str]
) -> TableDefinition:
    """The table as a map with full metadata describes it: a guess, since a map does not have all of a definition.

    A column that a known definition has under the same name with a matching type is taken from there (in the log a UUID looks
    like a BINARY(16)). Values of new columns are assumed to have come without the log showing them.

    Args:
        table_map: A map with names.
        before: The definition that was known before it.
        after: The present definition.
        charsets: Names of character sets by the number of a collation.

    Raises:
        LookupError: The map names a collation that the server does not list.
    """
    columns = []
    for place, name in enumerate(table_map.names):
        known = [
            column
            for definition in (before, after)
            if definition
            for column in definition.columns
            if column.name == name
        ]
        fitting = (
            column
            for column in known
            if fits(column, table_map.wires[place], table_map.metas[place])
            and _agrees(column, table_map, place, charsets)
        )
        columns.append(next(fitting, None) or _column(table_map, place, charsets))
    named = _find_key(table_map, before, after)
    order = before.order if named == (before.index, before.key) else ()
    return TableDefinition(before.database, before.name, tuple(columns), named[1], named[0], order, is_guess=True)


def _find_key(
    table_map: TableMap, before: TableDefinition, after: TableDefinition | None
) -> tuple[str, tuple[str, ...]]:
    """Name and columns of the key that tells rows apart.

    Without a primary key the server logs, in its place, the first of the unique ones without NULLs, which is not always the
    one that was chosen (see `choose_key`). So a unique key that is known is kept while its columns can be.
    """
    logged = tuple(table_map.names[place] for place in table_map.key)
    for known in (before, after):
        if known is not None and logged and known.key == logged:
            return known.index, logged
    required = {name for place, name in enumerate(table_map.names) if not table_map.nullable[place]}
    is_kept = set(before.key) <= (set(table_map.names) if not logged else required)
    if logged and not (is_kept and before.key and before.index != "PRIMARY"):
        return before.index, logged
    return before.index, before.key if is_kept else ()


def _column(table_map: TableMap, place: int, charsets: Mapping[int, str]) -> SourceColumn:
    collation = table_map.collations.get(place, table_map.enum_collations.get(place))
    if collation is not None and collation not in charsets:
        raise LookupError(
            f"column {table_map.names[place]} has the collation {collation} in the log, which the server does not list"
        )
    charset = charsets[collation] if collation is not None else ""
    sql_type = _sql_type(table_map, place, charset)
    # As the server lists them: bytes have no character set, labels have one also where it is binary.
    kept = charset if charset != _BINARY or sql_type.startswith(("enum(", "set(")) else ""
    # The default is unknown: "" is not None, so that old rows are read again.
    return SourceColumn(table_map.names[place], sql_type, kept, table_map.nullable[place], default="")


def _sql_type(table_map: TableMap, place: int, charset: str) -> str:
    wire, meta = table_map.wires[place], table_map.metas[place]
    is_text = charset not in {"", _BINARY}
    sign = " unsigned" if table_map.is_unsigned.get(place) else ""
    if name := _INTEGERS.get(Wire(wire)):
        return name + sign
    if name := _PLAIN.get(Wire(wire)):
        return name + (sign if wire in {Wire.FLOAT, Wire.DOUBLE} else "")
    if name := _FRACTIONAL.get(Wire(wire)):
        return f"{name}({meta})" if meta else name
    match wire:
        case Wire.NEWDECIMAL:
            return f"decimal({meta & 0xFF},{meta >> 8}){sign}"
        case Wire.BIT:
            return f"bit({(meta >> 8) * 8 + (meta & 0xFF)})"
        case Wire.BLOB:
            return f"{_BLOBS[meta]}{'text' if is_text else 'blob'}"
        case Wire.GEOMETRY:
            return _GEOMETRIES[table_map.geometries.get(place, 0)]
        case Wire.VARCHAR | Wire.VAR_STRING:
            return f"varchar({meta // _WIDTHS.get(charset, 1)})" if is_text else f"varbinary({meta})"
    real, length = string_meta(meta)
    if real in {Wire.ENUM, Wire.SET}:
        decode = text_decoder(charset or "utf8mb4")
        labels = ",".join(quote_label(decode(label)) for label in table_map.labels.get(place, ()))
        return f"{'enum' if real == Wire.ENUM else 'set'}({labels})"
    return f"char({length // _WIDTHS.get(charset, 1)})" if is_text else f"binary({length})"


# The most bytes that a character has, for the lengths of text; other sets are counted in bytes, which is longer, never shorter.
_WIDTHS = {"utf8mb4": 4, "utf8mb3": 3, "utf8": 3, "gbk": 2, "gb2312": 2, "big5": 2, "sjis": 2, "cp932": 2, "ucs2": 2,
           "utf16": 4, "utf16le": 4, "utf32": 4, "ujis": 3, "eucjpms": 3, "euckr": 2, "gb18030": 4}  # fmt: skip
