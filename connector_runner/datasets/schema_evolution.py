"""Checks whether an existing table can hold a stream, and what must be altered first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector_runner.datasets.names import METADATA, OWNER, ROW_NUMBER
from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.protocols.schema import StreamSchema


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column of an existing table: its type as the database spells it, and whether a row must have a value."""

    type: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class FoundTable:
    """An existing table.

    Attributes:
        columns: By name.
        key: Columns of the primary key or of a unique index over NOT NULL columns; empty if there is none.
        other_keys: Further unique constraints that could serve as key.
    """

    columns: Mapping[str, FoundColumn]
    key: tuple[str, ...] = ()
    other_keys: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Alteration:
    """What a table needs: names of columns to add, and of columns whose type must be widened."""

    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()


def fit_table(
    schema: StreamSchema,
    found: FoundTable,
    wanted_types: Mapping[str, str],
    *,
    table: str,
    own: bool,
    widens: Mapping[tuple[str, str], bool],
    append: bool,
) -> Alteration:
    """What must be altered so that the table holds the stream.

    Args:
        schema: The stream's schema.
        found: The existing table.
        wanted_types: Each column's type in this database; in append mode also those of `METADATA`.
        table: The table's name, for messages.
        own: Whether a connector created or filled it: only then may columns be added and types widened.
        widens: (found type, wanted type) that ALTER can change; True where the found type already holds every value.
        append: Whether the history is kept; if not, rows are stored by key.

    Raises:
        SchemaConflictError: The table can't be made to fit; the message lists all differences.
    """
    differences: list[str] = []
    added: list[str] = []
    widened: list[str] = []
    # A table without the other metadata columns was created for another write mode, or not by a connector.
    fixed = {*schema.key, *METADATA} - {*OWNER}
    for name, wanted in wanted_types.items():
        may_alter = own and name not in fixed
        if (at := found.columns.get(name)) is None:
            if may_alter:
                added.append(name)
            else:
                differences.append(f"column {name} ({wanted}) is missing")
        elif at.type != wanted and not widens.get((at.type, wanted), False):
            if may_alter and (at.type, wanted) in widens:
                widened.append(name)
            else:
                differences.append(f"column {name} is {at.type}, needed is {wanted}")
    for name, at in found.columns.items():
        if at.required and (name not in wanted_types or name == ROW_NUMBER):
            differences.append(f"column {name} needs a value, but the stream has none")
    key = (ROW_NUMBER,) if append else schema.key
    if not has_key(found, key):
        has = f"its key is ({', '.join(found.key)})" if found.key else "it has no primary key"
        differences.append(f"{has}, needed is ({', '.join(key)})")
    if differences:
        raise SchemaConflictError(
            f"table {table} can't hold stream {schema.stream}: {'; '.join(differences)}. Alter the table, or choose another "
            "one (Dataset spec.table, or another datasetId); no data was touched"
        )
    return Alteration(tuple(added), tuple(widened))


def has_key(found: FoundTable, key: Sequence[str]) -> bool:
    """Whether a unique constraint has exactly these columns, in any order."""
    return any(set(candidate) == set(key) for candidate in (found.key, *found.other_keys) if candidate)
