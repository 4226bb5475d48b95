"""Inspects the topics of a dataset without claiming it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from connector_runner.datasets.blocking.database import Begun
from connector_runner.datasets.blocking.inspector import LedgerInspector
from connector_runner.datasets.procedure import run
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.sink import SinkContext, StoredCheckpoint, StoredStreams
from connector_runner.sinks.kafka.cluster import KafkaCluster
from connector_runner.sinks.kafka.connection import KafkaConnection
from connector_runner.sinks.kafka.sink import with_topics
from connector_runner.sinks.kafka.topics import newest_rows

RESETS = 5
"""How often a reset is tried while a runner that lives gets between."""


class TopicInspector(LedgerInspector):
    """See `Inspector`; each call reads the topics anew."""

    def __init__(self, context: SinkContext, *, create: bool = False) -> None:
        self._context = context
        self._cluster = KafkaCluster(context)
        super().__init__(with_topics(context), self._cluster, None, create=create)

    def _reload(self) -> KafkaConnection:
        connection = self._cluster.connection
        assert connection is not None  # noqa: S101 - the constructor has connected
        with self._cluster.explained():
            connection.load()
        return connection

    def newest_rows(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """See `Inspector.newest_rows`."""
        connection, (first, *_) = self._reload(), self._ledger.streams.values()
        with self._cluster.explained():
            return newest_rows(connection, first.names.table, limit)

    def stored_streams(self) -> StoredStreams:
        """See `Inspector.stored_streams`."""
        self._reload()
        return super().stored_streams()

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """See `Inspector.checkpoints`."""
        self._reload()
        return super().checkpoints()

    def reset_checkpoints(self) -> int:
        """See `Inspector.reset_checkpoints`; the broker fences off any runner that still writes."""
        for _ in range(RESETS - 1):
            with suppress(TransientError):  # a runner that lives took itself for late, and has fenced this off in turn
                return self._reset()
        return self._reset()

    def _reset(self) -> int:
        cluster = KafkaCluster(self._context)
        connection = cluster.connect()
        try:
            with cluster.explained(), Begun(connection, KafkaCluster.begin):
                return run(connection, self._ledger.reset())
        finally:
            connection.close()
