"""Parquet files as Iceberg lists them: with the number of rows, the ranges of values and the partition."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    MetricsMode,
    StatisticsCollector,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record
from pyiceberg.types import StringType

from connector_runner.sinks.iceberg.partitions import split_rows
from connector_runner.sinks.iceberg.types import numbered, present_names

GROUP_ROWS = 128 * 1024
COMPRESSION = "zstd"
GONE = -1
"""Stands for the number of a column that the table has not got any more."""


def new_location(metadata: TableMetadata) -> str:
    """The location of a new file of a table."""
    return f"{metadata.location}/data/connector-{uuid.uuid4()}.parquet"


def read_data_file(io: FileIO, metadata: TableMetadata, location: str, partition: Record | None = None) -> DataFile:
    """Describes a file that is there."""
    file = io.new_input(location)
    with file.open() as stream:
        parquet = pq.read_metadata(stream)
    schema = metadata.schema()
    plan = compute_statistics_plan(schema, metadata.properties)
    # By the names that the file has: others may have renamed a column since it was staged, or dropped it.
    staged, numbers = parquet.schema.to_arrow_schema(), parquet_path_to_id_mapping(schema)
    present, plain = present_names(staged, schema), set(staged.names)
    columns = {}
    for place in range(parquet.num_columns):
        path = parquet.schema.column(place).path  # of a nested column none that is plain
        columns[path] = numbers.get(present.get(path) or ("" if path in plain else path), GONE)
    if GONE in columns.values():
        plan[GONE] = StatisticsCollector(GONE, StringType(), MetricsMode(MetricModeTypes.NONE), "")
    statistics = data_file_statistics_from_parquet_metadata(parquet, plan, columns)
    statistics.column_sizes.pop(GONE, None)
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=partition or Record(),
        file_size_in_bytes=len(file),
        sort_order_id=None,
        spec_id=metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


class _Writer:
    """An open file of one partition."""

    def __init__(self, io: FileIO, location: str, schema: pa.Schema) -> None:
        self.location = location
        self.size = 0
        self._stream = io.new_output(location).create()
        self._writer = pq.ParquetWriter(self._stream, schema, compression=COMPRESSION)

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows, row_group_size=GROUP_ROWS)
        self.size += rows.nbytes // 4  # about what it takes when it is compressed

    def close(self) -> None:
        self._writer.close()
        self._stream.close()


def write_data_files(
    io: FileIO, metadata: TableMetadata, batches: Iterable[pa.Table], arrow: pa.Schema, target_bytes: int
) -> list[DataFile]:
    """Writes rows into new files, each of one partition and about of that size; removes them if it fails."""
    open_: dict[Record, _Writer] = {}
    written: list[tuple[Record, _Writer]] = []
    schema = numbered(arrow, metadata.schema())
    try:
        for rows in batches:
            for partition, part in _parts(metadata, rows):
                if partition not in open_:
                    open_[partition] = _Writer(io, new_location(metadata), schema)
                    written.append((partition, open_[partition]))
                open_[partition].write(part.cast(schema))
                if open_[partition].size >= target_bytes:
                    open_.pop(partition).close()
        for writer in open_.values():
            writer.close()
        return [read_data_file(io, metadata, writer.location, partition) for partition, writer in written]
    except BaseException:
        remove_files(io, [writer.location for _, writer in written])
        raise


def remove_files(io: FileIO, locations: Iterable[str]) -> None:
    """Removes files that no commit names, as far as that is possible now."""
    for location in locations:
        with suppress(OSError):
            io.delete(location)


def one_partition(metadata: TableMetadata, parts: Iterable[pa.Table]) -> Record | None:
    """The partition that all rows are in; None if they are in several."""
    found: set[Record] = set()
    for rows in parts:
        found.update(partition for partition, _ in _parts(metadata, rows))
        if len(found) > 1:
            return None
    return next(iter(found), Record())


def partition_columns(metadata: TableMetadata) -> list[str]:
    """The columns that decide in which partition a row is."""
    return list({metadata.schema().find_field(field.source_id).name: None for field in metadata.spec().fields})


def _parts(metadata: TableMetadata, rows: pa.Table) -> Iterator[tuple[Record, pa.Table]]:
    if not len(rows):
        return
    if metadata.spec().is_unpartitioned():
        yield Record(), rows
        return
    for values, part in split_rows(metadata.spec(), metadata.schema(), rows):
        yield Record(*values), part
