"""The PostgreSQL sink: claims, prepares, and sends each transaction as one unit of statements."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from connector_runner.datasets.ledger import Ledger, create_missing
from connector_runner.datasets.names import check_column_names, require_key
from connector_runner.datasets.procedure import Statement
from connector_runner.datasets.row_dialect import ensure_table
from connector_runner.datasets.write_plan import plan_append, plan_upsert
from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, SinkContext, Transaction, WriteAgain
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.postgresql.bisect import VALUE_ERRORS, BisectingWriter
from connector_runner.sinks.postgresql.dialect import DIALECT, NOT_MOVED, find_schema
from connector_runner.sinks.postgresql.errors import Meaning, connection_failure, meaning_of, statement_failure
from connector_runner.sinks.postgresql.rows import ROWS
from connector_runner.sinks.postgresql.session import Session, StatementError, run
from connector_runner.sinks.postgresql.statements import RowSql

TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = $1 AND pid <> pg_backend_pid() AND usename = current_user AND datname = current_database()"
)

# What PostgreSQL says when two create the same table or index at once.
CREATED_MEANWHILE = (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable)


@dataclass(slots=True)
class _Stream:
    """What turns the rows of one stream into statements."""

    rows: RowSql
    is_indexed: bool = False


class PostgresSink:
    """Effectively once: a commit holds rows, dead letters, incidents, position and the check of the epoch."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._ledger = Ledger(context, DIALECT)
        self._append = context.write_mode is WriteMode.APPEND
        identity = "\0".join([*self._ledger.owner, self._ledger.names.text])
        self._application_name = f"connector-runner {hashlib.sha256(identity.encode()).hexdigest()[:16]}"
        self._order = asyncio.Lock()
        self._session: Session | None = None
        self._streams: dict[str, _Stream] = {}
        self._bisected_number = 0
        self._url = ""

    async def _connected(self) -> Session:
        url = self._context.read_url()
        if self._session is None or self._session.is_lost or url != self._url:
            await self._disconnect()
            self._session = await Session.connect(url, self._application_name)
            self._url = url
        return self._session

    async def _disconnect(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    @asynccontextmanager
    async def _ordinary(self, session: Session) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Psycopg's own connection; its errors are raised as the pipeline's."""
        try:
            async with session.ordinary() as connection:
                yield connection
        except CREATED_MEANWHILE as error:
            text = error.diag.message_primary
            raise TransientError(f"another runner prepares {session.where} at this moment: {text}") from None
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise connection_failure(str(error), session.where) from None
            raise self._failure(error.sqlstate, error.diag.message_primary or str(error), session) from None

    def _failure(self, sqlstate: str, message: str, session: Session) -> ConnectorError:
        schema = self._ledger.names.schema or "public"
        grant = f"GRANT USAGE, CREATE ON SCHEMA {schema} TO this user, and ownership (or all rights) of the connector's tables"
        failure = statement_failure(sqlstate, message, session.where, grant)
        if isinstance(failure, TransientError):
            # A session keeps settings of when it was made, which may be right by now: read-only, a role's.
            session.lose(failure.message)
        return failure

    async def claim(self) -> Claim:
        """See `Sink.claim`."""
        async with self._ordinary(await self._connected()) as connection:
            ledger = self._ledger
            ledger.locate(await run(connection, find_schema(ledger.names)))
            await run(connection, ledger.create())
            await run(connection, ledger.check())
            # An older runner that hangs with locks must not keep us out; the fence makes it harmless, this makes it let go.
            await connection.execute(TERMINATE, [self._application_name])
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '10s'")
                await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [ledger.names.text])
                await connection.execute("SET LOCAL synchronous_commit = on")
                # Reads with locks, because the backend of an older runner may still commit: it is that position that counts.
                return await run(connection, ledger.claim())

    async def prepare(self, schema: StreamSchema) -> None:
        """See `Sink.prepare`."""
        if not self._append:
            require_key(schema)
        check_column_names(schema, append=self._append)
        longest = DIALECT.longest_name or 0
        if long := [name for name in schema.names if len(name.encode()) > longest]:
            raise ActionRequiredError(f"column names over {longest} bytes: {', '.join(long)}", reason="SchemaConflict")
        ledger, append = self._ledger, self._append
        async with self._ordinary(await self._connected()) as connection, connection.transaction():
            prepared = ledger.prepare(
                schema, lambda own: ensure_table(schema, ledger.names, ROWS, append=append, own=own)
            )
            await run(connection, prepared)
        self._streams[schema.stream] = _Stream(RowSql(schema, ledger.names, ledger.owner))

    def _stream_of(self, transaction: Transaction) -> _Stream | None:
        return self._streams[transaction.batches[0].schema.stream] if transaction.batches else None

    async def _index_history(self, session: Session, transaction: Transaction) -> None:
        """Once a session, when the first replacement comes."""
        stream = self._stream_of(transaction)
        if stream is None or not stream.rows.schema.key or not self._append or stream.is_indexed:
            return
        if any(batch.operations and Operation.REPLACE in batch.operations for batch in transaction.batches):
            async with self._ordinary(session) as connection:
                await run(connection, create_missing(DIALECT, *stream.rows.history_index))
            stream.is_indexed = True

    async def write(self, transaction: Transaction) -> Receipt:
        """See `Sink.write`."""
        async with self._order:
            session = self._session
            if session is None:
                raise TransientError("the dataset is not connected")
            await self._index_history(session, transaction)
            if transaction.number == self._bisected_number:
                return await self._write_bisected(session, transaction)
            try:
                answered = session.send([self._ledger.advance(transaction), *self._statements(transaction)])
            except VALUE_ERRORS as error:
                raise self._again(transaction) from error
        try:
            await answered
        except StatementError as error:
            raise await self._why(session, transaction, error) from None
        if any(batch.rows for batch in transaction.batches):
            self._ledger.refusals.accepted()
        return Receipt()

    def _statements(self, transaction: Transaction) -> Sequence[Statement]:
        batches, statements = transaction.batches, list[Statement]()
        if (stream := self._stream_of(transaction)) is None:
            return statements
        if self._append:
            for history in plan_append(batches):
                statements += stream.rows.append(history)
        else:
            for step in plan_upsert(stream.rows.schema, batches):
                statements += stream.rows.apply(step)
        return [*statements, *self._ledger.incidents(batches)]

    def _again(self, transaction: Transaction) -> WriteAgain:
        """Next time this transaction is halved until the rows stand alone that the dataset refuses."""
        self._bisected_number = transaction.number
        return WriteAgain(f"transaction {transaction.number} has rows that the dataset refuses")

    async def _why(self, session: Session, transaction: Transaction, error: StatementError) -> ConnectorError:
        if error.place == 0 and error.sqlstate == NOT_MOVED:
            async with self._order:
                reason = await self._why_refused(session, transaction)
            return reason if isinstance(reason, ActionRequiredError) else WriteAgain(str(reason))
        if meaning_of(error.sqlstate) is Meaning.REFUSED:
            return self._again(transaction)
        return self._failure(error.sqlstate, str(error), session)

    async def _why_refused(self, session: Session, transaction: Transaction) -> Exception:
        async with self._ordinary(session) as connection:
            return await run(connection, self._ledger.why_refused(transaction.number))

    async def _write_bisected(self, session: Session, transaction: Transaction) -> Receipt:
        await session.settle()
        before = self._ledger.refusals.snapshot()
        stream = self._stream_of(transaction)
        writer = BisectingWriter(session, self._ledger, stream.rows if stream else None, append=self._append)
        try:
            refused = await writer.write(transaction)
        except StatementError as error:
            self._ledger.refusals.restore(before)
            if error.place == 0 and error.sqlstate == NOT_MOVED:
                raise await self._why_refused(session, transaction) from None
            raise self._failure(error.sqlstate, str(error), session) from None
        except BaseException:
            self._ledger.refusals.restore(before)
            raise
        self._bisected_number = 0
        return Receipt(refused)

    async def recover(self) -> int:
        """See `Sink.recover`."""
        async with self._order, self._ordinary(await self._connected()) as connection:
            return await run(connection, self._ledger.recover())

    async def close(self) -> None:
        """See `Sink.close`."""
        await self._disconnect()
