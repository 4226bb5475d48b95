"""SQL on the table with the rows, for databases where a statement is executed once for each row. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connector_runner.datasets.dialect import Dialect, Placeholders
from connector_runner.datasets.names import TableNames, quote, quote_all
from connector_runner.datasets.procedure import Statement
from connector_runner.protocols.schema import StreamSchema

# The parameters that append mode adds to each row.
ADDED = "_written_at, _op, _position, _connector, _stream"


@dataclass(frozen=True, slots=True)
class RowStatements:
    """Statements that are executed once for each row."""

    upsert: str
    insert: str
    delete: str
    append: str
    index_history: str


def build_row_statements(schema: StreamSchema, names: TableNames, dialect: Dialect) -> RowStatements:
    """Builds the statements for one schema."""
    columns, key = quote_all(schema.names), quote_all(schema.key)
    insert = f"INSERT INTO {names.rows} ({columns}) VALUES ({_values(dialect, len(schema.names))})"
    changed = [quote(name) for name in schema.names if name not in schema.key]
    update = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changed)}" if changed else "NOTHING"
    p = Placeholders(dialect)
    history = f"{p.texts(len(schema.names))}, {dialect.now}, {p.texts(4)}"
    return RowStatements(
        upsert=f"{insert} ON CONFLICT ({key}) DO {update}",
        insert=f"{insert} ON CONFLICT ({key}) DO NOTHING",
        delete=f"DELETE FROM {names.rows} WHERE {_equals(schema.key, Placeholders(dialect))}",
        append=f"INSERT INTO {names.rows} ({columns}, {ADDED}) VALUES ({history})",
        # Index to find the entries of a key prefix; created at the first replacement, because it makes appending slower.
        index_history=f"CREATE INDEX IF NOT EXISTS {quote(names.table + '_by_key')} ON {names.rows} ({key})",
    )


def _values(dialect: Dialect, count: int) -> str:
    return Placeholders(dialect).texts(count)


def _equals(names: Sequence[str], p: Placeholders) -> str:
    return " AND ".join(f"{quote(name)} = {p.text()}" for name in names) or "1 = 1"


def build_delete_prefix(schema: StreamSchema, names: TableNames, dialect: Dialect, prefix: Sequence[Any]) -> Statement:
    """Removes all rows whose key starts with the prefix."""
    where = _equals(schema.key[: len(prefix)], Placeholders(dialect))
    return Statement(f"DELETE FROM {names.rows} WHERE {where}", prefix)


def build_retract_prefix(
    schema: StreamSchema,
    names: TableNames,
    dialect: Dialect,
    prefix: Sequence[Any],
    position: str,
    owner: Sequence[str],
) -> Statement:
    """Append mode: one `delete` row for each own live row of the prefix, which is one whose latest entry is no delete."""
    columns, key, p = quote_all(schema.names), quote_all(schema.key), Placeholders(dialect)
    insert = (
        f"INSERT INTO {names.rows} ({columns}, {ADDED}) SELECT {columns}, {dialect.now}, 'delete', {p.texts(3)} "
        f"FROM {names.rows} WHERE"
    )
    if not schema.key:
        # Rows without a key are only retracted all at once: the rows after the last retraction are live.
        last = f"SELECT coalesce(max(_id), 0) FROM {names.rows} WHERE _op = 'delete' AND {_own(p)}"
        sql = f"{insert} _id > ({last}) AND {_own(p)} ORDER BY _id"
        return Statement(sql, [position, *owner, *owner, *owner])
    latest = (
        f"SELECT max(_id) FROM {names.rows} WHERE {_own(p)} AND {_equals(schema.key[: len(prefix)], p)} GROUP BY {key}"
    )
    sql = f"{insert} _id IN ({latest}) AND _op <> 'delete' ORDER BY _id"
    return Statement(sql, [position, *owner, *owner, *prefix])


def _own(p: Placeholders) -> str:
    """Rows without an owner are older than that column."""
    return f"((_connector = {p.text()} AND _stream = {p.text()}) OR _connector IS NULL)"
