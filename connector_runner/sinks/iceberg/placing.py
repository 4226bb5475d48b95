"""Where the files of a table are staged, and how they become files of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from connector_runner.datasets.columnar.staging_folder import StagingFolder
from connector_runner.protocols.errors import TransientError
from connector_runner.sinks.iceberg.data_files import one_partition, partition_columns, read_data_file, write_data_files
from connector_runner.sinks.iceberg.files import local_path, make_folder, sync_folder

STAGED, DATA = "_staged", "data"
"""Folders in a table's own: for files that no commit names yet, and for its files."""


class Placing:
    """The files of tables on a local file system: staged in the table's own folder, and moved."""

    def staging(self, table: IcebergTable) -> StagingFolder:
        """Where files of a table are staged."""
        return StagingFolder(fs.LocalFileSystem(), str(self._folder(table) / STAGED))

    def _folder(self, table: IcebergTable) -> Path:
        folder = local_path(table.location())
        if folder is None:
            raise TransientError(f"the table {table.name()} is not on this file system", reason="DatasetUnavailable")
        return folder

    def adopt(
        self, table: IcebergTable, names: Sequence[str], target_bytes: int
    ) -> tuple[list[DataFile], list[DataFile]]:
        """Makes staged files files of the table, as often as it is asked.

        Returns:
            New files with rows of staged ones that lie in several partitions; files that are the staged ones.
        """
        split: list[DataFile] = []
        adopted: list[DataFile] = []
        folder, metadata = self._folder(table), table.metadata
        make_folder(folder / DATA)
        for name in names:
            staged, final = folder / STAGED / name, folder / DATA / name
            source = final if final.exists() else staged
            partition: Record | None = Record()
            if not metadata.spec().is_unpartitioned():
                partition = one_partition(metadata, read_parts(source, partition_columns(metadata)))
            if partition is None:
                arrow = pq.read_schema(source)
                split += write_data_files(table.io, metadata, read_parts(source), arrow, target_bytes)
                continue
            if source is staged:
                staged.rename(final)
                sync_folder(folder / DATA)
            adopted.append(read_data_file(table.io, metadata, f"{table.location()}/{DATA}/{name}", partition))
        return split, adopted


def read_parts(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of a file, row group by row group."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=columns)
