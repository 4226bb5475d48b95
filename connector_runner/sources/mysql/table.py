"""A table's definition at one point of the log: what rows there mean; it travels in the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.sources.mysql.charsets import is_supported
from connector_runner.sources.mysql.columns import SourceColumn
from connector_runner.sources.mysql.ddl import NO_REWRITES, Rewrites
from connector_runner.sources.mysql.fields import fits
from connector_runner.sources.mysql.tablemap import TableMap


@dataclass(frozen=True)
class TableDefinition:
    """A table as the server defines it.

    Attributes:
        database, name: Its name.
        columns: All of them, in order, invisible and generated ones included.
        key: The primary key's columns, or those of a unique index without NULLs; empty without.
        index: The name of the key's index; "" where it is not to be named in a read.
        order: Of each of the key's columns its collation and " desc" where the index descends; empty where it is not known
            (checkpoints before version 1.1). What a place in the copy depends on besides the columns' types.
        dropped: Names of columns that it had since the copy: the dataset still holds their last values. No part of what the
            server says, so not compared.
    """

    database: str
    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...] = ()
    index: str = "PRIMARY"
    order: tuple[str, ...] = ()
    dropped: tuple[str, ...] = field(default=(), compare=False)

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
                problems.append(f"column {column.name}: the character set {column.charset} is not known")
        return problems

    def matches(self, table_map: TableMap) -> bool:
        """Whether the log's description can be of this definition: number, types and, where it has them, names."""
        return (
            len(table_map.wires) == len(self.columns)
            and (not table_map.names or table_map.names == self.names)
            and all(map(fits, self.columns, table_map.wires, table_map.metas))
        )

    def equals(self, other: TableDefinition | None) -> bool:
        """Whether it is the same, but for the defaults, which a checkpoint does not keep."""
        plain = [
            None
            if each is None
            else replace(each, columns=tuple(replace(column, default=None) for column in each.columns), order=())
            for each in (self, other)
        ]
        return plain[0] == plain[1] and (other is None or self.may_have_order_of(other))

    def may_have_order_of(self, other: TableDefinition) -> bool:
        """Whether rows may come in the same order of their key; so also where one order is not known."""
        return not self.order or not other.order or self.order == other.order

    def descends(self, place: int) -> bool:
        """Whether the copy reads the key's column at this place from high to low."""
        return bool(self.order) and self.order[place].endswith(" desc")

    def after(self, before: TableDefinition) -> TableDefinition:
        """This definition as the one that follows `before`: it remembers which columns are gone."""
        gone = {*before.dropped, *before.names} - set(self.names)
        return replace(self, dropped=tuple(sorted(gone)))

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
            if column.expression:
                columns[-1].append(column.expression)
        document: dict[str, Any] = {"columns": columns, "key": list(self.key), "index": self.index}
        if self.order:
            document["order"] = list(self.order)
        if "." in self.database:
            document["database"] = self.database
        if self.dropped:
            document["dropped"] = list(self.dropped)
        return document

    @classmethod
    def from_json(cls, stream: str, document: Mapping[str, Any]) -> TableDefinition:
        """The reverse; defaults of columns are not kept."""
        database = document.get("database") or stream.partition(".")[0]
        name = stream[len(database) + 1 :]
        columns = tuple(
            SourceColumn(name, sql_type, charset, "n" in flags, "j" in flags, None, "g" in flags, *expression)
            for name, sql_type, charset, flags, *expression in document["columns"]
        )
        key, order, dropped = (tuple(document.get(part, ())) for part in ("key", "order", "dropped"))
        return cls(database, name, columns, key, document["index"], order, dropped)


def keeps_values(before: TableDefinition, after: TableDefinition, rewrites: Rewrites = NO_REWRITES) -> bool:
    """Whether rows that were stored under `before` are right under `after` without being read again.

    That is so when each column of `after` is unchanged or only widened, or is new, may be NULL and has no default: then all
    old rows hold NULL, as the dataset does. Anything else (a default, a rename, another type, a name that a dropped column had)
    changes rows without the log showing it.
    """
    old = {column.name: column for column in before.columns}
    if rewrites.renames or (rewrites.dropped | set(before.dropped)) & set(after.names):
        return False
    if set(after.names) - set(before.names) and set(before.names) - set(after.names):
        return False  # perhaps a rename
    return before.key == after.key and all(
        _is_widened(old[column.name], column)
        if column.name in old
        else column.nullable and column.default is None and not column.is_generated
        for column in after.columns
    )


def _is_widened(before: SourceColumn, after: SourceColumn) -> bool:
    old, new = before.type, after.type
    kept = ("charset", "is_generated", "expression")
    if any(getattr(before, name) != getattr(after, name) for name in kept) or old.is_unsigned != new.is_unsigned:
        return False
    if before.sql_type == after.sql_type:
        return True
    if old.base in _INTEGERS and new.base in _INTEGERS:
        return _INTEGERS.index(new.base) >= _INTEGERS.index(old.base)
    if old.base == new.base in {"varchar", "varbinary"}:
        return new.numbers >= old.numbers
    if old.base == new.base in {"enum", "set"}:
        return new.labels[: len(old.labels)] == old.labels
    return False


_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
