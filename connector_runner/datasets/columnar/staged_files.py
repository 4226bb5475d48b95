"""Rows that wait for the next commit of one stream's table: in an open Parquet file, or as changes by key in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import methodcaller

import pyarrow as pa
import pyarrow.parquet as pq

from connector_runner.datasets.columnar.changes import Changes
from connector_runner.datasets.columnar.columns import Columns, free_name
from connector_runner.datasets.columnar.staging_folder import StagedOutput, StagingFolder
from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Operation, Row
from connector_runner.protocols.errors import ConnectorError

CHANGE = "_change"
"""The last column of a file of changes, with the name of the operation; with underscores before it where the stream has one of that name."""
COMPRESSION = "zstd"
GROUP_ROWS = 64 * 1024
"""How many rows a row group has; so many are held in memory, or fewer if many tables share it."""
PART_ROWS = 16 * 1024
"""How many changes are turned into columns at once."""
TABLE_BYTES = 4096
"""What the rows of one call take more than their values, about."""
_written = methodcaller("tell")
"""How many bytes were written to a file."""


class StagedFile:
    """A file that is being written: rows of one table, in row groups.

    Args:
        folder: Where it is staged.
        schema: Its columns.
        app: The application that stages it, as `Intent` says.

    Attributes:
        name: Its name in the folder.
        rows: How many rows it has.
        is_closed: Whether no more rows can be added.
        may_be_named: Whether the ledger may name it, so that it must stay.
        waiting_bytes: How much waits in memory to be written.
    """

    def __init__(self, folder: StagingFolder, schema: pa.Schema, app: str) -> None:
        self.name = folder.new_name(app)
        self.rows = 0
        self.is_closed = False
        self.may_be_named = False
        self._folder = folder
        self._schema = schema
        self._output: StagedOutput | None = None
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self.waiting_bytes = 0
        self._written = 0
        self._is_whole = False

    @property
    def is_open(self) -> bool:
        """Whether it was begun and is not complete."""
        return self._writer is not None and not self.is_closed

    @property
    def size(self) -> int:
        """Its bytes that are written, and about those of the rows which wait."""
        return self._written + self.waiting_bytes // 4

    @property
    def held(self) -> int:
        """Its bytes that are in memory."""
        return self.waiting_bytes + (0 if self._output is None else self._output.held)

    def add(self, rows: pa.Table) -> None:
        """Adds rows.

        Raises:
            ConnectorError: The file can't be written; what it had is lost, and must be read from the source again by another run.
        """
        self._waiting.append(rows)
        self._waiting_rows += len(rows)
        self.waiting_bytes += rows.nbytes + TABLE_BYTES
        self.rows += len(rows)
        if self._waiting_rows >= GROUP_ROWS:
            self.write()

    def write(self) -> None:
        """Writes the rows that wait, as a row group.

        Raises:
            ConnectorError: As `add`.
        """
        with self._lost():
            if self._writer is None or self._output is None:
                self._output = self._folder.create(self.name)
                self._writer = pq.ParquetWriter(self._output.file, self._schema, compression=COMPRESSION)
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=2 * GROUP_ROWS)
            self._written = _written(self._output.file)
        self._waiting, self._waiting_rows, self.waiting_bytes = [], 0, 0

    @contextmanager
    def _lost(self) -> Iterator[None]:
        """A Parquet file can't be gone on with after an error: neither temporary for this run, nor anything that a person must do."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise ConnectorError(
                f"the staged file {self.name} can't be written: {error}; its rows are read from the source again by the next run",
                reason="DatasetUnavailable",
            ) from error

    def has(self, schema: pa.Schema) -> bool:
        """Whether its rows have these columns."""
        return bool(self._schema.equals(schema))

    def close(self) -> None:
        """Writes the end; the file is whole then, also after a power cut.

        Raises:
            TransientError: A store can't be reached; it may be called again.
            ConnectorError: As `add`.
        """
        if self._is_whole:
            return
        if self._waiting or self._writer is None:
            self.write()
        assert self._writer is not None and self._output is not None  # noqa: S101, PT018 - written just now
        with self._lost():
            if not self.is_closed:
                self._writer.close()
                self._written = _written(self._output.file)
                self.is_closed = True
            self._output.finish()
        self._is_whole = True

    def discard(self) -> None:
        """Removes it, unless the ledger may name it."""
        if self.may_be_named:
            return
        try:
            if self._writer is not None and self._output is not None and not self._is_whole:
                with suppress(OSError, pa.ArrowException):  # a disk that is full has no room for the end of a file
                    if not self.is_closed:
                        self._writer.close()
                self._output.abandon()
        finally:  # above all on such a disk
            self._folder.remove(self.name)


def write_changes(
    folder: StagingFolder, columns: Columns, changes: Changes, app: str, file_schema: Callable[[pa.Schema], pa.Schema]
) -> str:
    """Stages changes as rows with their operation (the last column), for a merge; of a deletion only the key is not null.

    Returns:
        The file's name.
    """
    name = folder.new_name(app, ".changes")
    schema = file_schema(columns.arrow).append(pa.field(free_name(CHANGE, columns.arrow.names), pa.string()))
    listed, output = iter(changes.rows.values()), folder.create(name)
    try:
        with pq.ParquetWriter(output.file, schema, compression=COMPRESSION) as writer:
            while part := list(itertools.islice(listed, PART_ROWS)):
                writer.write_table(_build_part(columns, part, schema))
            if not changes.rows:
                writer.write_table(schema.empty_table())
        output.finish()
    except BaseException:  # it is written anew, under another name
        output.abandon()
        raise
    pa.default_memory_pool().release_unused()  # else what the rows took as columns is kept for the next time
    return name


def _build_part(columns: Columns, changes: Sequence[tuple[int, Row]], schema: pa.Schema) -> pa.Table:
    key = set(columns.schema.key_indices)
    rows = [
        row if operation != Operation.DELETE else tuple(v if i in key else None for i, v in enumerate(row))
        for operation, row in changes
    ]
    operations = pa.array([NAMES[operation] for operation, _ in changes], pa.string())
    return pa.Table.from_arrays([*columns.convert(rows), operations], schema=schema)
