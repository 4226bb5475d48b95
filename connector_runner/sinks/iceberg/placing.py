"""Where the files of a table are staged, and how they become files of the table."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from connector_runner.datasets.columnar.s3.upload import Upload
from connector_runner.datasets.columnar.staging_folder import StagingFolder
from connector_runner.protocols.errors import TransientError
from connector_runner.sinks.iceberg.data_files import one_partition, partition_columns, read_data_file, write_data_files
from connector_runner.sinks.iceberg.files import local_path, make_folder, sync_folder
from connector_runner.sinks.iceberg.objects import bucket_path, find_bucket

STAGED, DATA = "_staged", "data"
"""Folders in a table's own: for files that no commit names yet, and for its files."""


class Placing:
    """The files of tables: staged in the table's own folder, and moved; in an object store that is a copy which the store makes."""

    def staging(self, table: IcebergTable) -> StagingFolder:
        """Where files of a table are staged."""
        files, folder = _home(table)
        if bucket_path(table.location()) is None:
            return StagingFolder(files, f"{folder}/{STAGED}")
        bucket = find_bucket(table.io.properties, folder)
        return StagingFolder(files, f"{folder}/{STAGED}", lambda path: Upload(bucket, path))

    def adopt(
        self, table: IcebergTable, names: Sequence[str], target_bytes: int
    ) -> tuple[list[DataFile], list[DataFile]]:
        """Makes staged files files of the table, as often as it is asked.

        Returns:
            New files with rows of staged ones that lie in several partitions; files that are the staged ones.
        """
        split: list[DataFile] = []
        adopted: list[DataFile] = []
        files, folder = _home(table)
        metadata = table.metadata
        is_local = isinstance(files, fs.LocalFileSystem)
        if is_local and names:
            make_folder(Path(folder) / DATA)
        for name in names:
            staged, final = f"{folder}/{STAGED}/{name}", f"{folder}/{DATA}/{name}"
            is_staged = files.get_file_info(final).type is fs.FileType.NotFound
            source = staged if is_staged else final
            partition: Record | None = Record()
            if not metadata.spec().is_unpartitioned():
                partition = one_partition(metadata, read_parts(files, source, partition_columns(metadata)))
            if partition is None:
                with files.open_input_file(source) as file:
                    arrow = pq.read_schema(file)
                split += write_data_files(table.io, metadata, read_parts(files, source), arrow, target_bytes)
                continue
            if is_staged:
                _require_file(files, staged)
                files.move(staged, final)
                if is_local:
                    sync_folder(Path(folder) / DATA)
            adopted.append(read_data_file(table.io, metadata, f"{table.location()}/{DATA}/{name}", partition))
        return split, adopted


def _home(table: IcebergTable) -> tuple[fs.FileSystem, str]:
    """Where a table's files are: the file system, and the path of its folder there."""
    folder = local_path(table.location())
    if folder is not None:
        return fs.LocalFileSystem(), str(folder)
    if not isinstance(table.io, PyArrowFileIO):
        raise TransientError(f"the files of {table.name()} can't be reached", reason="DatasetUnavailable")
    scheme, netloc, path = table.io.parse_location(table.location())
    return table.io.fs_by_scheme(scheme, netloc), path


def _require_file(files: fs.FileSystem, path: str) -> None:
    """Raises what a file system raises; a store's own error for a copy of nothing says less."""
    if files.get_file_info(path).type is fs.FileType.NotFound:
        raise FileNotFoundError(errno.ENOENT, "the staged file is gone", path)


def read_parts(files: fs.FileSystem, path: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of a file, row group by row group."""
    with files.open_input_file(path) as opened, pq.ParquetFile(opened) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=columns)
