"""Inspects the tables of a folder without claiming it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connector_runner.datasets.blocking.database import Begun
from connector_runner.datasets.blocking.inspector import LedgerInspector
from connector_runner.datasets.procedure import run
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.sink import SinkContext, StoredCheckpoint, StoredStreams
from connector_runner.sinks.delta.connection import LakeConnection
from connector_runner.sinks.delta.database import LakeFolder
from connector_runner.sinks.delta.rows import quoted
from connector_runner.sinks.delta.sink import with_folders
from connector_runner.sinks.delta.tables import Table

RESETS = 5
"""How often a reset is tried while a runner that lives gets between."""


class LakeInspector(LedgerInspector):
    """See `Inspector`; each call reads the tables anew."""

    def __init__(self, context: SinkContext, *, create: bool = False) -> None:
        self._folder = LakeFolder(context.read_url, context.directory, context.connector)
        super().__init__(with_folders(context), self._folder, None, create=create)

    def _reload(self) -> LakeConnection:
        connection = self._folder.connection
        assert connection is not None  # noqa: S101 - the constructor has connected
        with self._folder.explained():
            connection.load()
        return connection

    def newest_rows(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """See `Inspector.newest_rows`."""
        first = next(iter(self._ledger.streams.values()))
        with self._folder.explained():
            table = self._reload().table(first.names.table)
            if not table.exists:
                raise ActionRequiredError(f"the table {table.path} does not exist", reason="DatasetUnavailable")
            return _newest(table, limit)

    def stored_streams(self) -> StoredStreams:
        """See `Inspector.stored_streams`."""
        self._reload()
        return super().stored_streams()

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """See `Inspector.checkpoints`."""
        self._reload()
        return super().checkpoints()

    def reset_checkpoints(self) -> int:
        """See `Inspector.reset_checkpoints`."""
        for _ in range(RESETS - 1):
            with suppress(TransientError):  # a runner that lives has committed in between
                return self._reset()
        return self._reset()

    def _reset(self) -> int:
        connection = self._reload()
        with self._folder.explained():
            connection.complete([self._connector])
            with Begun(connection, LakeFolder.begin):
                return run(connection, self._ledger.reset())


def _newest(table: Table, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """The rows of the newest files, newest last; of a history those with the highest numbers."""
    table.refresh()
    names = table.schema.names
    if "_id" in names:
        found = table.query(f"SELECT * FROM t ORDER BY {quoted('_id')} DESC LIMIT {limit}")
        return names, [tuple(row.values()) for row in reversed(found.to_pylist())]
    files = sorted(_files(table), key=lambda file: file[1])
    rows: list[tuple[Any, ...]] = []
    for path, _ in reversed(files):
        found = pq.read_table(table.path / path).to_pylist()
        rows = [tuple(row.get(name) for name in names) for row in found[-(limit - len(rows)) :]] + rows
        if len(rows) >= limit:
            break
    return names, rows


def _files(table: Table) -> list[tuple[str, int]]:
    listed = pa.table(table.delta.get_add_actions(flatten=True))
    return list(zip(listed["path"].to_pylist(), listed["modification_time"].to_pylist(), strict=True))
