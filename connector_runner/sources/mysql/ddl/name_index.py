"""Which of many tables a statement may be about: those whose name, or whose database's name, stands in it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from connector_runner.sources.mysql.binlog.query_event import Query
from connector_runner.sources.mysql.ddl.tokens import split
from connector_runner.sources.mysql.types.names import TableName, fold_column

_OF_DATABASES = frozenset({"DATABASE", "SCHEMA"})
_LONGEST_NAME = 64


class NameIndex:
    """Finds tables by single names, without regard to case: rather one too many, which is then judged exactly.

    Args:
        tables: As (database, name).
    """

    def __init__(self, tables: Iterable[TableName]) -> None:
        self._by_name: dict[str, list[TableName]] = {}
        self._by_database: dict[str, list[TableName]] = {}
        for table in sorted(tables):
            self._by_name.setdefault(fold_column(table[1]), []).append(table)
            self._by_database.setdefault(fold_column(table[0]), []).append(table)

    def find(self, query: Query, *, is_mariadb: bool) -> list[TableName]:
        """The tables that a statement may be about; its words are read once."""
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
