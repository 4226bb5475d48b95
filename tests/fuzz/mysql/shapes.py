"""What the server says of a table, as far as the grammar needs it; read from information_schema alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

OTHER, PARENT, SPARE, PART = "o", "p", "s", "m1"
_LABEL = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True)
class Column:
    """A column: `base` is its data type in lower case, `kind` its whole type as the server prints it."""

    name: str
    base: str
    kind: str
    nullable: bool = True
    charset: str = ""
    collation: str = ""
    is_generated: bool = False
    is_json: bool = False

    @property
    def is_unsigned(self) -> bool:
        return "unsigned" in self.kind

    @property
    def numbers(self) -> tuple[int, ...]:
        found = re.search(r"\(([\d,]+)\)", self.kind)
        return tuple(map(int, found[1].split(","))) if found and self.base not in {"enum", "set"} else ()

    @property
    def labels(self) -> list[str]:
        return [label.replace("''", "'") for label in _LABEL.findall(self.kind)]


@dataclass(frozen=True)
class Index:
    name: str
    columns: tuple[str, ...]
    is_unique: bool
    is_usable: bool  # unique, all columns whole and without NULLs


@dataclass(frozen=True)
class Shape:
    """A table; without columns when it is not there."""

    columns: tuple[Column, ...] = ()
    indexes: tuple[Index, ...] = ()
    partitions: tuple[str, ...] = ()
    method: str = ""
    foreign_keys: tuple[str, ...] = ()
    engine: str = ""
    other: tuple[str, ...] = field(default=())

    @property
    def exists(self) -> bool:
        return bool(self.columns)

    @property
    def key(self) -> tuple[str, ...]:
        """A key that tells rows apart: the primary one, or another that can't be NULL."""
        for index in sorted(self.indexes, key=lambda index: index.name != "PRIMARY"):
            if index.is_usable:
                return index.columns
        return ()

    @property
    def identity(self) -> tuple[str, ...]:
        """The key by which a dataset's rows are told apart: the primary one, else the shortest that can't be NULL."""
        usable = [index for index in self.indexes if index.is_usable]
        chosen = min(usable, key=lambda index: (index.name != "PRIMARY", len(index.columns), index.name), default=None)
        return chosen.columns if chosen else ()

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name.lower() == name.lower())

    @property
    def writable(self) -> list[Column]:
        return [column for column in self.columns if not column.is_generated]

    @property
    def plain(self) -> list[Column]:
        """Neither of the key nor generated."""
        return [column for column in self.writable if column.name not in self.key]


def read_shape(cursor: Any, database: str, table: str) -> Shape:
    """The table as it is now."""
    cursor.execute(
        "SELECT COLUMN_NAME, LOWER(DATA_TYPE), LOWER(COLUMN_TYPE), COLUMN_TYPE, IS_NULLABLE, COALESCE(CHARACTER_SET_NAME, ''), "
        "COALESCE(COLLATION_NAME, ''), COALESCE(GENERATION_EXPRESSION, '') <> '' FROM information_schema.COLUMNS "
        "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION",
        (database, table),
    )
    columns = tuple(
        Column(
            name,
            base,
            exact if base in {"enum", "set"} else kind,
            null == "YES",
            charset,
            collation,
            bool(generated),
            base == "json" or name.startswith("js"),
        )
        for name, base, kind, exact, null, charset, collation, generated in cursor.fetchall()
    )
    if not columns:
        return Shape()
    cursor.execute(
        "SELECT INDEX_NAME, COLUMN_NAME, NON_UNIQUE, SUB_PART, NULLABLE FROM information_schema.STATISTICS "
        "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY INDEX_NAME, SEQ_IN_INDEX",
        (database, table),
    )
    indexes: dict[str, list[Any]] = {}
    for row in cursor.fetchall():
        indexes.setdefault(row[0], []).append(row)
    cursor.execute(
        "SELECT PARTITION_NAME, PARTITION_METHOD FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s "
        "AND PARTITION_NAME IS NOT NULL ORDER BY PARTITION_ORDINAL_POSITION",
        (database, table),
    )
    partitions = cursor.fetchall()
    cursor.execute(
        "SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s "
        "AND CONSTRAINT_TYPE = 'FOREIGN KEY'",
        (database, table),
    )
    foreign = tuple(name for (name,) in cursor.fetchall())
    cursor.execute(
        "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s", (database, table)
    )
    engine = cursor.fetchall()
    return Shape(
        columns,
        tuple(
            Index(
                name, tuple(part[1] or "" for part in parts), not parts[0][2],
                not parts[0][2] and all(part[1] and not part[3] and not part[4] for part in parts),
            )
            for name, parts in indexes.items()
        ),
        tuple(dict.fromkeys(name for name, _ in partitions)),
        partitions[0][1] if partitions else "",
        foreign,
        (engine[0][0] or "") if engine else "",
    )  # fmt: skip
