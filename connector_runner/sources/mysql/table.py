"""A table's definition at one point of the log: what rows there mean; it travels in the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.sources.mysql.charsets import is_supported
from connector_runner.sources.mysql.columns import SourceColumn
from connector_runner.sources.mysql.fields import fits
from connector_runner.sources.mysql.tablemap import TableMap


@dataclass(frozen=True)
class TableDefinition:
    """A table as the server defines it.

    Attributes:
        database, name: Its name.
        columns: All of them, in order, invisible and generated ones included.
        key: The primary key's columns, or those of a unique index without NULLs; empty without.
        index: The name of the key's index.
    """

    database: str
    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...] = ()
    index: str = "PRIMARY"

    @property
    def id(self) -> str:
        """The stream's id."""
        return f"{self.database}.{self.name}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def key_places(self) -> tuple[int, ...]:
        """Where the key's columns stand."""
        return tuple(self.names.index(name) for name in self.key)

    @cached_property
    def schema(self) -> StreamSchema:
        """The stream's schema.

        Raises:
            LookupError: A column's type can't be read.
        """
        columns = [
            Column(column.name, column.logical, nullable=column.nullable and column.name not in self.key)
            for column in self.columns
        ]
        return StreamSchema(self.id, tuple(columns), self.key)

    def problems(self) -> list[str]:
        """What keeps its rows from being read, one sentence a column."""
        problems = []
        for column in self.columns:
            try:
                _ = column.logical
            except LookupError as error:
                problems.append(str(error.args[0]))
            if column.charset and not is_supported(column.charset):
                problems.append(f"column {column.name}: the character set {column.charset} is not supported")
        return problems

    def matches(self, table_map: TableMap) -> bool:
        """Whether the log's description can be of this definition: number, types and, where it has them, names."""
        return (
            len(table_map.wires) == len(self.columns)
            and (not table_map.names or table_map.names == self.names)
            and all(map(fits, self.columns, table_map.wires, table_map.metas))
        )

    def to_json(self) -> dict[str, Any]:
        """For checkpoints; short, since it is written with each one."""
        columns = []
        for column in self.columns:
            flags = (
                ("n" if column.nullable else "")
                + ("j" if column.is_json else "")
                + ("g" if column.is_generated else "")
            )
            columns.append([column.name, column.sql_type, column.charset, flags])
        return {"columns": columns, "key": list(self.key), "index": self.index}

    @classmethod
    def from_json(cls, stream: str, document: Mapping[str, Any]) -> TableDefinition:
        """The reverse; defaults of columns are not kept."""
        database, _, name = stream.partition(".")
        columns = tuple(
            SourceColumn(name, sql_type, charset, "n" in flags, "j" in flags, None, "g" in flags)
            for name, sql_type, charset, flags in document["columns"]
        )
        return cls(database, name, columns, tuple(document["key"]), document["index"])


def keeps_values(before: TableDefinition, after: TableDefinition) -> bool:
    """Whether rows that were stored under `before` are right under `after` without being read again.

    That is so when each column of `after` is unchanged or only widened, or is new, may be NULL and has no default: then all
    old rows hold NULL, as the dataset does. Anything else (a default, a rename, another type) changes rows without the log
    showing it.
    """
    old = {column.name: column for column in before.columns}
    if set(after.names) - set(before.names) and set(before.names) - set(after.names):
        return False  # perhaps a rename
    return before.key == after.key and all(
        _is_widened(old[column.name], column)
        if column.name in old
        else column.nullable and column.default is None and not column.is_generated
        for column in after.columns
    )


def _is_widened(before: SourceColumn, after: SourceColumn) -> bool:
    if (before.sql_type, before.charset, before.is_generated) == (after.sql_type, after.charset, after.is_generated):
        return True
    old, new = before.type, after.type
    if (
        before.charset != after.charset
        or before.is_generated != after.is_generated
        or old.is_unsigned != new.is_unsigned
    ):
        return False
    if old.base in _INTEGERS and new.base in _INTEGERS:
        return _INTEGERS.index(new.base) >= _INTEGERS.index(old.base)
    if old.base == new.base in {"varchar", "varbinary"}:
        return new.numbers >= old.numbers
    if old.base == new.base in {"enum", "set"}:
        return new.labels[: len(old.labels)] == old.labels
    return False


_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
