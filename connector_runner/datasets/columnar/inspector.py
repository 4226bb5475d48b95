"""Inspects the tables of a lake without claiming it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from connector_runner.datasets.blocking.database import Begun
from connector_runner.datasets.blocking.inspector import LedgerInspector
from connector_runner.datasets.columnar.connection import LakeConnection
from connector_runner.datasets.columnar.database import LakeDatabase
from connector_runner.datasets.columnar.sink import with_names
from connector_runner.datasets.procedure import run
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.sink import SinkContext, StoredCheckpoint, StoredStreams

RESETS = 5
"""How often a reset is tried while a runner that lives gets between."""


class LakeInspector(LedgerInspector):
    """See `Inspector`; each call reads the tables anew."""

    def __init__(self, context: SinkContext, database: LakeDatabase, *, create: bool = False) -> None:
        self._lake = database
        super().__init__(with_names(context, database), database, None, create=create)

    def _reload(self) -> LakeConnection:
        connection = self._lake.connection
        assert connection is not None  # noqa: S101 - the constructor has connected
        with self._lake.explained():
            connection.load()
        return connection

    def newest_rows(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """See `Inspector.newest_rows`."""
        first = next(iter(self._ledger.streams.values()))
        with self._lake.explained():
            connection = self._reload()
            table = connection.table(first.names.table)
            if not table.exists:
                raise ActionRequiredError(
                    f"there is no table {table.name} in {connection.lake.where}", reason="DatasetUnavailable"
                )
            table.refresh()
            return table.newest(limit)

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
        with self._lake.explained():
            connection.complete([self._connector], without_gone=True)
            with Begun(connection, self._lake.begin):
                return run(connection, self._ledger.reset())
