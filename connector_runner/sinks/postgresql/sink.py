"""The PostgreSQL sink: claims, prepares, and sends each transaction as one unit of statements."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import psycopg

from connector_runner.datasets.claiming import Claiming
from connector_runner.datasets.dialect import create_missing
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.ledger_schemas import create_foreign
from connector_runner.datasets.names import check_column_names, require_key
from connector_runner.datasets.procedure import Procedure, Statement
from connector_runner.datasets.renewal import Renewal, clearing
from connector_runner.datasets.row_dialect import ensure_table
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.protocols.batch import Incident, Operation
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError, blame_stream
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

# PostgreSQL's errors when two sessions create the same table or index at once.
CREATED_MEANWHILE = (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable)


@dataclass(slots=True)
class _Stream:
    """Turns the rows of one stream into statements."""

    rows: RowSql
    renewal: Renewal
    is_indexed: bool = False


def name_application(fence: tuple[str, str, str]) -> str:
    """The name of a runner's connections, by which its successor can end them: from connector, stream and table of its fence."""
    identity = "\0".join(fence)
    return f"connector-runner {hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _stream_at(place: int, written: Sequence[Sequence[Statement]], parts: Sequence[Transaction]) -> str:
    """The stream whose statement is at this place, of the statements that were sent for each part; "" if none is."""
    for statements, part in zip(written, parts, strict=True):
        if 0 <= place < len(statements):
            return part.batches[0].schema.stream
        place -= len(statements)
    return ""


class PostgresSink:
    """Effectively once: one commit holds rows, dead letters, incidents, position and the check of the epoch."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._ledger = Ledger(context, DIALECT)
        self._append = context.write_mode is WriteMode.APPEND
        self._claiming = Claiming(self._ledger, context)
        self._application_name = name_application((*self._ledger.key[:2], self._ledger.fence_name))
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
        """Psycopg's own connection; its errors are raised as errors of the pipeline."""
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
        schema = self._ledger.home.schema or "public"
        grant = f"GRANT USAGE, CREATE ON SCHEMA {schema} TO this user, and ownership (or all rights) of the connector's tables"
        failure = statement_failure(sqlstate, message, session.where, grant)
        if isinstance(failure, TransientError):
            # A session keeps the settings from when it was opened, which may have been fixed by now: read-only, a role's.
            session.lose(failure.message)
        return failure

    async def claim(self) -> Claim:
        """See `Sink.claim`."""
        async with self._ordinary(await self._connected()) as connection:
            ledger = self._ledger
            await run(connection, ledger.locate(find_schema))
            await run(connection, ledger.create())
            await run(connection, self._claiming.check())
            # An older runner that hangs with locks must not block us; the fence makes it harmless, this makes it release the locks.
            for name in (self._application_name, *self._rivals()):
                await connection.execute(TERMINATE, [name])
            return await self._locked(connection, ledger.streams.values(), self._claiming.claim())

    async def _locked(
        self, connection: psycopg.AsyncConnection[Any], streams: Iterable[StreamLedger], procedure: Procedure[Claim]
    ) -> Claim:
        """Runs the procedure while no other runner claims one of the streams' tables."""
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            for table in sorted({stream.names.text for stream in streams}):
                await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [table])
            await connection.execute("SET LOCAL synchronous_commit = on")
            # Reads with locks, because the backend of an older runner may still commit: then that position counts.
            return await run(connection, procedure)

    async def select(self, tables: Mapping[str, str] | None, record: str = "") -> Claim:
        """See `Sink.select`."""
        ledger = self._ledger
        async with self._order, self._ordinary(await self._connected()) as connection:
            for stream in ledger.select(tables):
                self._streams.pop(stream, None)
            await run(connection, ledger.locate(find_schema))
            await run(connection, create_foreign(ledger))
            added = [ledger.streams[stream] for stream in ledger.streams if stream not in self._streams]
            claim = await self._locked(connection, added, self._claiming.select(record))
        ledger.epoch = claim.epoch
        self._streams = {stream: found for stream, found in self._streams.items() if stream in ledger.streams}
        return claim

    async def park(self, stream: str, incident: Incident) -> None:
        """See `Sink.park`."""
        async with self._order, self._ordinary(await self._connected()) as connection, connection.transaction():
            await run(connection, self._ledger.park(stream, incident))

    def _rivals(self) -> list[str]:
        """Names of connections for the fences that this claim replaces; a table may have been spelled with or without its schema."""
        schema = self._ledger.home.schema
        fences = self._claiming.rivals
        spelled = [*fences, *((connector, stream, f"{schema}.{table}") for connector, stream, table in fences if table)]
        return [name_application(fence) for fence in spelled]

    async def prepare(self, schema: StreamSchema, *, renews: bool = False) -> None:
        """See `Sink.prepare`."""
        session = await self._connected()
        try:
            await self._prepare(session, schema, [] if renews else None)
        except ActionRequiredError as error:
            if self._context.isolates:
                blame_stream(error, schema.stream)
            raise

    async def _prepare(self, session: Session, schema: StreamSchema, later: list[str] | None) -> None:
        if not self._append:
            require_key(schema)
        check_column_names(schema, append=self._append)
        longest = DIALECT.longest_name or 0
        if long := [name for name in schema.names if len(name.encode()) > longest]:
            raise ActionRequiredError(f"column names over {longest} bytes: {', '.join(long)}", reason="SchemaConflict")
        ledger, append = self._ledger, self._append
        stream = ledger.streams[schema.stream]
        async with self._ordinary(session) as connection, connection.transaction():
            prepared = ledger.prepare(
                schema, lambda own: ensure_table(schema, stream.names, ROWS, append=append, own=own, later=later)
            )
            await run(connection, prepared)
        self._streams[schema.stream] = _Stream(RowSql(schema, stream.names, stream.owner), Renewal(later or ()))

    async def _index_history(self, session: Session, transaction: Transaction) -> None:
        """Creates a stream's history index once per session, before its first replacement."""
        if not self._append:
            return
        for part in self._ledger.by_stream(transaction):
            stream = self._streams[part.batches[0].schema.stream]
            if not stream.rows.schema.key or stream.is_indexed:
                continue
            if any(batch.operations and Operation.REPLACE in batch.operations for batch in part.batches):
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
            parts, advance = self._ledger.by_stream(transaction), self._ledger.advance(transaction)
            try:
                written = [self._statements(part) for part in parts]
                incidents_of_parts = [self._ledger.incidents([part]) for part in parts]
                answered = session.send(
                    [*advance, *chain.from_iterable(written), *chain.from_iterable(incidents_of_parts)]
                )
            except VALUE_ERRORS as error:
                raise self._again(transaction) from error
        try:
            await answered
        except StatementError as error:
            error.stream = _stream_at(error.place - len(advance), [*written, *incidents_of_parts], [*parts, *parts])
            raise await self._why(session, transaction, error, fences=len(advance)) from None
        for part in parts:
            if any(batch.rows for batch in part.batches):
                self._ledger.streams[part.batches[0].schema.stream].refusals.accepted()
        return Receipt()

    def _statements(self, part: Transaction) -> Sequence[Statement]:
        """The statements that write the rows of one stream."""
        rows = self._streams[part.batches[0].schema.stream].rows
        return [*self._first(part), *rows.write(part.batches, append=self._append)]

    def _first(self, part: Transaction) -> Sequence[Statement]:
        """Those that come before its rows."""
        stream = self._streams[part.batches[0].schema.stream]
        if not (renewal := stream.renewal.of(part)):
            return ()
        return [*stream.rows.write([clearing(part.batches)], append=self._append), *map(Statement, renewal)]

    def _again(self, transaction: Transaction) -> WriteAgain:
        """Makes the next attempt halve this transaction until the refused rows are isolated."""
        self._bisected_number = transaction.number
        return WriteAgain(f"transaction {transaction.number} has rows that the dataset refuses")

    async def _why(
        self, session: Session, transaction: Transaction, error: StatementError, *, fences: int
    ) -> ConnectorError:
        if error.place < fences and error.sqlstate == NOT_MOVED:
            async with self._order:
                reason = await self._why_refused(session, transaction)
            return reason if isinstance(reason, ActionRequiredError) else WriteAgain(str(reason))
        if meaning_of(error.sqlstate) is Meaning.REFUSED:
            return self._again(transaction)
        return self._failure_of(error, session)

    def _failure_of(self, error: StatementError, session: Session) -> ConnectorError:
        failure = self._failure(error.sqlstate, str(error), session)
        if self._context.isolates and error.stream and isinstance(failure, ActionRequiredError):
            blame_stream(failure, error.stream)
        return failure

    async def _why_refused(self, session: Session, transaction: Transaction) -> Exception:
        async with self._ordinary(session) as connection:
            return await run(connection, self._ledger.why_refused(transaction.number))

    async def _write_bisected(self, session: Session, transaction: Transaction) -> Receipt:
        await session.settle()
        restore = self._ledger.snapshot_refusals(self._ledger.by_stream(transaction))
        rows = {name: stream.rows for name, stream in self._streams.items()}
        writer = BisectingWriter(session, self._ledger, rows, self._first, append=self._append)
        try:
            refused = await writer.write(transaction)
        except StatementError as error:
            restore()
            if error.sqlstate == NOT_MOVED:
                raise await self._why_refused(session, transaction) from None
            raise self._failure_of(error, session) from None
        except BaseException as error:
            restore()
            if isinstance(error, ActionRequiredError) and not self._context.isolates:
                error.stream = ""
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
