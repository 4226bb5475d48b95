"""An upsert as one snapshot: files with rows that change are written again without them, and the changes are added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask
from pyiceberg.table import Table as IcebergTable

from connector_runner.datasets.columnar.staged_files import CHANGE

ROW, PLACE = "_row", "_place"


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


def plan_merge(table: IcebergTable, changes: pa.Table, key: Sequence[str], removed: Sequence[pa.Table]) -> Merge:
    """Finds what changes; reads the key of every row.

    Args:
        table: As it was read last.
        changes: One row a key, with the operation (`CHANGE`).
        key: The columns of the key.
        removed: Prefixes of keys whose rows are removed unless they are among the changes.
    """
    merge, names = Merge(), list(key)
    keys = changes.select([*names, CHANGE]).append_column(PLACE, pa.array(range(len(changes)), pa.int64()))
    for task in table.scan().plan_files():
        found = _read(table, task, names, changes.schema)
        found = found.append_column(ROW, pa.array(range(len(found)), pa.int64()))
        matched = found.join(keys, keys=names, join_type="inner")
        inserts = pc.equal(matched[CHANGE], "insert")
        merge.kept.append(pc.filter(matched[PLACE], inserts).combine_chunks())
        gone = [pc.filter(matched[ROW], pc.invert(inserts)).combine_chunks()]
        for prefixes in removed:
            begun = found
            if prefixes.schema.names:
                begun = found.join(prefixes, keys=prefixes.schema.names, join_type="left semi")
            unmatched = pc.invert(pc.is_in(begun[ROW], value_set=matched[ROW].combine_chunks()))
            gone.append(pc.filter(begun[ROW], unmatched).combine_chunks())
        rows = pa.concat_arrays([_flat(each) for each in gone])
        if len(rows):
            merge.gone.append((task, rows))
    return merge


def merged_rows(table: IcebergTable, changes: pa.Table, merge: Merge) -> Iterator[pa.Table]:
    """The rows that replace those of the replaced files: those that stay, then the changes."""
    arrow = changes.drop_columns([CHANGE]).schema
    for task, gone in merge.gone:
        rows = _read(table, task, arrow.names, arrow)
        place = pa.array(range(len(rows)), pa.int64())
        yield rows.filter(pc.invert(pc.is_in(place, value_set=gone)))
    stored = pc.not_equal(changes[CHANGE], "delete")
    if merge.kept:
        place = pa.array(range(len(changes)), pa.int64())
        dropped = pa.concat_arrays([_flat(each) for each in merge.kept])
        stored = pc.and_(stored, pc.invert(pc.is_in(place, value_set=dropped)))
    yield changes.drop_columns([CHANGE]).filter(stored)


def _flat(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _read(table: IcebergTable, task: FileScanTask, names: Sequence[str], types: pa.Schema) -> pa.Table:
    """Columns of one file, without the rows that others have deleted."""
    schema = table.schema().select(*names)
    rows = ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table([task])
    return rows.select(list(names)).cast(pa.schema([types.field(name).with_nullable(True) for name in names]))
