"""SQLite's dialect for the table with the rows. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from connector_runner.datasets.names import TableNames, quote, quote_all
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.datasets.row_dialect import RowDialect, set_aside
from connector_runner.datasets.schema_evolution import Alteration, FoundColumn, FoundTable
from connector_runner.datasets.sqlite.dialect import DIALECT
from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind
from connector_runner.sinks.sqlite.types import CONVERT, CONVERT_KEY, TYPES, WIDENS, affinity

_QUOTED = re.compile(r'"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|\'(?:[^\']|\'\')*\'')
_WORDS = re.compile(r"[A-Z]+")
_CONSTRAINTS = frozenset(
    {"UNIQUE", "CHECK", "REFERENCES", "FOREIGN", "COLLATE", "GENERATED", "AS", "STRICT", "WITHOUT"}
)


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


def renew_table(
    names: TableNames, alteration: Alteration, types: Mapping[str, str], schema: StreamSchema, append: bool
) -> Procedure[list[str]]:
    """See `RowDialect.renew`; SQLite can alter neither a key nor the type of a column in one, so the empty table is made again.

    Raises:
        SchemaConflictError: The table has constraints besides its key, which somebody else must have made.
    """
    if append:
        return set_aside(names, alteration, types)
    found = (
        yield Statement("SELECT type, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL", [names.table])
    ).rows
    if any(
        kind == "table" and _CONSTRAINTS & set(_WORDS.findall(_QUOTED.sub(" ", sql.upper()))) for kind, sql in found
    ):
        raise SchemaConflictError(
            f"table {names.text} can't hold stream {schema.stream}: it needs other types or another key, and has constraints that a "
            "new one would lack; choose another table (Dataset spec.table); no data was touched"
        )
    columns = []
    for _, name, declared, required, default, key_place in (
        yield Statement(f"PRAGMA table_info({quote(names.table)})")
    ).rows:
        wanted = next((known for known in types if _fold(known) == _fold(name)), None)
        is_required = wanted in schema.key or (wanted is None and required and not key_place)
        given = f" DEFAULT {default}" if default is not None else ""
        columns.append(
            f"{quote(wanted or name)} {types[wanted] if wanted else declared}{' NOT NULL' if is_required else ''}{given}"
        )
    columns.append(f"PRIMARY KEY ({quote_all(schema.key)})")
    beside = [sql for kind, sql in found if kind in {"index", "trigger"}]
    return [f"DROP TABLE {names.rows}", f"CREATE TABLE {names.rows} ({', '.join(columns)})", *beside]


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
    renew=renew_table,
    newest=newest_rows,
    convert=CONVERT,
    convert_key=CONVERT_KEY,
    repeating=frozenset({Kind.TIMESTAMPTZ}),
)
