"""Where the files of a table are staged, and how they become files of the table."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from connector_runner.datasets.columnar.s3.upload import Upload
from connector_runner.datasets.columnar.staging_folder import StagingFolder
from connector_runner.protocols.errors import TransientError
from connector_runner.sinks.iceberg.data_files import one_partition, partition_columns, read_data_file, write_data_files
from connector_runner.sinks.iceberg.files import local_path, make_folder, sync_folder
from connector_runner.sinks.iceberg.objects import bucket_path, find_bucket
from connector_runner.sinks.iceberg.types import present_names

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
                partition = one_partition(
                    metadata, read_parts(files, source, metadata.schema(), partition_columns(metadata))
                )
            if partition is None:
                split += _split(table, files, source, target_bytes)
                continue
            if is_staged:
                _move(files, staged, final)
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


def _split(table: IcebergTable, files: fs.FileSystem, path: str, target_bytes: int) -> list[DataFile]:
    """Writes the rows of a staged file into files of the partitions that they are in."""
    metadata = table.metadata
    with files.open_input_file(path) as file:
        staged = pq.read_schema(file)
    present = present_names(staged, metadata.schema())
    arrow = pa.schema([field.with_name(present[field.name]) for field in staged if field.name in present])
    return write_data_files(table.io, metadata, read_parts(files, path, metadata.schema()), arrow, target_bytes)


def _move(files: fs.FileSystem, staged: str, final: str) -> None:
    """Moves a staged file to its final place, unless another runner, which carries out the same, has just done that."""
    try:
        if (
            files.get_file_info(staged).type is fs.FileType.NotFound
        ):  # a store's own error for a copy of nothing says less
            raise FileNotFoundError(errno.ENOENT, "the staged file is gone", staged)
        files.move(staged, final)
    except FileNotFoundError:
        if files.get_file_info(final).type is fs.FileType.NotFound:
            raise


def read_parts(
    files: fs.FileSystem, path: str, schema: Schema, columns: Collection[str] | None = None
) -> Iterator[pa.Table]:
    """The rows of a staged file, row group by row group, with the names that their columns have in the table."""
    with files.open_input_file(path) as opened, pq.ParquetFile(opened) as file:
        present = present_names(file.schema_arrow, schema)
        wanted = [staged for staged, name in present.items() if columns is None or name in columns]
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=wanted).rename_columns([present[staged] for staged in wanted])
