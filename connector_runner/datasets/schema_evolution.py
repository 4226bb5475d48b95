"""Checks whether an existing table can hold a stream, and what must be altered first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector_runner.datasets.names import METADATA, OWNER, ROW_NUMBER
from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.protocols.schema import StreamSchema

LONGEST_NAME = 63


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
    """What a table needs: names of columns to add, and of columns whose type must be widened.

    Attributes:
        retyped: Columns that need another type, which is possible only without rows.
        aside: What each of them is called from then on in a history, which keeps it.
        rekeyed: Whether it needs another key, likewise.
    """

    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    rekeyed: bool = False

    @property
    def renews(self) -> bool:
        """Whether something must be altered without rows."""
        return bool(self.retyped) or self.rekeyed


def fit_table(
    schema: StreamSchema,
    found: FoundTable,
    wanted_types: Mapping[str, str],
    *,
    table: str,
    own: bool,
    widens: Mapping[tuple[str, str], bool],
    append: bool,
    renews: bool = False,
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
        renews: Whether all rows are about to be removed, and come again: then a table of a connector can get other types and another key.

    Raises:
        SchemaConflictError: The table can't be made to fit; the message lists all differences.
    """
    differences: list[str] = []
    added: list[str] = []
    widened: list[str] = []
    retyped: list[tuple[str, str]] = []
    renews = renews and own
    key = (ROW_NUMBER,) if append else schema.key
    rekeys = renews and not append and not has_key(found, key) and _has_one_key(found)
    # A table without the other metadata columns was created for another write mode, or not by a connector.
    fixed = {*schema.key, *METADATA} - {*OWNER}
    for name, wanted in wanted_types.items():
        may_alter = own and name not in fixed
        is_free = may_alter or (renews and name not in METADATA)
        if (at := found.columns.get(name)) is None:
            if is_free:
                added.append(name)
            else:
                differences.append(f"column {name} ({wanted}) is missing")
        elif at.type != wanted and not widens.get((at.type, wanted), False):
            if may_alter and (at.type, wanted) in widens:
                widened.append(name)
            elif renews and name not in METADATA:
                retyped.append((name, _aside(name, at.type, found)))
            else:
                differences.append(f"column {name} is {at.type}, needed is {wanted}")
    for name, at in found.columns.items():
        is_former_key = rekeys and name in found.key
        if at.required and (name not in wanted_types or name == ROW_NUMBER) and not is_former_key:
            differences.append(f"column {name} needs a value, but the stream has none")
    if not has_key(found, key) and not rekeys:
        has = f"its key is ({', '.join(found.key)})" if found.key else "it has no primary key"
        differences.append(f"{has}, needed is ({', '.join(key)})")
    if differences:
        raise SchemaConflictError(
            f"table {table} can't hold stream {schema.stream}: {'; '.join(differences)}. Alter the table, or choose another "
            "one (Dataset spec.table, or another datasetId); no data was touched"
        )
    names, aside = (tuple(part) for part in zip(*retyped, strict=True)) if retyped else ((), ())
    return Alteration(tuple(added), tuple(widened), names, aside, rekeys)


def _aside(name: str, former: str, found: FoundTable) -> str:
    """A name that no column has, short enough for PostgreSQL."""
    for number in range(1, len(found.columns) + 2):
        end = f" ({former})" if number == 1 else f" ({former} {number})"
        free = f"{name.encode()[: LONGEST_NAME - len(end)].decode(errors='ignore')}{end}"
        if free not in found.columns:
            break
    return free


def _has_one_key(found: FoundTable) -> bool:
    """Whether the table has a primary key, and no other unique constraint that rows with another key might violate."""
    return bool(found.key) and all(set(other) == set(found.key) for other in found.other_keys)


def has_key(found: FoundTable, key: Sequence[str]) -> bool:
    """Whether a unique constraint has exactly these columns, in any order."""
    return any(set(candidate) == set(key) for candidate in (found.key, *found.other_keys) if candidate)
