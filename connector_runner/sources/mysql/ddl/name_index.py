"""Finds which of many tables a statement may concern: those whose name, or whose database's name, is in it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from connector_runner.sources.mysql.binlog.query_event import Query
from connector_runner.sources.mysql.ddl.tokens import split
from connector_runner.sources.mysql.types.names import TableName, fold_column

_OF_DATABASES = frozenset({"DATABASE", "SCHEMA"})
_LONGEST_NAME = 64


class NameIndex:
    """Finds tables by single names, ignoring case; it may find too many, which are then checked exactly.

    Args:
        tables: The tables as (database, name).
    """

    def __init__(self, tables: Iterable[TableName]) -> None:
        self._by_name: dict[str, list[TableName]] = {}
        self._by_database: dict[str, list[TableName]] = {}
        for table in sorted(tables):
            self._by_name.setdefault(fold_column(table[1]), []).append(table)
            self._by_database.setdefault(fold_column(table[0]), []).append(table)

    def find(self, query: Query, *, is_mariadb: bool) -> list[TableName]:
        """The tables that a statement may concern; its words are read once."""
        found: dict[TableName, None] = {}
        is_of_database = False
        for token in split(query.statement, query.sql_mode, is_mariadb=is_mariadb):
            if len(token.name) > _LONGEST_NAME:
                continue
            is_of_database = is_of_database or token.key in _OF_DATABASES
            name = fold_column(token.name)
            found.update(dict.fromkeys(self._by_name.get(name, ())))
            if is_of_database:
                found.update(dict.fromkeys(self._by_database.get(name, ())))
        return list(found)
