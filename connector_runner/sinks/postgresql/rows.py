"""PostgreSQL's dialect for the table with the rows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from connector_runner.datasets.names import TableNames, quote, quote_all
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.datasets.row_dialect import RowDialect, set_aside
from connector_runner.datasets.schema_evolution import Alteration, FoundColumn, FoundTable
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sinks.postgresql.dialect import DIALECT
from connector_runner.sinks.postgresql.types import TYPES, WIDENS

READ_COLUMNS = """SELECT attname, format_type(atttypid, atttypmod),
  attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = ''
FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
READ_KEYS = """SELECT indisprimary, array_agg(attname ORDER BY place)
FROM pg_index CROSS JOIN unnest(indkey) WITH ORDINALITY AS parts(number, place)
JOIN pg_attribute ON attrelid = indrelid AND attnum = number
WHERE indrelid = to_regclass($1) AND indisunique AND indpred IS NULL AND indexprs IS NULL
GROUP BY indexrelid, indisprimary"""
READ_PRIMARY = """SELECT conname, array_agg(attname)
FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
WHERE conrelid = to_regclass($1) AND contype = 'p' GROUP BY conname"""
PAGE_BYTES = 8192


def read_table(names: TableNames, wanted: Collection[str]) -> Procedure[FoundTable | None]:
    """See `RowDialect.read`."""
    del wanted  # names have only one spelling here
    found = (yield Statement(READ_COLUMNS, [names.rows])).rows
    columns = {name: FoundColumn(type_, required) for name, type_, required in found}
    if not columns:
        return None
    keys = (yield Statement(READ_KEYS, [names.rows])).rows
    primary = next((tuple(key) for is_primary, key in keys if is_primary), ())
    return FoundTable(columns, primary, tuple(tuple(key) for is_primary, key in keys if not is_primary))


def alter_table(names: TableNames, alteration: Alteration, types: Mapping[str, str]) -> list[str]:
    """See `RowDialect.alter`."""
    changes = [f"ADD COLUMN {quote(column)} {types[column]}" for column in alteration.added]
    changes += [f"ALTER COLUMN {quote(column)} TYPE {types[column]}" for column in alteration.widened]
    return [f"ALTER TABLE {names.rows} {', '.join(changes)}"] if changes else []


def renew_table(
    names: TableNames, alteration: Alteration, types: Mapping[str, str], schema: StreamSchema, append: bool
) -> Procedure[list[str]]:
    """See `RowDialect.renew`; grants, indexes and the table itself stay."""
    if append:
        return set_aside(names, alteration, types)
    changes = []
    if alteration.rekeyed:
        for constraint, columns in (yield Statement(READ_PRIMARY, [names.rows])).rows:
            changes.append(f"DROP CONSTRAINT {quote(constraint)}")
            changes += [f"ALTER COLUMN {quote(column)} DROP NOT NULL" for column in columns if column not in schema.key]
    changes += [f"ALTER COLUMN {quote(column)} TYPE {types[column]} USING NULL" for column in alteration.retyped]
    if alteration.rekeyed:
        changes.append(f"ADD PRIMARY KEY ({quote_all(schema.key)})")
    return [f"ALTER TABLE {names.rows} {change}" for change in changes]


def newest_rows(names: TableNames, limit: int) -> Procedure[tuple[Sequence[str], Sequence[Sequence[Any]]]]:
    """See `RowDialect.newest`; reads the last pages of the table, which hold the rows that were written last."""
    size = (yield Statement("SELECT pg_relation_size(to_regclass($1))", [names.rows])).rows[0][0]
    if size is None:
        return (), ()
    pages, back = size // PAGE_BYTES, 8
    while True:
        first = max(0, pages - back)
        sql = f"SELECT * FROM {names.rows} WHERE ctid >= '({first},0)' ORDER BY ctid DESC LIMIT $1"
        result = yield Statement(sql, [limit])
        if len(result.rows) >= limit or first == 0:
            return result.columns, result.rows[::-1]
        back *= 8


ROWS = RowDialect(
    dialect=DIALECT,
    types={kind: type_.name for kind, type_ in TYPES.items()},
    widens=WIDENS,
    read=read_table,
    alter=alter_table,
    renew=renew_table,
    newest=newest_rows,
)
