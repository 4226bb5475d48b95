"""Rows that wait for the next commit of one stream's table: in an open file, or as changes by key in memory."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Operation
from connector_runner.sinks.delta.changes import Changes
from connector_runner.sinks.delta.columns import Columns
from connector_runner.sinks.delta.tables import CHANGE, Table, sync

COMPRESSION = "zstd"
GROUP_ROWS = 64 * 1024
"""How many rows a row group has; so many are held in memory."""


class StagedFile:
    """A file that is being written: rows of one table, in row groups.

    Attributes:
        name: Its name.
        rows: How many rows it has.
        is_closed: Whether it is complete.
    """

    def __init__(self, table: Table, schema: pa.Schema) -> None:
        self.name = f"connector-{uuid.uuid4()}.parquet"
        self.rows = 0
        self.is_closed = False
        self._path = table.stage(self.name)
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0

    @property
    def size(self) -> int:
        """Its size on the disk until now, and that of the rows which wait."""
        written: int = self._path.stat().st_size if self._writer is not None else 0
        return written + int(sum(each.nbytes for each in self._waiting)) // 4

    def add(self, rows: pa.Table) -> None:
        """Adds rows."""
        self._waiting.append(rows)
        self._waiting_rows += len(rows)
        self.rows += len(rows)
        if self._waiting_rows >= GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._schema, compression=COMPRESSION)
        self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=2 * GROUP_ROWS)
        self._waiting, self._waiting_rows = [], 0

    def has(self, schema: pa.Schema) -> bool:
        """Whether its rows have these columns."""
        return bool(self._schema.equals(schema))

    def close(self) -> None:
        """Writes the end; the file is whole then, also after a power cut."""
        if self.is_closed:
            return
        if self._waiting or self._writer is None:
            self._write()
        if self._writer is not None:
            self._writer.close()
        sync(self._path)
        self.is_closed = True

    def discard(self) -> None:
        """Removes it."""
        if self._writer is not None:
            self._writer.close()
        self._path.unlink(missing_ok=True)


def write_changes(table: Table, columns: Columns, changes: Changes) -> tuple[str, str]:
    """Stages changes for a merge; returns the name of the file, and what is removed before them as SQL."""
    listed = list(changes.rows.values())
    key = set(columns.schema.key_indices)
    rows = [
        row if operation != Operation.DELETE else tuple(v if i in key else None for i, v in enumerate(row))
        for operation, row in listed
    ]
    arrays = columns.convert(rows)
    data = pa.Table.from_arrays(
        [*arrays, pa.array([NAMES[operation] for operation, _ in listed], pa.string())],
        schema=columns.arrow.append(pa.field(CHANGE, pa.string())),
    )
    name = f"connector-{uuid.uuid4()}.changes.parquet"
    path: Path = table.stage(name)
    pq.write_table(data, path, compression=COMPRESSION)
    sync(path)
    removed = " OR ".join(f"({columns.prefix(prefix, 't.')})" for prefix in changes.prefixes)
    return name, removed
