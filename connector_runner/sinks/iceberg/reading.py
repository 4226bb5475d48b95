"""Reads what the runner needs from a table: the last number, entries of a history, the newest rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import AlwaysTrue, And, EqualTo
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import FileScanTask
from pyiceberg.table import Table as IcebergTable
from pyiceberg.types import LongType

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.tables import Entry
from connector_runner.datasets.columnar.types import VALUE_ERRORS
from connector_runner.datasets.names import OWNER, ROW_NUMBER
from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Operation, Row
from connector_runner.sinks.iceberg.rows import prefix_tables


def last_number(table: IcebergTable, column: str) -> int:
    """The highest value of a column of whole numbers, by the ranges that its files are listed with; 0 for none."""
    number, last = table.schema().find_field(column).field_id, 0
    for task in table.scan().plan_files():
        bound = task.file.upper_bounds.get(number) if task.file.upper_bounds else None
        if bound is not None:
            last = max(last, int(str(from_bytes(LongType(), bound))))
        elif task.file.record_count:
            last = max(last, pc.max(read_file(table, [task], [column])[column]).as_py() or 0)
    return last


def read_entries(
    table: IcebergTable, columns: Columns, owner: Sequence[str], prefixes: Sequence[Row]
) -> Sequence[Entry]:
    """See `columnar.tables.Table.entries`."""
    names = columns.schema.names
    equal: Any = EqualTo  # its fields have other names than its parameters
    first, second = (equal(name, value) for name, value in zip(OWNER, owner, strict=True))
    found = table.scan(And(first, second), selected_fields=(*names, "_op", ROW_NUMBER)).to_arrow().sort_by(ROW_NUMBER)
    if not columns.schema.key:
        last = pc.max(found.filter(pc.equal(found["_op"], NAMES[Operation.DELETE]))[ROW_NUMBER]).as_py() or 0
        found = found.filter(pc.greater(found[ROW_NUMBER], last))
    elif () not in prefixes:
        found = found.filter(_begins(found, columns, prefixes))
    rows = zip(*(found[name].to_pylist() for name in names), strict=True)
    return list(zip(found["_op"].to_pylist(), rows, strict=True))


def _begins(rows: pa.Table, columns: Columns, prefixes: Sequence[Row]) -> pa.Array:
    """For each row whether its key begins with one of the prefixes."""
    exact = []
    for prefix in prefixes:
        with suppress(*VALUE_ERRORS):  # refused when its turn comes
            prefix_tables(columns, [prefix])
            exact.append(prefix)
    mask = pc.is_null(rows[ROW_NUMBER])
    for table in prefix_tables(columns, exact):
        names = list(map(str, range(table.num_columns)))  # a stream may call its columns as it likes
        key = rows.select(table.column_names).cast(pa.schema([field.with_nullable(True) for field in table.schema]))
        key = key.rename_columns(names)
        key = key.append_column("row", pa.array(range(len(rows)), pa.int64()))
        begun = key.join(table.rename_columns(names), keys=names, join_type="left semi")["row"]
        mask = pc.or_(mask, pc.is_in(key["row"], value_set=begun.combine_chunks()))
    return mask


def newest_rows(table: IcebergTable, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """The columns, and the last rows, newest last; of a state those of the newest files."""
    names = [field.name for field in table.schema().fields]
    is_history = ROW_NUMBER in names
    ages = _ages(table) if not is_history else {}
    tasks = sorted(
        table.scan().plan_files(),
        key=lambda task: (
            _last(task, table.schema().find_field(ROW_NUMBER).field_id)
            if is_history
            else ages.get(task.file.file_path, 0)
        ),
    )
    rows: list[tuple[Any, ...]] = []
    for task in reversed(tasks):
        found = read_file(table, [task], names)
        if is_history:
            found = found.sort_by(ROW_NUMBER)
        rows = [
            tuple(row[name] for name in names) for row in found.slice(max(0, len(found) - limit)).to_pylist()
        ] + rows
        if len(rows) >= limit:
            break
    if is_history:
        rows.sort(key=lambda row: row[names.index(ROW_NUMBER)])
    return names, rows[-limit:]


def _last(task: FileScanTask, number: int) -> int:
    """The highest row number in a file, which a compaction does not change."""
    bound = task.file.upper_bounds.get(number) if task.file.upper_bounds else None
    return 0 if bound is None else int(str(from_bytes(LongType(), bound)))


def _ages(table: IcebergTable) -> dict[str, int]:
    """The number of the commit that has added each file, by its location."""
    snapshot = table.current_snapshot()
    manifests = snapshot.manifests(table.io) if snapshot is not None else []
    entries = (entry for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io))
    return {entry.data_file.file_path: entry.sequence_number or 0 for entry in entries}


def read_file(table: IcebergTable, tasks: Sequence[FileScanTask], names: Sequence[str]) -> pa.Table:
    """Columns of files, as the table has them now, without the rows that others have deleted."""
    schema = table.schema().select(*names)
    return ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table(tasks).select(list(names))
