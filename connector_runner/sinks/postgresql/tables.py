"""Making the PostgreSQL tables fit a stream: read what is there, create, add, widen."""

from __future__ import annotations

from typing import Any

import psycopg

from connector_runner.datasets.fitting import FoundColumn, FoundTable, fit_table
from connector_runner.datasets.names import METADATA, TableNames, quote
from connector_runner.sinks.postgresql.statements import CREATE_DEAD_LETTERS, CREATE_INCIDENTS, RowSql
from connector_runner.sinks.postgresql.values import WIDENS

READ_COLUMNS = """SELECT attname, format_type(atttypid, -1),
  attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = ''
FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
READ_KEYS = """SELECT indisprimary, array_agg(attname ORDER BY place)
FROM pg_index CROSS JOIN unnest(indkey) WITH ORDINALITY AS parts(number, place)
JOIN pg_attribute ON attrelid = indrelid AND attnum = number
WHERE indrelid = to_regclass(%s) AND indisunique AND indpred IS NULL AND indexprs IS NULL
GROUP BY indexrelid, indisprimary"""


async def read_table(connection: psycopg.AsyncConnection[Any], names: TableNames) -> FoundTable | None:
    """The table as it is, None when there is none."""
    cursor = await connection.execute(READ_COLUMNS, [names.rows])
    columns = {name: FoundColumn(type_, required) for name, type_, required in await cursor.fetchall()}
    if not columns:
        return None
    keys = await (await connection.execute(READ_KEYS, [names.rows])).fetchall()
    primary = next((tuple(key) for is_primary, key in keys if is_primary), ())
    return FoundTable(columns, primary, tuple(tuple(key) for is_primary, key in keys if not is_primary))


async def ensure_tables(connection: psycopg.AsyncConnection[Any], sql: RowSql, *, append: bool, own: bool) -> None:
    """In one transaction: the tables fit afterwards.

    Raises:
        SchemaConflictError: They can't be made to fit.
    """
    names, schema = sql.names, sql.schema
    async with connection.transaction():
        found = await read_table(connection, names)
        if found is None:
            await _execute(connection, sql.create_table(append=append))
        else:
            if append:
                found = FoundTable({name: column for name, column in found.columns.items() if name not in METADATA})
            types = {column.name: kind.name for column, kind in zip(schema.columns, sql.types, strict=True)}
            alteration = fit_table(schema, found, types, table=names.text, own=own, widens=WIDENS, keyed=not append)
            changes = [f"ADD COLUMN {quote(column.name)} {types[column.name]}" for column in alteration.added]
            changes += [f"ALTER COLUMN {quote(column.name)} TYPE {types[column.name]}" for column in alteration.widened]
            if changes:
                await _execute(connection, f"ALTER TABLE {names.rows} {', '.join(changes)}")
        await _execute(connection, CREATE_DEAD_LETTERS.format(table=names.dead_letters))
        await _execute(connection, CREATE_INCIDENTS.format(table=names.incidents))


async def _execute(connection: psycopg.AsyncConnection[Any], statement: str) -> None:
    await connection.execute(statement.encode())
