"""A sink of two parts: a ledger in a database with a blocking driver, and a component that stores the rows of each stream.

All blocking calls run on one dedicated thread, in the order of the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from connector_runner.datasets.blocking.database import Begun, BlockingConnection, Database
from connector_runner.datasets.blocking.row_writer import RowWriter
from connector_runner.datasets.claiming import Claiming
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.names import check_column_names, require_key
from connector_runner.datasets.procedure import Procedure, run
from connector_runner.datasets.row_dialect import RowDialect, ensure_table
from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import ActionRequiredError, blame_stream
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, SinkContext, Transaction
from connector_runner.protocols.source import WriteMode

T = TypeVar("T")


class StreamWriter(Protocol):
    """Stores the rows of one schema of one stream."""

    def write(self, connection: BlockingConnection, transaction: Transaction) -> int:
        """Writes the rows while the ledger's transaction is open; returns how many were refused.

        Args:
            connection: The ledger's connection.
            transaction: Only the batches of this stream and schema.
        """


class Rows(Protocol):
    """Where the rows go."""

    def check(self) -> None:
        """Called before each claim and each change of the selection.

        Raises:
            ActionRequiredError: Something is missing that only a user can provide.
        """

    def ensure(self, schema: StreamSchema, own: bool, renews: bool) -> Procedure[bool]:
        """See `Ledger.prepare`; `renews` as in `Sink.prepare`."""

    def build_writer(self, schema: StreamSchema) -> StreamWriter:
        """Builds the writer for rows of this schema; called once the tables fit."""

    def leave(self) -> None:
        """Called from any thread before the sink closes: work in progress ends as soon as it can."""

    def disconnect(self) -> None:
        """Closes its connections; may be called more than once."""


class BlockingSink:
    """See `Sink`.

    Args:
        context: What the sink is built from.
        database: The database that holds the ledger.
        build_rows: Builds the component that stores the rows, given the ledger.
    """

    def __init__(self, context: SinkContext, database: Database, build_rows: Callable[[Ledger], Rows]) -> None:
        self._database = database
        self._ledger = Ledger(context, database.dialect)
        self._claiming = Claiming(self._ledger, context)
        self._rows = build_rows(self._ledger)
        self._append = context.write_mode is WriteMode.APPEND
        self._isolates = context.isolates
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dataset")
        self._connection: BlockingConnection | None = None
        self._writers: dict[str, StreamWriter] = {}
        self._closed = False

    async def claim(self) -> Claim:
        """See `Sink.claim`."""
        return await self._in_thread(self._claim)

    async def prepare(self, schema: StreamSchema, *, renews: bool = False) -> None:
        """See `Sink.prepare`."""
        await self._in_thread(lambda: self._prepare(schema, renews))

    async def write(self, transaction: Transaction) -> Receipt:
        """See `Sink.write`."""
        return await self._in_thread(lambda: self._write(transaction))

    async def recover(self) -> int:
        """See `Sink.recover`."""
        return await self._in_thread(self._recover)

    async def select(self, tables: Mapping[str, str] | None, record: str = "") -> Claim:
        """See `Sink.select`."""
        return await self._in_thread(lambda: self._select(tables, record))

    async def park(self, stream: str, incident: Incident) -> None:
        """See `Sink.park`."""
        await self._in_thread(lambda: self._in_transaction(lambda: self._ledger.park(stream, incident)))

    async def close(self) -> None:
        """See `Sink.close`."""
        if not self._closed:
            self._closed = True
            self._rows.leave()
            await self._in_thread(self._disconnect)
            self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _connected(self) -> BlockingConnection:
        if self._connection is None:
            self._connection = self._database.connect()
        return self._connection

    def _disconnect(self) -> None:
        self._rows.disconnect()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _claim(self) -> Claim:
        self._rows.check()
        connection = self._connected()
        with self._database.explained(), Begun(connection, self._database.begin):
            run(connection, self._ledger.create())
            return run(connection, self._claiming.claim())

    def _select(self, tables: Mapping[str, str] | None, record: str) -> Claim:
        for stream in self._ledger.select(tables):
            self._writers.pop(stream, None)
        self._rows.check()
        claim = self._in_transaction(lambda: self._claiming.select(record))
        self._ledger.epoch = claim.epoch
        self._writers = {stream: writer for stream, writer in self._writers.items() if stream in self._ledger.streams}
        return claim

    def _in_transaction(self, build: Callable[[], Procedure[T]]) -> T:
        connection = self._connected()
        with self._database.explained(), Begun(connection, self._database.begin):
            return run(connection, build())

    def _prepare(self, schema: StreamSchema, renews: bool) -> None:
        with self._blamed(schema.stream):
            if not self._append:
                require_key(schema)
            check_column_names(schema, append=self._append, case_sensitive=self._database.dialect.is_case_sensitive)
            self._in_transaction(
                lambda: self._ledger.prepare(schema, lambda own: self._rows.ensure(schema, own, renews))
            )
            self._writers[schema.stream] = self._rows.build_writer(schema)

    @contextmanager
    def _blamed(self, stream: str) -> Iterator[None]:
        """A context in which a failure is that of a stream, if streams are isolated."""
        try:
            with self._database.explained():
                yield
        except ActionRequiredError as error:
            if self._isolates:
                blame_stream(error, stream)
            raise

    def _write(self, transaction: Transaction) -> Receipt:
        connection, refused = self._connected(), 0
        parts = self._ledger.by_stream(transaction)
        restore = self._ledger.snapshot_refusals(parts)
        try:
            with self._database.explained(), Begun(connection, self._database.begin):
                self._advance(connection, transaction)
                for part in parts:
                    refused += self._write_part(connection, part)
                for part in parts:
                    self._write_incidents(connection, part)
        except BaseException:
            restore()
            raise
        return Receipt(refused)

    def _write_part(self, connection: BlockingConnection, part: Transaction) -> int:
        stream = part.batches[0].schema.stream
        try:
            return self._writers[stream].write(connection, part)
        except Exception:
            with self._blamed(stream):
                raise

    def _write_incidents(self, connection: BlockingConnection, part: Transaction) -> None:
        for incident in self._ledger.incidents([part]):
            with self._blamed(part.batches[0].schema.stream):
                connection.execute(incident.sql, incident.parameters)

    def _advance(self, connection: BlockingConnection, transaction: Transaction) -> None:
        for statement in self._ledger.advance(transaction):
            if connection.execute(statement.sql, statement.parameters).rowcount != 1:
                raise run(connection, self._ledger.why_refused(transaction.number))

    def _recover(self) -> int:
        self._disconnect()
        connection = self._connected()
        with self._database.explained():
            run(connection, self._ledger.create())
            return run(connection, self._ledger.recover())


class TableRows:
    """`Rows` stored in a table of the ledger's own database."""

    def __init__(self, context: SinkContext, database: Database, dialect: RowDialect, ledger: Ledger) -> None:
        self._database = database
        self._dialect = dialect
        self._ledger = ledger
        self._append = context.write_mode is WriteMode.APPEND
        self._later: list[str] = []  # what the table needs that is prepared, once its rows are gone

    def check(self) -> None:
        """Does nothing: a table needs nothing else."""

    def ensure(self, schema: StreamSchema, own: bool, renews: bool) -> Procedure[bool]:
        """See `Rows.ensure`."""
        self._later = []
        names, later = self._ledger.streams[schema.stream].names, self._later if renews else None
        return ensure_table(schema, names, self._dialect, append=self._append, own=own, later=later)

    def build_writer(self, schema: StreamSchema) -> RowWriter:
        """See `Rows.build_writer`."""
        ledger, later = self._ledger.streams[schema.stream], self._later
        return RowWriter(self._database, ledger, self._dialect, schema, append=self._append, later=later)

    def leave(self) -> None:
        """Does nothing: a running statement is finished first."""

    def disconnect(self) -> None:
        """Does nothing: the connection belongs to the ledger."""


def build_table_sink(context: SinkContext, database: Database, dialect: RowDialect) -> BlockingSink:
    """Effectively once: one commit holds rows, dead letters, incidents, position and the check of the epoch."""
    return BlockingSink(context, database, lambda ledger: TableRows(context, database, dialect, ledger))
