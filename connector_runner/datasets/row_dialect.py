"""The dialect of one SQL database for the table with the rows, and the steps that make this table fit a stream. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector_runner.datasets.dialect import Dialect
from connector_runner.datasets.names import METADATA, ROW_NUMBER, TableNames, quote, quote_all
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.datasets.schema_evolution import Alteration, FoundTable, fit_table
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind

Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class RowDialect:
    """The differences between databases in the table with the rows.

    Attributes:
        dialect: The ledger's dialect of the same database.
        types: Kind → the type of a column, as the database spells it.
        widens: (found type, wanted type) that ALTER can change; True where the found type already holds every value.
        read: Table, names of the stream's columns → the existing table, with names as the stream spells them; None if there is none.
        alter: Table, what it needs, types by column → the ALTER statements.
        renew: Table, what it needs, types by column, its schema, whether it is a history → the statements that alter it as `Alteration.renews`
            says, once its rows are gone or retracted.
        newest: Table, limit → names of its columns and the rows inserted last, newest last.
        convert: Kind → converts a value for the driver; kinds that need no conversion are left out.
        convert_key: The same as `convert`, for key columns.
        repeating: Kinds whose values are often the same object in consecutive rows.
    """

    dialect: Dialect
    types: Mapping[Kind, str]
    widens: Mapping[tuple[str, str], bool]
    read: Callable[[TableNames, Collection[str]], Procedure[FoundTable | None]]
    alter: Callable[[TableNames, Alteration, Mapping[str, str]], Sequence[str]]
    renew: Callable[[TableNames, Alteration, Mapping[str, str], StreamSchema, bool], Procedure[Sequence[str]]]
    newest: Callable[[TableNames, int], Procedure[tuple[Sequence[str], Sequence[Sequence[Any]]]]]
    convert: Mapping[Kind, Convert] = field(default_factory=dict)
    convert_key: Mapping[Kind, Convert] = field(default_factory=dict)
    repeating: frozenset[Kind] = frozenset()

    def column_types(self, schema: StreamSchema, *, append: bool) -> dict[str, str]:
        """Types by column name; in append mode with the columns that it adds."""
        types = {column.name: self.types[column.type.kind] for column in schema.columns}
        if append:
            types.update({name: self.types[kind] for name, kind in METADATA.items()})
        return types


def ensure_table(
    schema: StreamSchema,
    names: TableNames,
    rows: RowDialect,
    *,
    append: bool,
    own: bool,
    later: list[str] | None = None,
) -> Procedure[bool]:
    """Makes the table with the rows fit, inside one transaction of the driver.

    `later` gets the statements that must run once all rows are gone; without it they do not go, and such a table does not fit.

    Returns:
        Whether it was created.

    Raises:
        SchemaConflictError: It can't be made to fit.
    """
    types = rows.column_types(schema, append=append)
    found = yield from rows.read(names, types)
    if found is None:
        yield Statement(build_create_table(schema, names, rows, append=append))
        return True
    renews = later is not None
    alteration = fit_table(
        schema, found, types, table=names.text, own=own, widens=rows.widens, append=append, renews=renews
    )
    for statement in rows.alter(names, alteration, types):
        yield Statement(statement)
    if later is not None and alteration.renews:
        later += yield from rows.renew(names, alteration, types, schema, append)
    return False


def build_create_table(schema: StreamSchema, names: TableNames, rows: RowDialect, *, append: bool) -> str:
    """Key columns are NOT NULL, all others may be null: a stream's guarantees may change, a table's can't."""
    types = rows.column_types(schema, append=append)
    if append:
        added = [f"{name} {types[name]} NOT NULL" for name in METADATA if name != ROW_NUMBER]
        number = f"{ROW_NUMBER} {rows.dialect.numbered}"
        columns = [number, *(f"{quote(name)} {types[name]}" for name in schema.names), *added]
    else:
        columns = [f"{quote(name)} {types[name]}{' NOT NULL' if name in schema.key else ''}" for name in schema.names]
        columns.append(f"PRIMARY KEY ({quote_all(schema.key)})")
    return f"CREATE TABLE {names.rows} ({', '.join(columns)})"


def set_aside(names: TableNames, alteration: Alteration, types: Mapping[str, str]) -> list[str]:
    """A history keeps what it has: each column that needs another type gets another name, and a new one takes its place."""
    statements = []
    for column, aside in zip(alteration.retyped, alteration.aside, strict=True):
        statements += [
            f"ALTER TABLE {names.rows} RENAME COLUMN {quote(column)} TO {quote(aside)}",
            f"ALTER TABLE {names.rows} ADD COLUMN {quote(column)} {types[column]}",
        ]
    return statements


@dataclass(frozen=True, slots=True)
class Conversion:
    """The conversion of the values at one index of a row."""

    place: int
    convert: Convert
    is_repeating: bool = False


def build_conversions(schema: StreamSchema, rows: RowDialect) -> list[Conversion]:
    """The conversions, for the columns that need one."""
    found = []
    for place, column in enumerate(schema.columns):
        kind = column.type.kind
        convert = rows.convert_key.get(kind) if column.name in schema.key else None
        if (convert := convert or rows.convert.get(kind)) is not None:
            found.append(Conversion(place, convert, kind in rows.repeating))
    return found


def convert_rows(rows: Sequence[Sequence[Any]], conversions: Sequence[Conversion]) -> Sequence[Sequence[Any]]:
    """Rows ready to be bound; converted column by column, which is faster than row by row.

    Raises:
        RefusedError, UnicodeError, …: Some value has no exact form.
    """
    if not conversions or not rows:
        return rows
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for conversion in conversions:
        columns[conversion.place] = _convert_column(columns[conversion.place], conversion)
    return list(zip(*columns, strict=True))


def _convert_column(values: Sequence[Any], conversion: Conversion) -> Sequence[Any]:
    convert = conversion.convert
    if conversion.is_repeating:
        return _convert_runs(values, convert)
    if None in values:
        return [None if value is None else convert(value) for value in values]
    return list(map(convert, values))


def _convert_runs(values: Sequence[Any], convert: Convert) -> Sequence[Any]:
    """Converts an object once if consecutive rows repeat it (the time of a block in its transactions)."""
    converted = []
    last = text = None
    for value in values:
        if value is not last:
            last, text = value, None if value is None else convert(value)
        converted.append(text)
    return converted
