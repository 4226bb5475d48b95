"""Small files become large ones between the commits: each commit replaces files of one partition by one with the same rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import FileScanTask
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update.snapshot import _OverwriteFiles

from connector_runner.datasets.columnar.small_files import MANY_FILES, due_partitions, is_small
from connector_runner.sinks.iceberg.commits import OneCommit
from connector_runner.sinks.iceberg.data_files import GROUP_ROWS, remove_files, write_data_files
from connector_runner.sinks.iceberg.errors import CAUGHT, OVERTAKEN
from connector_runner.sinks.iceberg.reading import read_file

LOOK_SECONDS = 600.0
"""How often files are looked at, at most: it reads the list of all of them."""
ONE_FILE = 1 << 62
"""More than any file has: together they are about as large as one may be."""
GROUP_BYTES = 64 << 20
"""How much is in memory at most, beside a row group that is read."""
_log = logging.getLogger(__name__)


class _Rewrite(_OverwriteFiles):
    """A snapshot that says of itself that it changes no row, so that those who follow the table's changes pass it over."""

    def _summary(self, snapshot_properties: dict[str, str] | None = None) -> Summary:
        made = super()._summary(snapshot_properties or {})
        return Summary(Operation.REPLACE, **made.additional_properties)


class Compaction:
    """Does it for one table.

    Args:
        seconds: How long small files stay; 0 for ever.
        target_bytes: The size of a large file.
    """

    def __init__(self, seconds: float, target_bytes: int) -> None:
        self._seconds = seconds
        self._target_bytes = target_bytes
        self._looked: float | None = None

    def compact(self, table: IcebergTable, now: float) -> None:
        """Does what is due; a failure is logged, since the rows are committed.

        Args:
            table: As it was read last; it is as its newest state afterwards.
            now: Unix time in seconds.
        """
        if not self._seconds or (self._looked is not None and now - self._looked < min(self._seconds, LOOK_SECONDS)):
            return
        self._looked = now
        try:
            for files in choose_files(table, self._seconds, self._target_bytes, now):
                rewrite(table, files)
        except OVERTAKEN:
            table.refresh()  # another time
        except CAUGHT as error:
            _log.warning("compaction of %s failed, and is tried again later: %s", table.name(), error)


def choose_files(table: IcebergTable, seconds: float, target_bytes: int, now: float) -> list[list[FileScanTask]]:
    """The files of each commit: of one partition, as it is now, and together about as large as one file may be.

    A file of which others have deleted rows stays as it is.
    """
    times = _times(table)
    spec = table.metadata.default_spec_id
    tasks = [task for task in table.scan().plan_files() if task.file.spec_id == spec and not task.delete_files]
    listed = [
        (task.file.file_size_in_bytes, times.get(task.file.file_path, 0.0), task.file.partition) for task in tasks
    ]
    groups = []
    for partition in due_partitions(listed, seconds, target_bytes, now):
        group, size = list[FileScanTask](), 0
        for task in tasks:
            if task.file.partition == partition and is_small(task.file.file_size_in_bytes, target_bytes):
                group.append(task)
                size += task.file.file_size_in_bytes
                if size >= target_bytes:
                    groups.append(group)
                    group, size = [], 0
        if len(group) >= MANY_FILES:
            groups.append(group)
    return groups


def rewrite(table: IcebergTable, tasks: Sequence[FileScanTask]) -> None:
    """Commits one file with the rows of these.

    Raises:
        CommitFailedException, ValidationException: Somebody has committed since the table was read.
    """
    commit = OneCommit(table)
    rows = _collected(_rows(table, tasks, _columns(table)))
    written = write_data_files(table.io, table.metadata, rows, _columns(table), ONE_FILE)
    try:
        producer = _Rewrite(operation=Operation.OVERWRITE, transaction=commit, io=table.io)
        for task in tasks:
            producer.delete_data_file(task.file)
        for file in written:
            producer.append_data_file(file)
        producer.commit()
        commit.commit_transaction()
    except OVERTAKEN:
        remove_files(table.io, [file.file_path for file in written])
        raise


def _rows(table: IcebergTable, tasks: Sequence[FileScanTask], arrow: pa.Schema) -> Iterator[pa.Table]:
    """The rows of files, row group by row group where they have the table's columns as they are now."""
    for task in tasks:
        with table.io.new_input(task.file.file_path).open() as stream, pq.ParquetFile(stream) as file:
            if _has_columns(file.schema_arrow, arrow):
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group).select(arrow.names).cast(arrow)
                continue
        yield read_file(table, [task], arrow.names).cast(arrow)


def _collected(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in parts that are worth a row group."""
    held: list[pa.Table] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= GROUP_ROWS or sum(each.nbytes for each in held) >= GROUP_BYTES:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _columns(table: IcebergTable) -> pa.Schema:
    """The columns as the runner writes them: with texts and bytes of the ordinary kind."""
    short = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    found: Any = schema_to_pyarrow(table.schema())
    return pa.schema([field.with_type(short.get(field.type, field.type)) for field in found])


def _has_columns(found: pa.Schema, wanted: pa.Schema) -> bool:
    return {_column(field) for field in found} == {_column(field) for field in wanted}


def _column(field: pa.Field) -> tuple[str, pa.DataType, bytes | None]:
    return field.name, field.type, (field.metadata or {}).get(b"PARQUET:field_id")


def _times(table: IcebergTable) -> dict[str, float]:
    """When each file was committed, by its location (Unix time, seconds); without those whose snapshot is forgotten."""
    snapshot = table.current_snapshot()
    at = {each.snapshot_id: each.timestamp_ms / 1000 for each in table.metadata.snapshots}
    manifests = snapshot.manifests(table.io) if snapshot is not None else []
    entries = (
        entry for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    )
    return {entry.data_file.file_path: at.get(entry.snapshot_id or 0, 0.0) for entry in entries}
