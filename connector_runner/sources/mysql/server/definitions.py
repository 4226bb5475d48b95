"""Reads table definitions from information_schema, one or ten thousand at a time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pymysql

from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.types.columns import SourceColumn
from connector_runner.sources.mysql.types.literals import quote_name
from connector_runner.sources.mysql.types.table import FoundTable, TableDefinition

SYSTEM_DATABASES = ("information_schema", "mysql", "performance_schema", "sys")


def read_tables(connection: Connection, database: str = "", table: str = "") -> list[FoundTable]:
    """All tables and views that the account may see, in order of their names.

    Args:
        connection: The connection to query.
        database: Limits the result to this database; "" for no limit.
        table: Limits the result to this table; "" for no limit.
    """
    where, arguments = _filter(database, table)
    columns, collations = _read_columns(connection, where, arguments)
    keys = _read_keys(connection, where, arguments, columns)
    cascades = (_shown_cascades if connection.is_mariadb else _read_cascades)(connection, database, table)
    found = []
    for schema, name, kind, engine, rows in connection.rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS FROM information_schema.TABLES "  # noqa: S608 - values are arguments
        f"WHERE {where} ORDER BY TABLE_SCHEMA, TABLE_NAME",
        arguments,
    ):
        if (schema, name) not in columns:
            continue
        index, key, ways = keys.get((schema, name), ("", (), ()))
        order = tuple(f"{collations.get((schema, name, part), '')}{way}" for part, way in zip(key, ways, strict=True))
        definition = TableDefinition(schema, name, tuple(columns[schema, name]), key, index, order)
        foreign = cascades.get((schema, name), ())
        found.append(FoundTable(definition, kind, engine or "", None if rows is None else int(rows), foreign))
    return found


def read_table(connection: Connection, database: str, table: str) -> FoundTable | None:
    """One table, None if it does not exist. What it shows of statements is in the log."""
    found = read_tables(connection, database, table)
    if found and not connection.is_mariadb and found[0].kind == "BASE TABLE" and found[0].engine != _ATOMIC:
        found = _read_between_statements(connection, database, table)
    return found[0] if found else None


_ATOMIC = "InnoDB"
_GONE = 1146  # no such table


def _read_between_statements(connection: Connection, database: str, table: str) -> list[FoundTable]:
    """The table while no statement can alter it.

    MySQL shows what a statement makes of a table without transactions before it writes the statement into the log (measured:
    3 to 15 % of looks beside ALTERs of MyISAM, none of InnoDB), but keeps the table's metadata lock until it has.
    """
    connection.query("START TRANSACTION")
    try:
        connection.rows(f"SELECT 1 FROM {quote_name(database)}.{quote_name(table)} LIMIT 0")  # noqa: S608 - quoted
        return read_tables(connection, database, table)
    except pymysql.ProgrammingError as error:
        if error.args[0] != _GONE:
            raise
        return []
    finally:
        connection.query("ROLLBACK")


def read_definition(connection: Connection, database: str, table: str) -> TableDefinition | None:
    """One table's definition, None if it does not exist."""
    found = read_table(connection, database, table)
    return found.definition if found else None


def _filter(database: str, table: str) -> tuple[str, tuple[str, ...]]:
    if table:
        return "TABLE_SCHEMA = %s AND TABLE_NAME = %s", (database, table)
    if database:
        return "TABLE_SCHEMA = %s", (database,)
    names = ", ".join(f"'{name}'" for name in SYSTEM_DATABASES)
    return f"TABLE_SCHEMA NOT IN ({names})", ()


def _read_columns(
    connection: Connection, where: str, arguments: Sequence[str]
) -> tuple[dict[tuple[str, str], list[SourceColumn]], dict[tuple[str, str, str], str]]:
    """The columns of each table, and the collation of each column that has one."""
    json_columns = _read_json_columns(connection, where, arguments) if connection.is_mariadb else set()
    columns: dict[tuple[str, str], list[SourceColumn]] = defaultdict(list)
    collations: dict[tuple[str, str, str], str] = {}
    for schema, table, name, sql_type, charset, collation, nullable, default, extra, expression in connection.rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, "  # noqa: S608 - values are arguments
        "COLUMN_DEFAULT, EXTRA, GENERATION_EXPRESSION "
        f"FROM information_schema.COLUMNS WHERE {where} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
        arguments,
    ):
        if collation:
            collations[schema, table, name] = collation
        columns[schema, table].append(
            SourceColumn(
                name=name,
                sql_type=sql_type,
                charset=charset or _charset_of_bytes(sql_type),
                nullable=nullable == "YES",
                is_json=(schema, table, name) in json_columns,
                default=None if default is None or (connection.is_mariadb and default == "NULL") else str(default),
                is_generated="GENERATED" in str(extra).upper().replace("DEFAULT_GENERATED", ""),
                expression=str(expression or ""),
                is_auto="auto_increment" in str(extra).lower(),
            )
        )
    return columns, collations


def _charset_of_bytes(sql_type: str) -> str:
    """The charset of a column for which the server names none: labels of bytes, which are binary on MariaDB, nothing on MySQL."""
    return "binary" if sql_type.lower().startswith(("enum(", "set(")) else ""


def _read_json_columns(connection: Connection, where: str, arguments: Sequence[str]) -> set[tuple[str, str, str]]:
    """The JSON columns of each table: MariaDB's JSON is a text with a check that MariaDB adds by itself."""
    where = where.replace("TABLE_SCHEMA", "CONSTRAINT_SCHEMA")
    rows = connection.rows(
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS "  # noqa: S608 - values are arguments
        f"WHERE {where} AND CHECK_CLAUSE LIKE 'json_valid(%%'",
        arguments,
    )
    return {(schema, table, name) for schema, table, name, clause in rows if clause == f"json_valid(`{name}`)"}


def _read_keys(
    connection: Connection, where: str, arguments: Sequence[str], columns: dict[tuple[str, str], list[SourceColumn]]
) -> dict[tuple[str, str], tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """For each table: the index to read by ("" where none can be used), the key, and " desc" or "" for each of its columns."""
    parts: dict[tuple[str, str], dict[str, list[tuple[str | None, Any]]]] = defaultdict(lambda: defaultdict(list))
    ways: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    useless: set[tuple[str, str, str]] = set()
    for schema, table, index, name, prefix, way, kind, is_hidden in connection.rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART, COLLATION, INDEX_TYPE, "  # noqa: S608 - values are arguments
        f"{_hidden_index(connection)} FROM information_schema.STATISTICS "
        f"WHERE {where} AND NON_UNIQUE = 0 ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX",
        arguments,
    ):
        parts[schema, table][index].append((name, prefix))
        ways[schema, table, index].append(" desc" if way == "D" else "")
        if is_hidden or kind != "BTREE":
            useless.add((schema, table, index))
    found = {}
    for name, indexes in parts.items():
        nullable = {column.name for column in columns.get(name, []) if column.nullable}
        index, key = choose_key(indexes, nullable)
        # A hidden index, or one by hashes, identifies rows; but the server refuses to read by it, or can't read in order.
        read_by = "" if (*name, index) in useless else index
        found[name] = read_by, key, tuple(ways[*name, index]) if read_by else ("",) * len(key)
    return found


def _hidden_index(connection: Connection) -> str:
    """An SQL expression: whether the optimizer may not use an index."""
    if not connection.is_mariadb:
        return "IS_VISIBLE = 'NO'"
    return "IGNORED = 'YES'" if connection.version >= (10, 6) else "0"


def choose_key(
    indexes: dict[str, list[tuple[str | None, Any]]], nullable: Iterable[str]
) -> tuple[str, tuple[str, ...]]:
    """The index that identifies rows: the primary key, else the shortest unique index on whole columns without NULLs."""
    optional = set(nullable)
    usable = {
        index: tuple(str(name) for name, _ in parts)
        for index, parts in indexes.items()
        if all(name is not None and prefix is None and name not in optional for name, prefix in parts)
    }
    if "PRIMARY" in usable:
        return "PRIMARY", usable["PRIMARY"]
    return min(usable.items(), key=lambda item: (len(item[1]), item[0]), default=("", ()))


# MariaDB 11.4 shows a backtick in a constraint's name as it is, earlier ones double it.
_CASCADE = re.compile(
    r"^\s*CONSTRAINT `((?:[^`]|`(?! FOREIGN KEY | CHECK ))*)` FOREIGN KEY .*\bON (?:DELETE|UPDATE) (?:CASCADE|SET NULL|SET DEFAULT)\b",
    re.MULTILINE,
)


# One statement for all tables: one query a table would be ten thousand round trips. Tables that are dropped meanwhile are left out.
_SHOW_ALL = """
BEGIN NOT ATOMIC
  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;
  FOR found IN (
    SELECT TABLE_SCHEMA AS base, TABLE_NAME AS name FROM information_schema.TABLES
    WHERE {where} AND ENGINE = 'InnoDB' AND TABLE_TYPE = 'BASE TABLE'
  ) DO
    SELECT 'next', found.base, found.name;
    EXECUTE IMMEDIATE
      CONCAT('SHOW CREATE TABLE `', REPLACE(found.base, '`', '``'), '`.`', REPLACE(found.name, '`', '``'), '`');
  END FOR;
END"""


def _shown_cascades(connection: Connection, database: str, table: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """The same from SHOW CREATE TABLE: MariaDB hides REFERENTIAL_CONSTRAINTS from accounts that may only SELECT, but not this."""
    where, arguments = _filter(database, table)
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    name = ("", "")
    for (_, *rest), *_ in filter(None, connection.results(_SHOW_ALL.format(where=where), arguments)):
        if len(rest) == 2:
            name = (rest[0], rest[1])
        elif constraints := _CASCADE.findall(rest[0]):
            found[name] = tuple(constraint.replace("``", "`") for constraint in constraints)
    return found


def _read_cascades(connection: Connection, database: str, table: str) -> dict[tuple[str, str], tuple[str, ...]]:
    where, arguments = _filter(database, table)
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for schema, name, constraint in connection.rows(
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS "  # noqa: S608 - values are arguments
        f"WHERE {where.replace('TABLE_SCHEMA', 'CONSTRAINT_SCHEMA')} "
        "AND (UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION'))",
        arguments,
    ):
        found[schema, name].append(constraint)
    return {name: tuple(constraints) for name, constraints in found.items()}
