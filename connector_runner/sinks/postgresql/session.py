"""One connection on which several transactions may be in flight: libpq's pipeline mode, driven by the event loop.

psycopg's own pipeline returns results only when all of them have arrived; here each transaction is confirmed as soon as
its own synchronisation point is reached. Between them, other statements use psycopg's ordinary interface.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connector_runner.datasets.procedure import Procedure, Result, Statement
from connector_runner.protocols.errors import TransientError
from connector_runner.sinks.postgresql.errors import connection_failure

T = TypeVar("T")

# A dead network is noticed within about half a minute; the URL can change that.
DEFAULTS = {
    "connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}  # fmt: skip
# Parameters are arrays: a plan for one transaction's arrays suits all others. Other settings of locale and style have no effect.
OPTIONS = "-c plan_cache_mode=force_generic_plan -c client_min_messages=warning"
# A prepared statement takes the server 20 to 60 kB (measured with ten columns). Beyond so many, those used longest ago are closed.
MOST_STATEMENTS = 2000
# A runner that hangs within a transaction must not hold its locks for ever; the URL can change that.
DEFAULT_OPTIONS = "-c idle_in_transaction_session_timeout=60s"


class StatementError(Exception):
    """A statement of a unit failed; the whole unit was rolled back.

    Attributes:
        sqlstate: Five characters.
        place: The index of the statement in the unit; the unit's length if the commit failed.
        stream: The stream whose statement it is, if known.
    """

    stream = ""

    def __init__(self, sqlstate: str, message: str, place: int) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.place = place


@dataclass(slots=True)
class _Unit:
    """Statements up to a synchronisation point.

    Attributes:
        expected: The indexes whose results have not arrived; then a sync follows. A negative one is of a statement that is prepared.
        names: What is prepared with it and has not been confirmed, in order.
    """

    done: asyncio.Future[list[pq.abc.PGresult]]
    expected: deque[int]
    names: deque[str] = field(default_factory=deque)
    results: list[pq.abc.PGresult] = field(default_factory=list)
    error: StatementError | None = None


def _encode(value: bytes | str | int | None) -> bytes | None:
    """A parameter in binary format; whole numbers are sent as texts, which the statements cast."""
    if isinstance(value, bytes) or value is None:
        return value
    if isinstance(value, int):
        return b"%d" % value
    return value.replace("\0", "\\0").encode(errors="replace")


def describe(url: str) -> str:
    """The server and database of a URL, without user and password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return "PostgreSQL"
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    return f"postgresql://{host}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


def connection_info(url: str, application_name: str) -> str:
    """Libpq's connection string: the URL, our name, and defaults for what the URL leaves out.

    Raises:
        ActionRequiredError: It is not such a URL; the message never repeats it.
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        raise connection_failure(
            "invalid URI: expected postgresql://user:password@host:port/database?option=…", "URL"
        ) from None
    options = f"{DEFAULT_OPTIONS} {given.pop('options', '') or ''} {OPTIONS}"
    return make_conninfo("", **{**DEFAULTS, **given, "application_name": application_name, "options": options})


async def run(connection: psycopg.AsyncConnection[Any], procedure: Procedure[T]) -> T:
    """Executes a procedure's statements on psycopg's own connection and returns the procedure's result."""
    try:
        statement = next(procedure)
        while True:
            try:
                cursor = await connection.execute(statement.sql.encode(), statement.parameters)
                rows = await cursor.fetchall() if cursor.description is not None else []
            except BaseException:
                procedure.close()
                raise
            columns = [column.name for column in cursor.description or ()]
            statement = procedure.send(Result(rows, cursor.rowcount, columns))
    except StopIteration as end:
        value: T = end.value
        return value


class Session:
    """See the module."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], where: str) -> None:
        self.where = where
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._units: deque[_Unit] = deque()
        self._statements: dict[str, str] = {}  # SQL → name; the one used last comes last
        self._named = 0
        self._is_writing = False
        self._lost: TransientError | None = None
        # Stored, because libpq drops it when the connection is lost, and the next connection may get the same number.
        self._socket = self._pgconn.socket
        self._enter_pipeline()

    @classmethod
    async def connect(cls, url: str, application_name: str) -> Session:
        """Connects.

        Raises:
            TransientError, ActionRequiredError: It can't connect; the error says why.
        """
        where = describe(url)
        try:
            connection = await psycopg.AsyncConnection.connect(
                connection_info(url, application_name), autocommit=True, cursor_factory=psycopg.AsyncRawCursor
            )
        except psycopg.OperationalError as error:
            raise connection_failure(str(error), where) from None
        connection.prepare_threshold = None
        return cls(connection, where)

    @property
    def is_lost(self) -> bool:
        """Whether a new session is needed."""
        return self._lost is not None or self._connection.closed

    def _enter_pipeline(self) -> None:
        self._pgconn.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._read)

    @asynccontextmanager
    async def ordinary(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Psycopg's own connection, once everything that was sent is answered."""
        await self.settle()
        self._raise_if_lost()
        self._loop.remove_reader(self._socket)
        self._pgconn.exit_pipeline_mode()
        try:
            yield self._connection
        finally:
            if not self._connection.closed and self._pgconn.status == pq.ConnStatus.OK:
                self._enter_pipeline()
            else:
                self.lose("the connection was lost")

    def send(self, statements: Sequence[Statement]) -> asyncio.Future[list[pq.abc.PGresult]]:
        """Sends statements and a synchronisation point; without BEGIN they form one transaction.

        Returns:
            The results; or StatementError; or TransientError if the connection is lost.
        """
        self._raise_if_lost()
        unit = _Unit(self._loop.create_future(), deque())
        try:
            for place, statement in enumerate(statements):
                name = self._statements.pop(statement.sql, None)
                if name is None:
                    self._named += 1
                    name = f"c{self._named}"
                    self._pgconn.send_prepare(name.encode(), statement.sql.encode())
                    unit.expected.append(-1 - place)
                    unit.names.append(statement.sql)
                self._statements[statement.sql] = name
                parameters = [_encode(value) for value in statement.parameters]
                formats = [pq.Format.BINARY] * len(parameters)
                self._pgconn.send_query_prepared(name.encode(), parameters, formats, pq.Format.TEXT)
                unit.expected.append(place)
            self._pgconn.pipeline_sync()
            self._units.append(unit)
            if len(self._statements) > MOST_STATEMENTS:
                self._close_oldest()
            self._flush()
        except psycopg.OperationalError as error:
            self.lose(str(error))
            self._raise_if_lost()
        return unit.done

    def _close_oldest(self) -> None:
        """Closes statements that are more than the most, in a transaction of their own; those that may not be prepared yet are left."""
        unconfirmed = {sql for unit in self._units for sql in unit.names}
        more = len(self._statements) - MOST_STATEMENTS
        closing = _Unit(self._loop.create_future(), deque())
        for sql in [sql for sql in islice(self._statements, more) if sql not in unconfirmed]:
            self._pgconn.send_query_params(f"DEALLOCATE {self._statements.pop(sql)}".encode(), None)
            closing.expected.append(-1)
        if closing.expected:
            self._pgconn.pipeline_sync()
            self._units.append(closing)

    async def run(self, *statements: Statement) -> list[pq.abc.PGresult]:
        """Sends a unit and awaits its results."""
        return await self.send(statements)

    async def settle(self) -> None:
        """Waits until everything that was sent is answered, successfully or not."""
        while self._units:
            await asyncio.wait([self._units[-1].done])

    def _flush(self) -> None:
        is_full = self._pgconn.flush() == 1
        if is_full and not self._is_writing:
            self._loop.add_writer(self._socket, self._write)
        elif not is_full and self._is_writing:
            self._loop.remove_writer(self._socket)
        self._is_writing = is_full

    def _write(self) -> None:
        try:
            self._flush()
        except psycopg.OperationalError as error:
            self.lose(str(error))

    def _read(self) -> None:
        try:
            self._pgconn.consume_input()
            if self._is_writing:
                self._flush()
            while self._units and not self._pgconn.is_busy():
                self._take(self._units[0], self._pgconn.get_result())
        except psycopg.OperationalError as error:
            self.lose(str(error))

    def _take(self, unit: _Unit, result: pq.abc.PGresult | None) -> None:
        if result is None:
            if unit.expected:
                unit.expected.popleft()
            return
        status = result.status
        if status == pq.ExecStatus.PIPELINE_SYNC:
            self._units.popleft()
            self._finish(unit)
        elif status == pq.ExecStatus.FATAL_ERROR:
            if unit.error is None:
                place = unit.expected[0] if unit.expected else len(unit.results)
                state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"XX000").decode()
                primary = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
                detail = (result.error_field(pq.DiagnosticField.MESSAGE_DETAIL) or b"").decode(errors="replace")
                text = f"{primary}: {detail}" if detail else primary
                unit.error = StatementError(state, text, place if place >= 0 else -1 - place)
        elif status != pq.ExecStatus.PIPELINE_ABORTED and unit.expected:
            if unit.expected[0] >= 0:
                unit.results.append(result)
            elif unit.names:
                unit.names.popleft()  # is prepared, also if the transaction is rolled back

    def _finish(self, unit: _Unit) -> None:
        if unit.error is not None:
            for sql in unit.names:  # was not prepared
                self._statements.pop(sql, None)
        if unit.done.done():  # nobody is waiting any more
            return
        if unit.error is not None:
            unit.done.set_exception(unit.error)
            unit.done.exception()
        else:
            unit.done.set_result(unit.results)

    def lose(self, message: str) -> None:
        """Marks the session as lost, with everything in flight: a new one is needed."""
        if self._lost is None:
            self._lost = TransientError(
                f"the connection to dataset {self.where} was lost: {' '.join(message.split())}",
                reason="DatasetUnavailable",
            )
            self._forget_socket()
            for unit in self._units:
                if not unit.done.done():
                    unit.done.set_exception(self._lost)
                    unit.done.exception()
            self._units.clear()

    def _forget_socket(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)

    def _raise_if_lost(self) -> None:
        if self._lost is not None:
            raise TransientError(self._lost.message, reason=self._lost.reason)

    async def close(self) -> None:
        """Closes the connection; whether unconfirmed transactions commit is up to the server."""
        if not self._connection.closed:
            self.lose("closed")
            await self._connection.close()
