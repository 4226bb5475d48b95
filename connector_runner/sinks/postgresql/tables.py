"""Making the PostgreSQL tables fit a stream: read what is there, create, add, widen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg

from connector_runner.datasets.names import TableNames, quote
from connector_runner.datasets.schema_evolution import FoundColumn, FoundTable, fit_table
from connector_runner.sinks.postgresql.statements import CREATE_DEAD_LETTERS, CREATE_INCIDENTS, FIND_SCHEMA, RowSql
from connector_runner.sinks.postgresql.types import METADATA_TYPES, WIDENS

READ_COLUMNS = """SELECT attname, format_type(atttypid, atttypmod),
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


async def ensure_tables(connection: psycopg.AsyncConnection[Any], sql: RowSql, *, append: bool, own: bool) -> bool:
    """Inside a transaction of the caller: the tables fit afterwards.

    Returns:
        Whether the table with the rows was created.

    Raises:
        SchemaConflictError: They can't be made to fit.
    """
    names, schema = sql.names, sql.schema
    found = await read_table(connection, names)
    if found is None:
        await _execute(connection, sql.create_table(append=append))
    else:
        types = {column.name: kind.name for column, kind in zip(schema.columns, sql.types, strict=True)}
        if append:
            types.update(METADATA_TYPES)
        alteration = fit_table(schema, found, types, table=names.text, own=own, widens=WIDENS, append=append)
        changes = [f"ADD COLUMN {quote(column)} {types[column]}" for column in alteration.added]
        changes += [f"ALTER COLUMN {quote(column)} TYPE {types[column]}" for column in alteration.widened]
        if changes:
            await _execute(connection, f"ALTER TABLE {names.rows} {', '.join(changes)}")
    await create_missing(connection, names.dead_letters, CREATE_DEAD_LETTERS.format(table=names.dead_letters))
    await create_missing(connection, names.incidents, CREATE_INCIDENTS.format(table=names.incidents))
    return found is None


async def create_missing(connection: psycopg.AsyncConnection[Any], relation: str, statement: str) -> None:
    """Creates a table or index unless it is there: `IF NOT EXISTS` asks for the right to create even then."""
    cursor = await connection.execute("SELECT to_regclass(%s) IS NULL", [relation])
    if await cursor.fetchone() == (True,):
        await _execute(connection, statement)


async def resolve_schema(connection: psycopg.AsyncConnection[Any], names: TableNames) -> TableNames:
    """The same table with its schema, however it was spelled: where it is, else where it would be created."""
    row = await (await connection.execute(FIND_SCHEMA, [names.rows])).fetchone()
    return replace(names, schema=names.schema or (row and row[0]) or "")


async def _execute(connection: psycopg.AsyncConnection[Any], statement: str) -> None:
    await connection.execute(statement.encode())
