"""The SQL of the SQLite sink: built once a schema."""

from __future__ import annotations

from dataclasses import dataclass

from connector_runner.datasets.fencing import COLUMNS
from connector_runner.datasets.names import ROW_NUMBER, TableNames, quote, quote_all
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sinks.sqlite.types import METADATA_TYPES, declared_types

CREATE_CHECKPOINTS = """CREATE TABLE IF NOT EXISTS {table} (
  connector TEXT NOT NULL, stream TEXT NOT NULL, table_name TEXT NOT NULL, epoch INTEGER NOT NULL, number INTEGER NOT NULL,
  uid TEXT NOT NULL, run INTEGER NOT NULL, identity TEXT NOT NULL, schema_version TEXT NOT NULL, position TEXT,
  write_mode TEXT NOT NULL, updated TEXT NOT NULL, PRIMARY KEY (connector, stream, table_name)
)"""
CREATE_DEAD_LETTERS = """CREATE TABLE IF NOT EXISTS {table} (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, reason TEXT NOT NULL,
  operation TEXT NOT NULL, position TEXT NOT NULL, "row" TEXT NOT NULL
)"""
CREATE_INCIDENTS = """CREATE TABLE IF NOT EXISTS {table} (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, connector TEXT NOT NULL, stream TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, message TEXT NOT NULL, detail TEXT NOT NULL, position TEXT NOT NULL
)"""
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
# What append mode gives with each row.
ADDED = "_written_at, _op, _position, _connector, _stream"


@dataclass(frozen=True, slots=True)
class FenceSql:
    """Statements on the checkpoint table."""

    create: str
    read: str
    read_table: str
    claim: str
    adopt: str
    move: str
    release: str
    remove: str
    commit: str
    touch: str
    dead_letter: str
    incident: str


def table_key(names: TableNames) -> str:
    """How the checkpoint names the table: SQLite takes names for the same that differ in the case of ASCII letters."""
    return names.text.encode().lower().decode()


def build_fence_sql(names: TableNames) -> FenceSql:
    """For one dataset."""
    key = "connector = ? AND stream = ? AND table_name = ?"
    table, listed = names.checkpoints, ", ".join(COLUMNS)
    held = f"WHERE {key} AND epoch = ? AND number = ?"
    return FenceSql(
        create=CREATE_CHECKPOINTS.format(table=table),
        read=f"SELECT {listed} FROM {table} WHERE {key}",
        read_table=f"SELECT {listed} FROM {table} WHERE table_name = ?",
        claim=(
            f"INSERT INTO {table} ({listed}) VALUES (?, ?, ?, ?, 0, ?, ?, '', '', NULL, ?, {NOW}) "
            "ON CONFLICT (connector, stream, table_name) DO UPDATE SET epoch = excluded.epoch, uid = excluded.uid, "
            "run = excluded.run, write_mode = excluded.write_mode, updated = excluded.updated"
        ),
        adopt=f"UPDATE {table} SET schema_version = ? WHERE {key} AND epoch = ? AND schema_version = ''",
        move=f"UPDATE {table} SET connector = ?, stream = ?, table_name = ? WHERE {key}",
        release=(
            f"UPDATE {table} SET epoch = epoch + 1, uid = '', run = 0, identity = '', position = NULL, updated = {NOW} "
            f"WHERE {key}"
        ),
        remove=f"DELETE FROM {table} WHERE {key}",
        commit=f"UPDATE {table} SET number = ?, identity = ?, schema_version = ?, position = ?, updated = {NOW} {held}",
        touch=f"UPDATE {table} SET number = ?, updated = {NOW} {held}",
        dead_letter=(
            f'INSERT INTO {names.dead_letters} (at, connector, stream, reason, operation, position, "row") '
            f"VALUES ({NOW}, ?, ?, ?, ?, ?, ?)"
        ),
        incident=(
            f"INSERT INTO {names.incidents} (at, connector, stream, kind, subject, message, detail, position) "
            f"VALUES ({NOW}, ?, ?, ?, ?, ?, ?, ?)"
        ),
    )


@dataclass(frozen=True, slots=True)
class RowSql:
    """Statements on the table with the rows."""

    upsert: str
    insert: str
    delete: str
    append: str


def build_row_sql(schema: StreamSchema, names: TableNames) -> RowSql:
    """For one schema."""
    columns = quote_all(schema.names)
    values = ", ".join("?" * len(schema.names))
    insert = f"INSERT INTO {names.rows} ({columns}) VALUES ({values})"
    changed = [quote(name) for name in schema.names if name not in schema.key]
    update = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changed)}" if changed else "NOTHING"
    return RowSql(
        upsert=f"{insert} ON CONFLICT ({quote_all(schema.key)}) DO {update}",
        insert=f"{insert} ON CONFLICT ({quote_all(schema.key)}) DO NOTHING",
        delete=f"DELETE FROM {names.rows} WHERE {_equals(schema.key)}",
        append=f"INSERT INTO {names.rows} ({columns}, {ADDED}) VALUES ({values}, {NOW}, ?, ?, ?, ?)",
    )


def _equals(names: tuple[str, ...]) -> str:
    return " AND ".join(f"{quote(name)} = ?" for name in names) or "1"


def delete_prefix(schema: StreamSchema, names: TableNames, length: int) -> str:
    """Removes all rows whose key starts with `length` given values."""
    return f"DELETE FROM {names.rows} WHERE {_equals(schema.key[:length])}"


def retract_prefix(schema: StreamSchema, names: TableNames, length: int) -> str:
    """Append mode: one `delete` row for each own row of the prefix that is live: whose latest entry is no delete.

    Parameters: position, connector and stream, and once more the latter two with the prefix. Rows without an owner are from
    before there was that column.
    """
    columns, key = quote_all(schema.names), quote_all(schema.key)
    own = "((_connector = ? AND _stream = ?) OR _connector IS NULL)"
    if not schema.key:
        own_numbered = "((_connector = ?4 AND _stream = ?5) OR _connector IS NULL)"
        # Rows without a key are only ever taken back all at once: live are those after the last retraction.
        return (
            f"INSERT INTO {names.rows} ({columns}, {ADDED}) WITH own AS (SELECT * FROM {names.rows} WHERE {own_numbered}) "
            f"SELECT {columns}, {NOW}, 'delete', ?1, ?2, ?3 FROM own "
            "WHERE _id > (SELECT coalesce(max(_id), 0) FROM own WHERE _op = 'delete') ORDER BY _id"
        )
    return (
        f"INSERT INTO {names.rows} ({columns}, {ADDED}) SELECT {columns}, {NOW}, 'delete', ?, ?, ? FROM {names.rows} "
        f"WHERE _id IN (SELECT max(_id) FROM {names.rows} WHERE {own} AND {_equals(schema.key[:length])} GROUP BY {key}) "
        "AND _op <> 'delete' ORDER BY _id"
    )


def create_history_index(schema: StreamSchema, names: TableNames) -> str:
    """Finds the entries of a key prefix; made when the first replacement arrives, because appending pays for it."""
    return f"CREATE INDEX IF NOT EXISTS {quote(names.table + '_by_key')} ON {names.rows} ({quote_all(schema.key)})"


def create_rows_table(schema: StreamSchema, names: TableNames, *, append: bool) -> str:
    """Columns of the key are NOT NULL, all others may be null: a stream's guarantees may change, a table's can't."""
    types = declared_types(schema)
    columns = [f"{quote(name)} {types[name]}{' NOT NULL' if name in schema.key else ''}" for name in schema.names]
    if append:
        columns = [
            f"{ROW_NUMBER} INTEGER PRIMARY KEY",
            *(f"{quote(name)} {types[name]}" for name in schema.names),
            *(f"{name} {type_} NOT NULL" for name, type_ in METADATA_TYPES.items() if name != ROW_NUMBER),
        ]
    else:
        columns.append(f"PRIMARY KEY ({quote_all(schema.key)})")
    return f"CREATE TABLE {names.rows} ({', '.join(columns)})"
