"""Which tables a statement brings into being, by CREATE or under a new name. No I/O."""

from __future__ import annotations

from connector_runner.sources.mysql.ddl.effects import read_meaning
from connector_runner.sources.mysql.ddl.statement_reader import Reader
from connector_runner.sources.mysql.ddl.tokens import split
from connector_runner.sources.mysql.types.names import TableName

_NO_TABLE = ("", "")


def new_tables(
    statement: str, database: str, *, sql_mode: int = 0, folds_case: bool = False, is_mariadb: bool = False
) -> list[TableName]:
    """The names under which there is a table since the statement, and perhaps was none before.

    Args:
        statement: Its text from the log.
        database: The database that it ran in.
        sql_mode: The session's sql_mode.
        folds_case: Whether the server compares table names without regard to case (lower_case_table_names).
        is_mariadb: Whether the dialect is MariaDB's.
    """
    tokens = split(statement, sql_mode, is_mariadb=is_mariadb)
    first = next(tokens, None)
    if first is not None and first.key == "SET":  # MariaDB: SET STATEMENT … FOR statement
        first = next((next(tokens, None) for token in tokens if token.key == "FOR"), None)
    if first is None or first.key not in {"CREATE", "RENAME", "ALTER"}:
        return []
    if first.key != "CREATE":
        meaning = read_meaning(
            statement, database, _NO_TABLE, sql_mode=sql_mode, folds_case=folds_case, is_mariadb=is_mariadb
        )
        return [new for _, new in meaning.renamed]
    reader = Reader(list(tokens), database, folds_case=folds_case)
    reader.take("OR", "REPLACE")
    if not reader.take("TABLE"):
        return []
    reader.take("IF", "NOT", "EXISTS")
    return [reader.table()]
