"""The sink: the ledger's procedures over tables of a lake, and what waits for the next commit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

from connector_runner.datasets.blocking.sink import BlockingSink
from connector_runner.datasets.columnar.connection import LakeConnection
from connector_runner.datasets.columnar.database import LakeDatabase
from connector_runner.datasets.columnar.writer import HistoryWriter, MergeWriter
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.procedure import Procedure, run
from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, SinkContext, Transaction
from connector_runner.protocols.source import WriteMode


def with_names(context: SinkContext, database: LakeDatabase) -> SinkContext:
    """The same with the names that tables have in the lake."""
    return replace(context, tables=database.named(context.tables))


class LakeRows:
    """`Rows` stored in tables of the lake."""

    def __init__(self, context: SinkContext, database: LakeDatabase, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger
        self._append = context.write_mode is WriteMode.APPEND

    def check(self) -> None:
        """Does nothing: what is missing is found when it is needed."""

    def ensure(self, schema: StreamSchema, own: bool, renews: bool) -> Procedure[bool]:
        """See `Rows.ensure`."""
        del renews  # a lake's older versions would have other types
        yield from ()
        table = self.present().table(self._ledger.streams[schema.stream].names.table)
        return self._database.ensure(table, schema, append=self._append, own=own)

    def build_writer(self, schema: StreamSchema) -> HistoryWriter | MergeWriter:
        """See `Rows.build_writer`."""
        writer = HistoryWriter if self._append else MergeWriter
        return writer(self.present, self._ledger.streams[schema.stream], schema)

    def present(self) -> LakeConnection:
        """The present connection."""
        if self._database.connection is None:
            raise TransientError("there is no connection", reason="DatasetUnavailable")
        return self._database.connection

    def leave(self) -> None:
        """Does nothing: a commit in progress is finished first."""

    def disconnect(self) -> None:
        """Does nothing: the connection belongs to the ledger."""


class LakeSink(BlockingSink):
    """See `Sink` and `Staging`; a table's commit holds rows, transaction and position, and the ledger's has decided it.

    Args:
        context: What the sink is built from.
        database: The lake.
    """

    def __init__(self, context: SinkContext, database: LakeDatabase) -> None:
        super().__init__(with_names(context, database), database, lambda ledger: LakeRows(context, database, ledger))
        self._context = context
        self._lake = database

    def due_in(self) -> float | None:
        """See `Staging.due_in`."""
        connection = self._lake.connection
        return None if connection is None else connection.due_in()

    async def flush(self) -> None:
        """See `Staging.flush`."""
        await self._in_thread(self._flush)

    def _flush(self) -> None:
        if (connection := self._lake.connection) is not None:
            with self._database.explained():
                connection.flush()

    def _claim(self) -> Claim:
        self._disconnect()  # an earlier attempt may have left a commit of unknown outcome
        self._connected()
        connection, take_over = self._lake.connection, self._context.take_over
        with self._explained():
            if connection is not None:
                connection.complete([self._context.connector, *([take_over.connector] if take_over else ())])
        claim = super()._claim()
        with self._explained():
            if connection is not None:
                connection.remove_old_staged([stream.key for stream in self._ledger.streams.values()])
        return claim

    def _explained(self) -> AbstractContextManager[None]:
        return self._database.explained()

    def _select(self, tables: Mapping[str, str] | None, record: str) -> Claim:
        self._flush()
        if (connection := self._lake.connection) is not None:
            with self._explained():
                connection.reload()  # who holds the added streams may be newer than the copy
        return super()._select(None if tables is None else self._lake.named(tables), record)

    def _recover(self) -> int:
        connection = self._lake.connection
        if connection is None or self._connection is None:
            connection = self._lake.connect()
            self._connection = connection
        with self._explained():
            connection.reload()
            number = run(connection, self._ledger.recover())
        if connection.lost is not None:
            raise connection.lost
        return number

    def _write(self, transaction: Transaction) -> Receipt:
        connection = self._lake.connection
        if connection is None:
            raise TransientError("there is no connection", reason="DatasetUnavailable")
        replaces = any(
            batch.operations is not None and Operation.REPLACE in batch.operations for batch in transaction.batches
        )
        if self._append and replaces:  # what is taken back is read from the table
            self._flush()
        connection.stages = True
        try:
            return super()._write(transaction)
        finally:
            connection.stages = False
