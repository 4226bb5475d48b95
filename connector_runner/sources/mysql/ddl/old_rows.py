"""What a change of the definition does to rows that are already stored: nothing, other values, or other keys.

Decided for each statement: by the definitions right before and after it where both are certain, else by its text alone.
"""

from __future__ import annotations

from connector_runner.protocols.types import Kind
from connector_runner.sources.mysql.ddl.alterations import Alteration, Change, Spec, change_by_text, dropped_by
from connector_runner.sources.mysql.types.columns import SourceColumn
from connector_runner.sources.mysql.types.names import fold_column
from connector_runner.sources.mysql.types.table import TableDefinition


def find_change(before: TableDefinition, after: TableDefinition, alteration: Alteration) -> Change:
    """What a statement did to old rows.

    Args:
        before: The definition before it.
        after: The definition after it; a guess does not show what happened in between.
        alteration: The statement.
    """
    dates = _change_of_dates(before, after) if alteration.zeroes_dates else Change.NONE
    if before.is_guess or after.is_guess:
        change = change_by_text(alteration, before)
        return max(dates, change) if before.key == after.key else Change.KEYS
    return max(dates, change_by_definitions(before, after, alteration))


def _change_of_dates(before: TableDefinition, after: TableDefinition) -> Change:
    """What zeros in place of impossible dates would change: keys, other values, or nothing."""
    change = Change.NONE
    for table in (before, after):
        for column in table.columns:
            if column.type.base in {"date", "datetime"}:
                change = max(change, Change.KEYS if column.name in table.key else Change.VALUES)
    return change


def remember_dropped(before: TableDefinition, after: TableDefinition, alteration: Alteration) -> tuple[str, ...]:
    """Names of dropped columns whose last values the dataset still has after a statement."""
    gone = {*before.dropped, *before.names} - set(after.names)
    if before.is_guess or after.is_guess:
        gone |= {*before.dropped, *dropped_by(alteration)} - {""}
    else:
        there = {fold_column(name) for name in after.names}
        gone = {name for name in gone if fold_column(name) not in there}
    return tuple(sorted(gone))


def dropped_since(before: TableDefinition, after: TableDefinition) -> tuple[str, ...]:
    """Names of columns that the dataset has besides those of the new definition."""
    there = {fold_column(name) for name in after.names}
    return tuple(sorted(name for name in {*before.dropped, *before.names} if fold_column(name) not in there))


def needs_other_types(before: TableDefinition, after: TableDefinition) -> bool:
    """Whether a dataset's table may have to be made anew: a column has values of another kind, or a name that another one had.

    Changes after which the values that are stored are valid as they are count as none.
    """
    old = {fold_column(column.name): column.logical.kind for column in before.columns}
    dropped = {fold_column(name) for name in before.dropped}
    for column in after.columns:
        name, kind = fold_column(column.name), column.logical.kind
        known = old.get(name)
        if known is None and name in dropped:
            return True
        if known not in {None, kind} and (known, kind) not in _EXTENDED:
            return True
    return False


_EXTENDED = {
    (Kind.INT64, Kind.UINT64), (Kind.INT64, Kind.DECIMAL), (Kind.FLOAT32, Kind.FLOAT64), (Kind.DATE, Kind.TIMESTAMP),
}  # fmt: skip


def change_by_definitions(before: TableDefinition, after: TableDefinition, alteration: Alteration) -> Change:
    """Decides the same by the definitions right before and after the statement.

    Rows stay correct when each column is unchanged or only widened, or is new, may be NULL and has no default: then all old rows
    have NULL, as in the dataset. Anything else (a default, a rename, another type, the name of a dropped column) changes rows
    without the log showing it.
    """
    if alteration.ignores or before.key != after.key:
        return Change.KEYS
    if not alteration.is_known:
        return max(Change.VALUES, _change_of_columns(before, after))
    return max(_change_of_names(before, after, alteration), _change_of_columns(before, after))


def _change_of_names(before: TableDefinition, after: TableDefinition, alteration: Alteration) -> Change:
    """Checks whether a name may now mean another column than before."""
    old, new = set(before.names), set(after.names)
    if new - old and old - new:
        return Change.VALUES  # perhaps a rename
    gone = {fold_column(name) for name in (*before.dropped, *dropped_by(alteration))} - {""}
    is_renamed = any(_renames(spec) for spec in alteration.specs)
    return Change.VALUES if is_renamed or gone & {fold_column(name) for name in after.names} else Change.NONE


def _renames(spec: Spec) -> bool:
    """Whether a part of an ALTER TABLE gives a column another name, even if only the case differs."""
    keys = [token.key for token in spec]
    if keys[:1] == ["CHANGE"]:
        names = [token.name for token in spec[1:] if token.key != "COLUMN"]
        return names[:1] != names[1:2]
    return keys[:2] == ["RENAME", "COLUMN"]


def _change_of_columns(before: TableDefinition, after: TableDefinition) -> Change:
    old = {column.name: column for column in before.columns}
    change = Change.NONE
    for column in after.columns:
        is_key = column.name in after.key
        known = old.get(column.name)
        if known is None:
            is_kept = column.nullable and column.default is None and not column.is_generated
        else:
            is_kept = is_widened(known, column)
        if not is_kept:
            change = max(change, Change.KEYS if is_key else Change.VALUES)
    return change


def is_widened(before: SourceColumn, after: SourceColumn) -> bool:
    """Whether each value that the column had stays the same under its new definition."""
    old, new = before.type, after.type
    kept = ("charset", "is_generated", "expression")
    if any(getattr(before, name) != getattr(after, name) for name in kept) or old.is_unsigned != new.is_unsigned:
        return False
    if before.nullable and not after.nullable:
        return False  # a NULL may have become an empty value
    if after.is_auto and not before.is_auto:
        return False  # a zero has become the next number
    if before.sql_type == after.sql_type:
        return True
    if old.base in _INTEGERS and new.base in _INTEGERS:
        return _INTEGERS.index(new.base) >= _INTEGERS.index(old.base)
    if old.base == new.base in {"varchar", "varbinary"}:
        return new.numbers >= old.numbers
    if old.base == new.base in {"enum", "set"}:
        return new.labels[: len(old.labels)] == old.labels
    return False


_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
