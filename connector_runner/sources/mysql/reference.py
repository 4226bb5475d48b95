"""The generated blocks of docs/mysql.md: made from the tables that the code uses, so that the page stays correct."""

from __future__ import annotations

from collections.abc import Callable

from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.discovery import STREAM_PARTS as PARTS
from connector_runner.sources.mysql.types.columns import SourceColumn

# A type of each kind, and what users should know about its values.
_TYPES: list[tuple[str, str, bool, str]] = [
    ("tinyint(1)", "", False, "BOOL is this type: 0 and 1, and any other value that fits"),
    ("int", "", False, "also smallint, mediumint, bigint, and all unsigned but bigint"),
    ("bigint unsigned", "", False, ""),
    ("decimal(65,30)", "", False, "every digit"),
    ("float", "", False, "exactly the 32 bits that are stored, not the six digits that a client prints"),
    ("double", "", False, ""),
    ("bit(8)", "", False, "a number"),
    ("bit(64)", "", False, "a number"),
    ("char(10)", "utf8mb4", False, "without trailing spaces, as the server returns it"),
    (
        "varchar(100)",
        "latin1",
        False,
        "decoded from the column's own character set as the server converts it; codes without a character become lone surrogates",
    ),
    ("longtext", "utf8mb4", False, "also tinytext, text, mediumtext"),
    ("binary(16)", "", False, "padded with zero bytes to its length"),
    ("varbinary(100)", "", False, ""),
    ("longblob", "", False, "also tinyblob, blob, mediumblob"),
    ("enum('a','b')", "utf8mb4", False, "the label; the error value is an empty text"),
    ("set('a','b')", "utf8mb4", False, "labels with commas, in the order of the definition"),
    ("date", "", False, "zero and impossible dates as text: `0000-00-00`"),
    ("datetime(6)", "", False, "without a zone; zero as text: `0000-00-00T00:00:00`"),
    ("timestamp(6)", "", False, "UTC; zero as text: `0000-00-00T00:00:00Z`"),
    ("time(3)", "", False, "text, since it is not a time of day: `-838:59:59.000`"),
    ("year", "", False, "0 for 0000; MariaDB's YEAR(2) has two digits, as the server shows it"),
    ("json", "", False, "MySQL: the text that the server prints"),
    ("longtext", "utf8mb4", True, "MariaDB's JSON: the text that was stored"),
    ("geometry", "", False, "WKB, without the SRID; also point, linestring, …"),
    ("uuid", "", False, "MariaDB"),
    ("inet6", "", False, "MariaDB; also inet4; as the server prints it"),
    ("vector(3)", "", False, "MySQL 9, MariaDB 11.7: little-endian 32-bit floats"),
]

_EFFECTS: dict[Effect, tuple[str, str]] = {
    Effect.ALTERED: (
        "ALTER TABLE, CREATE INDEX, DROP INDEX",
        "Followed. When values of old rows may change (a default, a rename, another type, NOT NULL, a generated column, a name that was "
        "dropped before) they are read again while the log is followed, recorded as an incident `refresh` (with `snapshot: never` it is only recorded); "
        "another key, other values in the key, MariaDB's ALTER IGNORE or an engine that keeps no rows mean a new copy, and with `onLogGap: resnapshot` "
        "also a column whose values have another type since ([below](#another-type-or-another-key)). The checks made "
        "before a table is followed are repeated: a foreign key that changes rows ends the stream.",
    ),
    Effect.TRUNCATED: ("TRUNCATE TABLE", "All rows of the dataset are removed; recorded as an incident `truncate`."),
    Effect.DROPPED: (
        "DROP TABLE, DROP DATABASE, CREATE OR REPLACE DATABASE",
        "An error that names the statement; the dataset keeps its last state. With `onLogGap: resnapshot` a new copy if a table of that name is "
        "there again within 10 seconds (a restored dump).",
    ),
    Effect.VANISHED: (
        "a table that is gone without a statement in the log (a CREATE OR REPLACE DATABASE that failed, `sql_log_bin=0`)",
        "An error within about a minute; the dataset keeps its last state.",
    ),
    Effect.RENAMED: (
        "RENAME TABLE, ALTER TABLE … RENAME",
        "An error that names the statement; the dataset keeps its last state. With `onLogGap: resnapshot` a new copy if another table has that "
        "name within 10 seconds (a migration that swaps tables in two statements).",
    ),
    Effect.REPLACED: (
        "another table is renamed to this one (gh-ost, pt-online-schema-change), CREATE OR REPLACE TABLE",
        "An error that names the statement, or with `onLogGap: resnapshot` a new copy.",
    ),
    Effect.PARTITIONS: (
        "EXCHANGE, DROP, TRUNCATE or CONVERT PARTITION, DISCARD or IMPORT TABLESPACE",
        "An error that names the statement, or with `onLogGap: resnapshot` a new copy.",
    ),
    Effect.STATEMENT: (
        "INSERT, UPDATE, DELETE, LOAD DATA, … logged as statements; XA COMMIT of prepared rows that the log no longer has, or of more than 64 MB; "
        "a lost-events incident",
        "An error that names the statement, or with `onLogGap: resnapshot` a new copy.",
    ),
    Effect.SHADOWED: (
        "a statement on a temporary table of the same name (sessions that log statements)",
        "Nothing, if its CREATE was read; else an error that names the statement, or with `onLogGap: resnapshot` a new copy.",
    ),
    Effect.INCOMPLETE: (
        "rows logged without some of their columns (a session with another `binlog_row_image` than FULL)",
        "An error that says how to fix it, or with `onLogGap: resnapshot` a new copy.",
    ),
    Effect.GENERATED: (
        "updates logged without generated columns (MariaDB 11.8, also inserts beside them, whatever `binlog_row_image` says; 10.11 and 11.4 log them)",
        "An error that names the columns, also with `onLogGap: resnapshot`: each update would mean a new copy. Until the first update the table is followed.",
    ),
}


def build_type_table() -> str:
    """The map of types as a table."""
    lines = ["| column type | stream type | |", "|---|---|---|"]
    for sql_type, charset, is_json, remark in _TYPES:
        column = SourceColumn("c", sql_type, charset, is_json=is_json)
        shown = f"{sql_type} CHECK (json_valid(…))" if is_json else sql_type
        lines.append(f"| `{shown}` | `{column.logical}` | {remark} |")
    return "\n".join(lines)


def build_statement_table() -> str:
    """What each statement does, as a table."""
    lines = ["| statement | what happens |", "|---|---|"]
    lines += [f"| {statement} | {happens} |" for statement, happens in _EFFECTS.values()]
    return "\n".join(lines)


STREAM_PARTS = PARTS
BLOCKS: dict[str, Callable[[], str]] = {"types": build_type_table, "statements": build_statement_table}
