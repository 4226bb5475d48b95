"""The PostgreSQL sink: claims, prepares, and sends each transaction as one unit of commands."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import psycopg

from connector_runner.datasets.dead_letters import Refusals, incident_rows
from connector_runner.datasets.fencing import (
    Holder,
    encode_position,
    explain_refused_commit,
    find_taken,
    next_epoch,
    require_alone,
)
from connector_runner.datasets.names import check_column_names, parse_table, require_key
from connector_runner.datasets.write_plan import plan_append, plan_upsert
from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, SinkContext, Transaction, WriteAgain
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.postgresql.bisect import VALUE_ERRORS, BisectingWriter
from connector_runner.sinks.postgresql.errors import Meaning, connection_failure, meaning_of, statement_failure
from connector_runner.sinks.postgresql.session import Command, Session, StatementError
from connector_runner.sinks.postgresql.statements import CREATE_CHECKPOINTS, CREATE_INCIDENTS, FenceSql, RowSql
from connector_runner.sinks.postgresql.tables import create_missing, ensure_tables, resolve_schema

LONGEST_NAME = 63
TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = %s AND pid <> pg_backend_pid() AND usename = current_user AND datname = current_database()"
)

# What PostgreSQL says when two create the same table or index at once.
CREATED_MEANWHILE = (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable)


class PostgresSink:
    """Effectively once: a commit holds rows, dead letters, incidents, position and the check of the epoch."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._names = parse_table(context.table, longest=LONGEST_NAME)
        # The checkpoints lie in the schema of the table, so its bare name is enough.
        self._key = (context.connector, context.stream, self._names.table)
        self._fence = FenceSql(self._names, self._key)
        self._append = context.write_mode is WriteMode.APPEND
        self._refusals = Refusals(context.refused_rows, context.refusal_limit)
        digest = hashlib.sha256("\0".join([*self._key[:2], self._names.text]).encode()).hexdigest()[:16]
        self._application_name = f"connector-runner {digest}"
        self._order = asyncio.Lock()
        self._session: Session | None = None
        self._rows: RowSql | None = None
        self._is_indexed = False
        self._bisected_number = 0
        self._epoch = 0
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

    def _explain(self, error: psycopg.Error, session: Session) -> ConnectorError:
        if error.sqlstate is None:
            return connection_failure(str(error), session.where)
        return self._failure(error.sqlstate, error.diag.message_primary or str(error), session)

    def _failure(self, sqlstate: str, message: str, session: Session) -> ConnectorError:
        schema = self._names.schema or "public"
        grant = f"GRANT USAGE, CREATE ON SCHEMA {schema} TO this user, and ownership (or all rights) of the connector's tables"
        failure = statement_failure(sqlstate, message, session.where, grant)
        if isinstance(failure, TransientError):
            # A session keeps settings of when it was made, which may be mended by now: read-only, a role's.
            session.lose(failure.message)
        return failure

    @staticmethod
    def _outrun(error: psycopg.Error, session: Session) -> TransientError:
        return TransientError(f"another runner prepares {session.where} at this moment: {error.diag.message_primary}")

    async def claim(self) -> Claim:
        """See `Sink.claim`."""
        session = await self._connected()
        try:
            async with session.ordinary() as connection:
                return await self._claim(connection)
        except CREATED_MEANWHILE as error:
            raise self._outrun(error, session) from None
        except psycopg.Error as error:
            raise self._explain(error, session) from None

    async def _claim(self, connection: psycopg.AsyncConnection[Any]) -> Claim:
        context = self._context
        self._names = await resolve_schema(connection, self._names)
        self._fence = FenceSql(self._names, self._key)
        checkpoints = self._names.checkpoints
        await create_missing(connection, checkpoints, CREATE_CHECKPOINTS.format(table=checkpoints))
        known = await self._read_holder(connection)
        next_epoch(known, context.uid, context.run, tried=self._epoch, unmoved=context.unmoved)
        # An older runner that hangs with locks must not keep us out; the fence makes it harmless, this makes it let go.
        await connection.execute(TERMINATE, [self._application_name])
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [self._names.text])
            # Locked, because the backend of an older runner may still commit: it is that commit's position that counts.
            await self._take_over(connection, self._fence)
            holder = await self._read_holder(connection, " FOR UPDATE")
            if not self._append:
                require_alone(await self._read_holders(connection), *self._key, context.take_over)
            self._epoch = next_epoch(holder, context.uid, context.run, tried=self._epoch, unmoved=context.unmoved)
            values = [*self._key, self._epoch, context.uid, context.run, context.write_mode.value]
            await connection.execute("SET LOCAL synchronous_commit = on")
            await connection.execute(self._fence.claim.encode(), values)
        return Claim(holder.checkpoint() if holder else None, self._epoch, holder.number if holder else 0)

    async def _take_over(self, connection: psycopg.AsyncConnection[Any], fence: FenceSql) -> None:
        """Takes the table over from whom the orders name, if it still holds it so; that is recorded as an incident."""
        if self._context.take_over is None:
            return
        others = await self._read_holders(connection, " FOR UPDATE")
        taken = find_taken(others, self._context.take_over, *self._key[:2], append=self._append)
        if taken is None:
            return
        theirs = [taken.holder.connector, taken.holder.stream, taken.holder.table]
        if taken.keeps_position:
            await connection.execute(fence.remove.encode(), self._key)  # at most the rest of a reset
            await connection.execute(fence.move.encode(), [*self._key, *theirs])
        else:
            await connection.execute(fence.release.encode(), theirs)
        incidents = self._names.incidents
        await create_missing(connection, incidents, CREATE_INCIDENTS.format(table=incidents))
        await connection.execute(fence.incident.encode(), [*self._key[:2], *taken.incident])

    async def _read_holder(self, connection: psycopg.AsyncConnection[Any], locking: str = "") -> Holder | None:
        row = await (await connection.execute((self._fence.read + locking).encode(), self._key)).fetchone()
        return Holder(*row[:-1]) if row else None

    async def _read_holders(self, connection: psycopg.AsyncConnection[Any], locking: str = "") -> list[Holder]:
        """All who write into the table."""
        cursor = await connection.execute((self._fence.read_table + locking).encode(), self._key[2:])
        return [Holder(*row[:-1]) for row in await cursor.fetchall()]

    async def prepare(self, schema: StreamSchema) -> None:
        """See `Sink.prepare`."""
        if not self._append:
            require_key(schema)
        check_column_names(schema, append=self._append)
        if long := [name for name in schema.names if len(name.encode()) > LONGEST_NAME]:
            raise ActionRequiredError(
                f"column names over {LONGEST_NAME} bytes: {', '.join(long)}", reason="SchemaConflict"
            )
        rows = RowSql(schema, self._names, self._key[:2])
        session = await self._connected()
        try:
            async with session.ordinary() as connection, connection.transaction():
                own = any(holder.schema_version for holder in await self._read_holders(connection))
                if await ensure_tables(connection, rows, append=self._append, own=own):
                    # Ours from now on, before it has rows.
                    await connection.execute(self._fence.adopt.encode(), [schema.version, *self._key, self._epoch])
        except CREATED_MEANWHILE as error:
            raise self._outrun(error, session) from None
        except psycopg.Error as error:
            raise self._explain(error, session) from None
        self._rows, self._is_indexed = rows, False

    async def _index_history(self, session: Session, transaction: Transaction) -> None:
        """Once a session, when the first replacement comes."""
        replaces = any(batch.operations and Operation.REPLACE in batch.operations for batch in transaction.batches)
        if self._rows is None or not self._rows.schema.key or not self._append or self._is_indexed or not replaces:
            return
        try:
            async with session.ordinary() as connection:
                await create_missing(connection, *self._rows.history_index)
        except CREATED_MEANWHILE as error:
            raise self._outrun(error, session) from None
        except psycopg.Error as error:
            raise self._explain(error, session) from None
        self._is_indexed = True

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
                answered = session.send([self._advance(transaction), *self._commands(transaction)])
            except VALUE_ERRORS as error:
                raise self._again(transaction) from error
        try:
            await answered
        except StatementError as error:
            raise await self._why(session, transaction, error) from None
        if any(batch.rows for batch in transaction.batches):
            self._refusals.accepted()
        return Receipt()

    def _advance(self, transaction: Transaction) -> Command:
        state = None
        if transaction.batches:
            last = transaction.batches[-1]
            state = (transaction.identity, last.schema.version, encode_position(last.position))
        return self._fence.advance(self._epoch, transaction.number, state)

    def _commands(self, transaction: Transaction) -> Sequence[Command]:
        batches, rows = transaction.batches, self._rows
        commands: list[Command] = []
        if rows is None or not batches:
            return commands
        if self._append:
            for history in plan_append(batches):
                commands += rows.append(history)
        else:
            for step in plan_upsert(rows.schema, batches):
                commands += rows.apply(step)
        if incidents := incident_rows(batches):
            commands.append(self._fence.incidents(incidents))
        return commands

    def _again(self, transaction: Transaction) -> WriteAgain:
        """Next time this transaction is written row by row where that is needed."""
        self._bisected_number = transaction.number
        return WriteAgain(f"transaction {transaction.number} has rows that the dataset refuses")

    async def _why(self, session: Session, transaction: Transaction, error: StatementError) -> ConnectorError:
        if error.place == 0 and error.sqlstate == "22012":
            return await self._why_not_held(session, transaction.number)
        if meaning_of(error.sqlstate) is Meaning.REFUSED:
            return self._again(transaction)
        return self._failure(error.sqlstate, str(error), session)

    async def _why_not_held(self, session: Session, number: int) -> ConnectorError:
        async with self._order:
            holder = await self._holder_now(session)
        context = self._context
        reason = explain_refused_commit(holder, context.uid, context.run, self._epoch, number)
        return reason if isinstance(reason, ActionRequiredError) else WriteAgain(str(reason))

    async def _holder_now(self, session: Session) -> Holder | None:
        try:
            async with session.ordinary() as connection:
                return await self._read_holder(connection)
        except psycopg.Error as error:
            raise self._explain(error, session) from None

    async def _write_bisected(self, session: Session, transaction: Transaction) -> Receipt:
        await session.settle()
        before = self._refusals.snapshot()
        writer = BisectingWriter(session, self._fence, self._rows, self._refusals, append=self._append)
        try:
            refused = await writer.write(self._advance(transaction), transaction.batches)
        except StatementError as error:
            self._refusals.restore(before)
            if error.place == 0 and error.sqlstate == "22012":
                holder = await self._holder_now(session)
                context = self._context
                raise explain_refused_commit(
                    holder, context.uid, context.run, self._epoch, transaction.number
                ) from None
            raise self._failure(error.sqlstate, str(error), session) from None
        except BaseException:
            self._refusals.restore(before)
            raise
        self._bisected_number = 0
        return Receipt(refused)

    async def recover(self) -> int:
        """See `Sink.recover`."""
        async with self._order:
            session = await self._connected()
            holder = await self._holder_now(session)
        if holder is None or holder.epoch != self._epoch:
            raise explain_refused_commit(holder, self._context.uid, self._context.run, self._epoch, 0)
        return holder.number

    async def close(self) -> None:
        """See `Sink.close`."""
        await self._disconnect()
