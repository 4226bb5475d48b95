"""Whether a table that exists can hold a stream, and what must be altered first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.protocols.schema import Column, StreamSchema


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column of the table that exists: its type in the database's own words, and whether a row must give a value."""

    type: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table that exists.

    Attributes:
        columns: By name.
        key: Columns of the primary key or of a unique index over not-null columns; empty when there is none.
        other_keys: Further unique constraints that could serve.
    """

    columns: Mapping[str, FoundColumn]
    key: tuple[str, ...] = ()
    other_keys: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Alteration:
    """What a table needs: columns to add, and columns whose type must be widened."""

    added: tuple[Column, ...] = ()
    widened: tuple[Column, ...] = ()


def fit_table(
    schema: StreamSchema,
    found: FoundTable,
    wanted_types: Mapping[str, str],
    *,
    table: str,
    own: bool,
    widens: Mapping[tuple[str, str], bool],
    keyed: bool,
) -> Alteration:
    """What must be altered so that the table holds the stream.

    Args:
        schema: Of the stream.
        found: The table.
        wanted_types: Each column's type in this database.
        table: For messages.
        own: Whether a connector made or filled it: then columns may be added and types widened.
        widens: (found type, wanted type) that can be had by altering; True where the found type already holds everything.
        keyed: Whether rows are stored by key.

    Raises:
        SchemaConflictError: With all differences.
    """
    differences: list[str] = []
    added: list[Column] = []
    widened: list[Column] = []
    for column in schema.columns:
        wanted = wanted_types[column.name]
        may_alter = own and column.name not in schema.key
        if (at := found.columns.get(column.name)) is None:
            if may_alter:
                added.append(column)
            else:
                differences.append(f"column {column.name} ({wanted}) is missing")
        elif at.type != wanted and not widens.get((at.type, wanted), False):
            if may_alter and (at.type, wanted) in widens:
                widened.append(column)
            else:
                differences.append(f"column {column.name} is {at.type}, needed is {wanted}")
    for name, at in found.columns.items():
        if name not in schema.names and at.required:
            differences.append(f"column {name} needs a value, but the stream has none")
    if keyed and not has_key(found, schema.key):
        has = f"its key is ({', '.join(found.key)})" if found.key else "it has no primary key"
        differences.append(f"{has}, needed is ({', '.join(schema.key)})")
    if differences:
        raise SchemaConflictError(
            f"table {table} can't hold stream {schema.stream}: {'; '.join(differences)}. Alter the table, or choose another "
            "one (Dataset spec.table, or another datasetId); no data was touched"
        )
    return Alteration(tuple(added), tuple(widened))


def has_key(found: FoundTable, key: Sequence[str]) -> bool:
    """Whether some unique constraint has just these columns, in any order."""
    return any(set(candidate) == set(key) for candidate in (found.key, *found.other_keys) if candidate)
