"""The SQLite sink: all blocking calls on one thread of its own, in the order of the calls."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from connector_runner.datasets.dead_letters import Refusals
from connector_runner.datasets.fencing import (
    Holder,
    encode_position,
    explain_refused_commit,
    find_taken,
    next_epoch,
    require_alone,
)
from connector_runner.datasets.names import check_column_names, parse_table, require_key
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, SinkContext, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.sqlite.connection import connect, explained
from connector_runner.sinks.sqlite.statements import CREATE_INCIDENTS, build_fence_sql, table_key
from connector_runner.sinks.sqlite.tables import ensure_tables, read_table
from connector_runner.sinks.sqlite.writer import TransactionWriter

T = TypeVar("T")


class BatchWriter(Protocol):
    """Puts batches where they belong, inside a transaction that is already open."""

    connection: sqlite3.Connection

    def write(self, batches: Sequence[Batch]) -> int:
        """All batches; returns how many rows were refused."""


class SqliteSink:
    """Effectively once: a commit holds rows, dead letters, incidents, position and the check of the epoch."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._names = parse_table(context.table, schemas=False)
        self._sql = build_fence_sql(self._names)
        self._key = (context.connector, context.stream, table_key(self._names))
        self._append = context.write_mode is WriteMode.APPEND
        self._refusals = Refusals(context.refused_rows, context.refusal_limit)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None
        self._path = Path()
        self._writer: BatchWriter | None = None
        self._epoch = 0
        self._closed = False

    async def claim(self) -> Claim:
        """See `Sink.claim`."""
        return await self._in_thread(self._claim)

    async def prepare(self, schema: StreamSchema) -> None:
        """See `Sink.prepare`."""
        await self._in_thread(lambda: self._prepare(schema))

    async def write(self, transaction: Transaction) -> Receipt:
        """See `Sink.write`."""
        return await self._in_thread(lambda: self._write(transaction))

    async def recover(self) -> int:
        """See `Sink.recover`."""
        return await self._in_thread(self._recover)

    async def close(self) -> None:
        """See `Sink.close`."""
        if not self._closed:
            self._closed = True
            await self._in_thread(self._disconnect)
            self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection, self._path = connect(self._context)
            if self._writer is not None:
                self._writer.connection = self._connection
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _claim(self) -> Claim:
        connection, context = self._connected(), self._context
        with explained(self._path), Begun(connection):
            connection.execute(self._sql.create)
            self._take_over(connection)
            holder = self._read_holder()
            if not self._append:
                require_alone(self._read_holders(), *self._key, context.take_over)
            self._epoch = next_epoch(holder, context.uid, context.run, tried=self._epoch, unmoved=context.unmoved)
            connection.execute(
                self._sql.claim, (*self._key, self._epoch, context.uid, context.run, context.write_mode.value)
            )
        return Claim(holder.checkpoint() if holder else None, self._epoch, holder.number if holder else 0)

    def _take_over(self, connection: sqlite3.Connection) -> None:
        """Takes the table over from whom the orders name, if it still holds it so; that is recorded as an incident."""
        others, key = self._read_holders(), self._key
        taken = find_taken(others, self._context.take_over, *key[:2], append=self._append)
        if taken is None:
            return
        theirs = (taken.holder.connector, taken.holder.stream, taken.holder.table)
        if taken.keeps_position:
            connection.execute(self._sql.remove, key)  # at most the rest of a reset
            connection.execute(self._sql.move, (*key, *theirs))
        else:
            connection.execute(self._sql.release, theirs)
        connection.execute(CREATE_INCIDENTS.format(table=self._names.incidents))
        connection.execute(self._sql.incident, (*key[:2], *taken.incident))

    def _read_holder(self) -> Holder | None:
        row = self._connected().execute(self._sql.read, self._key).fetchone()
        return Holder(*row[:-1]) if row else None

    def _read_holders(self) -> list[Holder]:
        """All who write into the table."""
        rows = self._connected().execute(self._sql.read_table, self._key[2:]).fetchall()
        return [Holder(*row[:-1]) for row in rows]

    def _prepare(self, schema: StreamSchema) -> None:
        if not self._append:
            require_key(schema)
        check_column_names(schema, append=self._append, case_sensitive=False)
        connection = self._connected()
        with explained(self._path), Begun(connection):
            own = any(holder.schema_version for holder in self._read_holders())
            is_new = read_table(connection, self._names) is None
            self._ensure_tables(connection, schema, own=own)
            if is_new:  # ours from now on, before it has rows
                connection.execute(self._sql.adopt, (schema.version, *self._key, self._epoch))
        self._writer = self._build_writer(connection, schema)

    def _ensure_tables(self, connection: sqlite3.Connection, schema: StreamSchema, *, own: bool) -> None:
        ensure_tables(connection, schema, self._names, append=self._append, own=own)

    def _build_writer(self, connection: sqlite3.Connection, schema: StreamSchema) -> BatchWriter:
        return TransactionWriter(connection, schema, self._names, self._key, self._refusals, append=self._append)

    def _write(self, transaction: Transaction) -> Receipt:
        connection = self._connected()
        before = self._refusals.snapshot()
        refused = 0
        try:
            with explained(self._path), Begun(connection):
                self._advance(connection, transaction)
                if transaction.batches and self._writer is not None:  # prepare came first
                    refused = self._writer.write(transaction.batches)
        except BaseException:
            self._refusals.restore(before)
            raise
        return Receipt(refused)

    def _advance(self, connection: sqlite3.Connection, transaction: Transaction) -> None:
        """Moves the checkpoint, if its row still has our epoch and the number before."""
        held = (*self._key, self._epoch, transaction.number - 1)
        if transaction.batches:
            last = transaction.batches[-1]
            values = (transaction.identity, last.schema.version, encode_position(last.position))
            done = connection.execute(self._sql.commit, (transaction.number, *values, *held))
        else:
            done = connection.execute(self._sql.touch, (transaction.number, *held))
        if done.rowcount != 1:
            context = self._context
            raise explain_refused_commit(self._read_holder(), context.uid, context.run, self._epoch, transaction.number)

    def _recover(self) -> int:
        self._disconnect()
        connection = self._connected()
        with explained(self._path):
            connection.execute(self._sql.create)
            holder = self._read_holder()
        if holder is None or holder.epoch != self._epoch:
            context = self._context
            raise explain_refused_commit(holder, context.uid, context.run, self._epoch, 0)
        return holder.number


class Begun:
    """One transaction that takes the write lock at its start; rolled back on any error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._rollback()
                raise
        else:
            self._rollback()

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise TransientError(f"a transaction could not be taken back: {error}") from error
