"""SQLite's dialect for the table with the rows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from connector_runner.datasets.names import TableNames, quote
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.datasets.row_dialect import RowDialect
from connector_runner.datasets.schema_evolution import Alteration, FoundColumn, FoundTable
from connector_runner.datasets.sqlite.dialect import DIALECT
from connector_runner.protocols.types import Kind
from connector_runner.sinks.sqlite.types import CONVERT, CONVERT_KEY, TYPES, WIDENS, affinity


def read_table(names: TableNames, wanted: Collection[str]) -> Procedure[FoundTable | None]:
    """See `RowDialect.read`."""
    columns, keyed = {}, {}
    for _, name, declared, required, default, key_place in (
        yield Statement(f"PRAGMA table_info({quote(names.table)})")
    ).rows:
        columns[name] = FoundColumn(affinity(declared), bool(required and default is None))
        if key_place:
            keyed[key_place] = name
    if not columns:
        return None
    others = []
    for _, index, unique, _, partial in (yield Statement(f"PRAGMA index_list({quote(names.table)})")).rows:
        if unique and not partial:
            parts = (yield Statement(f"PRAGMA index_info({quote(index)})")).rows
            others.append(tuple(part[2] for part in parts))
    return _respelled(FoundTable(columns, tuple(keyed[place] for place in sorted(keyed)), tuple(others)), wanted)


def _respelled(found: FoundTable, wanted: Collection[str]) -> FoundTable:
    """The names as the stream spells them: for SQLite, names that differ only in the case of ASCII letters are the same."""
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


def alter_table(names: TableNames, alteration: Alteration, types: Mapping[str, str]) -> list[str]:
    """See `RowDialect.alter`; SQLite can't alter a type, so the column is rewritten under the same name."""
    table = names.rows
    statements = [f"ALTER TABLE {table} ADD COLUMN {quote(column)} {types[column]}" for column in alteration.added]
    for column in alteration.widened:
        name, wide = quote(column), quote(f"{column} as {types[column]}")
        statements += [
            f"ALTER TABLE {table} ADD COLUMN {wide} {types[column]}",
            f"UPDATE {table} SET {wide} = CAST({name} AS {types[column]})",
            f"ALTER TABLE {table} DROP COLUMN {name}",
            f"ALTER TABLE {table} RENAME COLUMN {wide} TO {name}",
        ]
    return statements


def newest_rows(names: TableNames, limit: int) -> Procedure[tuple[Sequence[str], Sequence[Sequence[Any]]]]:
    """See `RowDialect.newest`."""
    if not (yield Statement(DIALECT.find, [names.rows])).rows:
        return (), ()
    result = yield Statement(f"SELECT * FROM {names.rows} ORDER BY rowid DESC LIMIT ?", [limit])
    return tuple(result.columns), result.rows[::-1]


ROWS = RowDialect(
    dialect=DIALECT,
    types=TYPES,
    widens=WIDENS,
    read=read_table,
    alter=alter_table,
    newest=newest_rows,
    convert=CONVERT,
    convert_key=CONVERT_KEY,
    repeating=frozenset({Kind.TIMESTAMPTZ}),
)
