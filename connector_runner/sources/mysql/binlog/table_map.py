"""Table map events: how the log describes a table before its rows, with as much metadata as the server adds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from connector_runner.sources.mysql.binlog.events import read_packed
from connector_runner.sources.mysql.decode.wire_types import Wire, string_meta


@dataclass(frozen=True)
class TableMap:
    """How the log describes a table before its rows.

    Attributes:
        database, table: Its name.
        wires: The column types, in order.
        metas: Their metadata, little-endian.
        nullable: Whether each column may be NULL.
        names: The columns' names; empty unless binlog_row_metadata=FULL.
        is_unsigned: Whether each column is unsigned; empty where the log does not have it.
        collations: Collations by column index, for text, as far as the log has them.
        enum_collations: The same for enum and set.
        labels: Labels by column index, for enum and set (bytes in the column's character set).
        geometries: Geometry types by column index: 0 geometry, 1 point, …
        key: Column indices of the primary key; empty where the log does not have them.
    """

    database: str
    table: str
    wires: tuple[int, ...]
    metas: tuple[int, ...]
    nullable: tuple[bool, ...]
    names: tuple[str, ...] = ()
    is_unsigned: dict[int, bool] = field(default_factory=dict)
    collations: dict[int, int] = field(default_factory=dict)
    enum_collations: dict[int, int] = field(default_factory=dict)
    labels: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    geometries: dict[int, int] = field(default_factory=dict)
    key: tuple[int, ...] = ()

    @property
    def layout(self) -> tuple[object, ...]:
        """What must be equal for two maps to describe the same columns."""
        return self.wires, self.metas, self.names


_META_BYTES = {
    Wire.FLOAT: 1, Wire.DOUBLE: 1, Wire.VARCHAR: 2, Wire.BIT: 2, Wire.TIMESTAMP2: 1, Wire.DATETIME2: 1, Wire.TIME2: 1,
    Wire.VECTOR: 1, Wire.JSON: 1, Wire.NEWDECIMAL: 2, Wire.ENUM: 2, Wire.SET: 2, Wire.BLOB: 1, Wire.VAR_STRING: 2,
    Wire.STRING: 2, Wire.GEOMETRY: 1,
}  # fmt: skip
_NUMERIC = {
    Wire.TINY,
    Wire.SHORT,
    Wire.INT24,
    Wire.LONG,
    Wire.LONGLONG,
    Wire.NEWDECIMAL,
    Wire.FLOAT,
    Wire.DOUBLE,
    Wire.YEAR,
}
_TEXTUAL = {Wire.VARCHAR, Wire.BLOB, Wire.VAR_STRING, Wire.STRING}


@lru_cache(maxsize=256)
def parse_table_map(body: bytes, *, is_mariadb: bool = False) -> TableMap:
    """Reads a table map's body after its table id (6 bytes) and flags (2 bytes).

    Args:
        body: The bytes.
        is_mariadb: Whether the dialect is MariaDB's: it decides which columns have a character set in the map.

    Raises:
        ValueError: It has a column type that is not known.
    """
    size = body[0]
    database = body[1 : 1 + size].decode("utf-8")
    at = 2 + size
    size = body[at]
    table = body[at + 1 : at + 1 + size].decode("utf-8")
    count, at = read_packed(body, at + 2 + size)
    wires = tuple(body[at : at + count])
    meta_size, at = read_packed(body, at + count)
    metas = _metas(wires, body[at : at + meta_size], f"{database}.{table}")
    at += meta_size
    nulls = int.from_bytes(body[at : at + (count + 7) // 8], "little")
    nullable = tuple(bool(nulls >> place & 1) for place in range(count))
    optional = _optional(body, at + (count + 7) // 8)
    textual = _TEXTUAL | ({Wire.GEOMETRY} if is_mariadb else {Wire.VECTOR})
    text = [i for i in range(count) if wires[i] in textual and not _is_listed(wires[i], metas[i])]
    listed = [i for i in range(count) if _is_listed(wires[i], metas[i])]
    return TableMap(
        database, table, wires, metas, nullable,
        names=_names(optional.get(_COLUMN_NAME, b"")),
        is_unsigned=_signs(optional.get(_SIGNEDNESS), [i for i in range(count) if wires[i] in _NUMERIC]),
        collations=_collations(optional.get(_DEFAULT_CHARSET), optional.get(_COLUMN_CHARSET), text),
        enum_collations=_collations(optional.get(_ENUM_DEFAULT_CHARSET), optional.get(_ENUM_COLUMN_CHARSET), listed),
        labels=_labels(optional, wires, metas),
        geometries=dict(zip([i for i in range(count) if wires[i] == Wire.GEOMETRY], _numbers(optional.get(_GEOMETRY, b"")), strict=False)),
        key=tuple(_numbers(optional.get(_SIMPLE_KEY, b""))) or tuple(_numbers(optional.get(_PREFIX_KEY, b""))[::2]),
    )  # fmt: skip


_SIGNEDNESS, _DEFAULT_CHARSET, _COLUMN_CHARSET, _COLUMN_NAME, _SET_VALUES, _ENUM_VALUES = 1, 2, 3, 4, 5, 6
_GEOMETRY, _SIMPLE_KEY, _PREFIX_KEY, _ENUM_DEFAULT_CHARSET, _ENUM_COLUMN_CHARSET = 7, 8, 9, 10, 11


def _metas(wires: tuple[int, ...], raw: bytes, table: str) -> tuple[int, ...]:
    metas, at = [], 0
    for place, wire in enumerate(wires):
        try:
            size = _META_BYTES.get(Wire(wire), 0)
        except ValueError:
            raise ValueError(
                f"{table}: column {place + 1} has the type {wire} in the log, which is not known"
            ) from None
        metas.append(int.from_bytes(raw[at : at + size], "little"))
        at += size
    return tuple(metas)


def _is_listed(wire: int, meta: int) -> bool:
    """Whether it is an enum or a set, whose character sets are in separate lists."""
    return wire == Wire.STRING and string_meta(meta)[0] in {Wire.ENUM, Wire.SET}


def _optional(body: bytes, at: int) -> dict[int, bytes]:
    """Yields the metadata fields: type, length and value, repeated to the end."""
    found: dict[int, bytes] = {}
    while at + 1 < len(body):
        kind = body[at]
        length, at = read_packed(body, at + 1)
        found[kind] = body[at : at + length]
        at += length
    return found


def _numbers(raw: bytes) -> list[int]:
    numbers, at = [], 0
    while at < len(raw):
        number, at = read_packed(raw, at)
        numbers.append(number)
    return numbers


def _texts(raw: bytes, at: int, count: int | None) -> tuple[list[bytes], int]:
    texts: list[bytes] = []
    while at < len(raw) and (count is None or len(texts) < count):
        length, at = read_packed(raw, at)
        texts.append(raw[at : at + length])
        at += length
    return texts, at


def _names(raw: bytes) -> tuple[str, ...]:
    return tuple(name.decode("utf-8") for name in _texts(raw, 0, None)[0])


def _signs(raw: bytes | None, numeric: list[int]) -> dict[int, bool]:
    if raw is None:
        return {}
    # One bit for each numeric column, the first one in the highest bit.
    return {place: bool(raw[bit // 8] >> 7 - bit % 8 & 1) for bit, place in enumerate(numeric)}


def _collations(default: bytes | None, each: bytes | None, places: list[int]) -> dict[int, int]:
    if each is not None:
        return dict(zip(places, _numbers(each), strict=False))
    if default is None:
        return {}
    first, *pairs = _numbers(default)
    others = dict(zip(pairs[::2], pairs[1::2], strict=False))
    return {place: others.get(order, first) for order, place in enumerate(places)}


def _labels(optional: dict[int, bytes], wires: tuple[int, ...], metas: tuple[int, ...]) -> dict[int, tuple[bytes, ...]]:
    labels: dict[int, tuple[bytes, ...]] = {}
    for part, real in ((_SET_VALUES, Wire.SET), (_ENUM_VALUES, Wire.ENUM)):
        raw, at = optional.get(part, b""), 0
        for place, wire in enumerate(wires):
            if wire == Wire.STRING and string_meta(metas[place])[0] == real and at < len(raw):
                count, at = read_packed(raw, at)
                texts, at = _texts(raw, at, count)
                labels[place] = tuple(texts)
    return labels
