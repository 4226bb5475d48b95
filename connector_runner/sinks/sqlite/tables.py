"""Making the SQLite tables fit a stream: read what is there, create, add, widen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from connector_runner.datasets.names import TableNames, quote
from connector_runner.datasets.schema_evolution import FoundColumn, FoundTable, fit_table
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sinks.sqlite.statements import (
    CREATE_DEAD_LETTERS,
    CREATE_INCIDENTS,
    create_rows_table,
)
from connector_runner.sinks.sqlite.types import METADATA_TYPES, WIDENS, affinity, declared_types


def read_table(connection: sqlite3.Connection, names: TableNames) -> FoundTable | None:
    """The table as it is, None when there is none."""
    columns, keyed = {}, {}
    for _, name, declared, required, default, key_place in connection.execute(
        f"PRAGMA table_info({quote(names.table)})"
    ).fetchall():
        columns[name] = FoundColumn(affinity(declared), bool(required and default is None))
        if key_place:
            keyed[key_place] = name
    if not columns:
        return None
    others = []
    for _, index, unique, _, partial in connection.execute(f"PRAGMA index_list({quote(names.table)})").fetchall():
        if unique and not partial:
            others.append(tuple(row[2] for row in connection.execute(f"PRAGMA index_info({quote(index)})").fetchall()))
    return FoundTable(columns, tuple(keyed[place] for place in sorted(keyed)), tuple(others))


def _respelled(found: FoundTable, wanted: Iterable[str]) -> FoundTable:
    """With the names as the stream spells them: SQLite takes names for the same that differ in the case of ASCII letters."""
    spellings = {_fold(name): name for name in wanted}

    def spell(name: str) -> str:
        return spellings.get(_fold(name), name)

    return FoundTable(
        {spell(name): column for name, column in found.columns.items()},
        tuple(map(spell, found.key)),
        tuple(tuple(map(spell, key)) for key in found.other_keys),
    )


def _fold(name: str) -> str:
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def ensure_tables(
    connection: sqlite3.Connection, schema: StreamSchema, names: TableNames, *, append: bool, own: bool
) -> None:
    """Inside one transaction of the caller: the tables fit afterwards.

    Raises:
        SchemaConflictError: They can't be made to fit.
    """
    found = read_table(connection, names)
    if found is None:
        connection.execute(create_rows_table(schema, names, append=append))
    else:
        _alter(connection, schema, names, found, append=append, own=own)
    connection.execute(CREATE_DEAD_LETTERS.format(table=names.dead_letters))
    connection.execute(CREATE_INCIDENTS.format(table=names.incidents))


def _alter(
    connection: sqlite3.Connection,
    schema: StreamSchema,
    names: TableNames,
    found: FoundTable,
    *,
    append: bool,
    own: bool,
) -> None:
    types = declared_types(schema)
    if append:
        types.update(METADATA_TYPES)
    found = _respelled(found, types)
    alteration = fit_table(schema, found, types, table=names.text, own=own, widens=WIDENS, append=append)
    for column in alteration.added:
        connection.execute(f"ALTER TABLE {names.rows} ADD COLUMN {quote(column)} {types[column]}")
    for column in alteration.widened:
        name, wide = quote(column), quote(f"{column} as {types[column]}")
        connection.execute(f"ALTER TABLE {names.rows} ADD COLUMN {wide} {types[column]}")
        connection.execute(f"UPDATE {names.rows} SET {wide} = CAST({name} AS {types[column]})")
        connection.execute(f"ALTER TABLE {names.rows} DROP COLUMN {name}")
        connection.execute(f"ALTER TABLE {names.rows} RENAME COLUMN {wide} TO {name}")
