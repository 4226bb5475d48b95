"""An upsert as one snapshot: files with rows that change are written again without them, and the changes are added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask
from pyiceberg.table import Table as IcebergTable

from connector_runner.datasets.columnar.columns import free_name
from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.sinks.iceberg.types import present_names

ROW, PLACE, FIRST, CHANGE = "row", "place", "row_min", "change"
"""Columns beside those of the key, whose names are numbers here: a stream may call its own as it likes."""


@dataclass
class Merge:
    """What an upsert does to the files of a table.

    Attributes:
        gone: For each file that changes: the places of the rows that it loses.
        kept: Places of changes that insert a row which is there already.
    """

    gone: list[tuple[FileScanTask, pa.Array]] = field(default_factory=list)
    kept: list[pa.Array] = field(default_factory=list)

    @property
    def replaced(self) -> list[DataFile]:
        """The files that are written again, or removed."""
        return [task.file for task, _ in self.gone]


def as_now(
    staged: pa.Table, key: Sequence[str], removed: Sequence[pa.Table], schema: Schema
) -> tuple[pa.Table, list[str], list[pa.Table]]:
    """Changes, key and prefixes with the names that the columns have in the table now; without those that others have dropped.

    Raises:
        SchemaConflictError: A column of the key is gone.
    """
    present = present_names(staged.schema.remove(staged.num_columns - 1), schema)
    if gone := [name for name in key if name not in present]:
        raise SchemaConflictError(
            f"the columns {', '.join(gone)} of the key were dropped from the table while changes were on their way into it; add them "
            "again, or choose another table and start over: connector-runner checkpoint reset"
        )
    fields = [
        pa.field(present[field.name], field.type, field.nullable) for field in staged.schema if field.name in present
    ]
    operation = pa.field(free_name(CHANGE, [field.name for field in fields]), pa.string())
    columns = [*(staged[name] for name in present), staged.columns[-1]]
    changes = pa.Table.from_arrays(columns, schema=pa.schema([*fields, operation]))
    names = [prefixes.rename_columns([present[name] for name in prefixes.column_names]) for prefixes in removed]
    return changes, [present[name] for name in key], names


def plan_merge(table: IcebergTable, changes: pa.Table, key: Sequence[str], removed: Sequence[pa.Table]) -> Merge:
    """Finds what changes; reads the key of every row.

    Args:
        table: As it was read last.
        changes: One row a key, with the operation (the last column).
        key: The columns of the key.
        removed: Prefixes of keys whose rows are removed unless they are among the changes.
    """
    merge, names = Merge(), _numbers(key)
    keys = _numbered(changes, key).append_column(CHANGE, changes.columns[-1])
    keys = keys.append_column(PLACE, pa.array(range(len(changes)), pa.int64()))
    begun_by = [prefixes.rename_columns(names[: prefixes.num_columns]) for prefixes in removed]
    for task in table.scan().plan_files():
        found = _numbered(_read(table, task, key, changes.schema), key)
        found = found.append_column(ROW, pa.array(range(len(found)), pa.int64()))
        matched = found.join(keys, keys=names, join_type="inner")
        inserts = pc.equal(matched[CHANGE], "insert")
        merge.kept.append(pc.filter(matched[PLACE], inserts).combine_chunks())
        gone = [pc.filter(matched[ROW], pc.invert(inserts)).combine_chunks()]
        for prefixes in begun_by:
            begun = found
            if prefixes.schema.names:
                begun = found.join(prefixes, keys=prefixes.schema.names, join_type="left semi")
            unmatched = pc.invert(pc.is_in(begun[ROW], value_set=matched[ROW].combine_chunks()))
            gone.append(pc.filter(begun[ROW], unmatched).combine_chunks())
        rows = pa.concat_arrays([_flat(each) for each in gone])
        if len(rows):
            merge.gone.append((task, rows))
    return merge


def merged_schema(table: IcebergTable, changes: pa.Schema) -> pa.Schema:
    """All columns of the table: those of the changes as they have them, then those that only the table has."""
    stream = list(changes)[:-1]
    known = {field.name for field in stream}
    extra = [field for field in schema_to_pyarrow(table.schema()) if field.name not in known]
    return pa.schema([*stream, *extra])


def merged_rows(table: IcebergTable, changes: pa.Table, key: Sequence[str], merge: Merge) -> Iterator[pa.Table]:
    """The rows that replace those of the replaced files: those that stay, then the changes.

    A column that the changes do not have keeps its value in each row, also in one that is updated; it is null in new ones.
    """
    arrow = merged_schema(table, changes.schema)
    extra, older = arrow.names[len(changes.schema) - 1 :], list[pa.Table]()
    for task, gone in merge.gone:
        rows = _read(table, task, arrow.names, arrow)
        place = pa.array(range(len(rows)), pa.int64())
        is_gone = pc.is_in(place, value_set=gone)
        if extra:
            older.append(rows.filter(is_gone).select([*key, *extra]))
        yield rows.filter(pc.invert(is_gone))
    stored = pc.not_equal(changes.columns[-1], "delete")
    if merge.kept:
        place = pa.array(range(len(changes)), pa.int64())
        dropped = pa.concat_arrays([_flat(each) for each in merge.kept])
        stored = pc.and_(stored, pc.invert(pc.is_in(place, value_set=dropped)))
    new = changes.select(range(changes.num_columns - 1))
    for name, values in zip(extra, _older_values(arrow, changes, key, extra, older), strict=True):
        new = new.append_column(arrow.field(name).with_nullable(True), values)
    yield new.filter(stored)


def _older_values(
    arrow: pa.Schema, changes: pa.Table, key: Sequence[str], extra: Sequence[str], older: Sequence[pa.Table]
) -> list[pa.ChunkedArray | pa.Array]:
    """For each change the values that its row had in these columns; null for a row that is new."""
    if not extra or not older:
        return [pa.nulls(len(changes), arrow.field(name).type) for name in extra]
    names, rows = _numbers(key), pa.concat_tables(older)
    numbered = _numbered(rows, key).append_column(ROW, pa.array(range(len(rows)), pa.int64()))
    first = numbered.group_by(names).aggregate([(ROW, "min")])  # others may have written a key twice
    places = _numbered(changes, key).append_column(PLACE, pa.array(range(len(changes)), pa.int64()))
    found = places.join(first, keys=names, join_type="left outer").sort_by(PLACE)[FIRST].combine_chunks()
    return [rows[name].combine_chunks().take(found) for name in extra]


def _numbers(key: Sequence[str]) -> list[str]:
    return [str(number) for number in range(len(key))]


def _numbered(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """The columns of the key, named by their numbers."""
    return rows.select(list(key)).rename_columns(_numbers(key))


def _flat(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _read(table: IcebergTable, task: FileScanTask, names: Sequence[str], types: pa.Schema) -> pa.Table:
    """Columns of one file, without the rows that others have deleted."""
    schema = table.schema().select(*names)
    rows = ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table([task])
    return rows.select(list(names)).cast(pa.schema([types.field(name).with_nullable(True) for name in names]))
