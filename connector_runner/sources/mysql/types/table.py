"""A table's definition at one position of the log, by which rows there are decoded; it is stored in the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.sources.mysql.binlog.table_map import TableMap
from connector_runner.sources.mysql.decode.wire_types import fits
from connector_runner.sources.mysql.types.charsets import is_supported
from connector_runner.sources.mysql.types.columns import SourceColumn


@dataclass(frozen=True)
class TableDefinition:
    """A table as the server defines it.

    Attributes:
        database, name: Its name.
        columns: All of them, in order, invisible and generated ones included.
        key: The primary key's columns, or those of a unique index without NULLs; empty without either.
        index: The name of the key's index; "" where a read must not name it.
        order: For each of the key's columns its collation, and " desc" where the index descends; empty where it is not known
            (checkpoints before version 1.1). The copy's progress depends on it, besides the columns' types.
        dropped: Names of columns that it had since the copy: the dataset still has their last values. It is not part of the
            server's definition, so not compared.
        is_guess: Whether it is uncertain: the log already had a later statement when it was read. Not compared either.
        suspects: Statements since the last certain definition that may have removed the key, by which a person is told. Not compared either.
        since: The statement that made it so, with its place in the log; "" where none was read. Neither compared nor stored.
    """

    database: str
    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...] = ()
    index: str = "PRIMARY"
    order: tuple[str, ...] = ()
    dropped: tuple[str, ...] = field(default=(), compare=False)
    is_guess: bool = field(default=False, compare=False)
    suspects: tuple[str, ...] = field(default=(), compare=False)
    since: str = field(default="", compare=False)

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
        """The indices of the key's columns."""
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
        return StreamSchema(self.id, tuple(columns), self.key, self.since)

    def problems(self) -> list[str]:
        """What prevents its rows from being read, one sentence a column."""
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
        """Whether a table map of the log may describe this definition: number of columns, types and, where it has them, names."""
        return (
            len(table_map.wires) == len(self.columns)
            and (not table_map.names or table_map.names == self.names)
            and all(map(fits, self.columns, table_map.wires, table_map.metas))
        )

    def equals(self, other: TableDefinition | None) -> bool:
        """Whether it is the same except for the defaults, which a checkpoint does not keep."""
        plain = [
            None
            if each is None
            else replace(each, columns=tuple(replace(column, default=None) for column in each.columns), order=())
            for each in (self, other)
        ]
        return plain[0] == plain[1] and (other is None or self.may_have_order_of(other))

    def may_have_order_of(self, other: TableDefinition) -> bool:
        """Whether rows may have the same order by their key; true also where one order is not known."""
        return not self.order or not other.order or self.order == other.order

    def descends(self, place: int) -> bool:
        """Whether the copy reads the key's column at this index of the key from high to low."""
        return bool(self.order) and self.order[place].endswith(" desc")

    def to_json(self) -> dict[str, Any]:
        """The form for checkpoints; short, since it is written with each one."""
        columns = []
        for column in self.columns:
            flags = (
                ("n" if column.nullable else "")
                + ("j" if column.is_json else "")
                + ("g" if column.is_generated else "")
                + ("a" if column.is_auto else "")
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
        if self.is_guess:
            document["guess"] = True
        if self.suspects:
            document["suspects"] = list(self.suspects)
        return document

    @classmethod
    def from_json(cls, stream: str, document: Mapping[str, Any]) -> TableDefinition:
        """The reverse of `to_json`; defaults of columns are not kept."""
        database = document.get("database") or stream.partition(".")[0]
        name = stream[len(database) + 1 :]
        columns = tuple(
            SourceColumn(
                name,
                sql_type,
                charset,
                "n" in flags,
                "j" in flags,
                None,
                "g" in flags,
                "".join(expression),
                "a" in flags,
            )
            for name, sql_type, charset, flags, *expression in document["columns"]
        )
        key, order, dropped, suspects = (
            tuple(document.get(part, ())) for part in ("key", "order", "dropped", "suspects")
        )
        return cls(
            database, name, columns, key, document["index"], order, dropped, bool(document.get("guess")), suspects
        )


@dataclass(frozen=True)
class FoundTable:
    """A table or view as information_schema lists it.

    Attributes:
        definition: Its columns and key.
        kind: `BASE TABLE`, `VIEW`, `SYSTEM VERSIONED`, `SEQUENCE`, …
        engine: Its storage engine; "" for views.
        rows: The estimated number of rows, None where the server has no estimate.
        cascades: Names of foreign keys whose actions change this table without the log showing it.
    """

    definition: TableDefinition
    kind: str
    engine: str = ""
    rows: int | None = None
    cascades: tuple[str, ...] = ()
