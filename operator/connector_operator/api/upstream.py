"""Connections to the API server that are kept between requests: HTTP/1.1, one request at a time on each, short answers.

aiohttp's client would do, and takes more time than all else that a read costs (benchmarks/api). Watches and long texts, which are
read while they come, are its own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

_IDLE = 15.0
"""Seconds that a connection is kept without a request; API servers close theirs later."""
_REPEATABLE = frozenset({"GET", "DELETE"})
_PORTS = {"https": 443, "http": 80}


class Answer(NamedTuple):
    """An answer of any status, whole."""

    status: int
    content: bytes


class AnswerLostError(ConnectionError):
    """The connection ended before the answer did."""


class BadAnswerError(ConnectionError):
    """What was answered is not HTTP."""


class _Connection(asyncio.Protocol):
    """One connection; the `on_…` methods are called by the parser."""

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._awaited: asyncio.Future[Answer] | None = None
        self._parts: list[bytes] = []
        self._ends_by_length = self._has_head = False
        self.is_silent = True
        """Whether nothing of an answer has come."""
        self.is_free = False
        """Whether it can take a request."""
        self.free_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it is a stream's
        self._transport, self.is_free = transport, True

    async def ask(self, request: bytes) -> Answer:
        """Sends a whole request; returns the answer.

        Raises:
            ConnectionError: There is none.
        """
        assert self._transport is not None and self.is_free  # noqa: S101, PT018 - the pool gives no other
        self._awaited = asyncio.get_running_loop().create_future()
        self.is_silent, self.is_free = True, False
        self._transport.write(request)
        return await self._awaited

    def data_received(self, data: bytes) -> None:
        if self._awaited is None or self._parser is None:
            self.close()
            return
        self.is_silent = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(BadAnswerError())

    def on_message_begin(self) -> None:
        self._parts, self._ends_by_length, self._has_head = [], False, False

    def on_header(self, name: bytes, _value: bytes) -> None:
        if name.lower() in {b"content-length", b"transfer-encoding"}:
            self._ends_by_length = True

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        if self._parser is not None and self._parser.get_status_code() >= 200:  # before it there may be hints
            self._complete(is_kept=self._parser.should_keep_alive())

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_free = False
        if exc is None and self._has_head and not self._ends_by_length:
            self._complete(is_kept=False)
        self._fail(AnswerLostError())
        self._parser = None  # each refers to the other

    def close(self) -> None:
        """Ends the connection, whatever is in progress."""
        self.is_free = False
        if self._transport is not None:
            self._transport.abort()

    def _complete(self, *, is_kept: bool) -> None:
        awaited, self._awaited = self._awaited, None
        self._has_head = False
        if awaited is None or awaited.done() or self._parser is None:
            self.close()
            return
        awaited.set_result(Answer(self._parser.get_status_code(), b"".join(self._parts)))
        self._parts = []
        self.is_free = is_kept

    def _fail(self, error: ConnectionError) -> None:
        awaited, self._awaited = self._awaited, None
        if awaited is not None and not awaited.done():
            awaited.set_exception(error)
        self.close()


class Upstream:
    """The connections to one server."""

    def __init__(self, url: str, secure: ssl.SSLContext | None, *, timeout: float, connections: int) -> None:
        parts = urlsplit(url)
        self._base = parts.path.rstrip("/")
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._host_header = parts.netloc.rpartition("@")[2]
        self._secure = secure
        self._timeout = timeout
        self._room = asyncio.Semaphore(connections)
        self._free: deque[_Connection] = deque()
        self._sweep_timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Closes connections that nobody uses."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        while self._free:
            self._free.pop().close()

    async def ask(self, method: str, target: str, headers: str, body: bytes = b"") -> Answer:
        """One request.

        A server may close a kept connection just when a request is sent on it. What may be sent twice then goes on a new one.

        Args:
            method: In upper case.
            target: Path and query, escaped.
            headers: Whole lines, each with its end; `Host` and the body's length are added.
            body: Empty for none.

        Raises:
            OSError: The server was not reached, or not all of its answer came (TimeoutError: in time).
            ValueError: The target is not escaped.
        """
        if not (target.isascii() and target.isprintable()) or " " in target:
            raise ValueError(target)
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {self._base}{target} HTTP/1.1\r\nHost: {self._host_header}\r\n{headers}{length}\r\n"
        request = head.encode("ascii") + body
        async with asyncio.timeout(self._timeout), self._room:
            if (kept := self._take()) is not None:
                try:
                    return await self._exchange(kept, request)
                except AnswerLostError:
                    if not kept.is_silent or method not in _REPEATABLE:
                        raise
            return await self._exchange(await self._connect(), request)

    async def _connect(self) -> _Connection:
        patience = None if self._secure is None else self._timeout
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection,
            self._host,
            self._port,
            ssl=self._secure,
            ssl_handshake_timeout=patience,
            happy_eyeballs_delay=0.25,
        )
        return connection

    async def _exchange(self, connection: _Connection, request: bytes) -> Answer:
        try:
            return await connection.ask(request)
        finally:
            if connection.is_free:
                self._keep(connection)
            else:
                connection.close()

    def _take(self) -> _Connection | None:
        """The connection that was used last: so the others become old, and are closed."""
        while self._free:
            if (connection := self._free.pop()).is_free:
                return connection
        return None

    def _keep(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.free_since = loop.time()
        self._free.append(connection)
        if self._sweep_timer is None:
            self._sweep_timer = loop.call_later(_IDLE, self._sweep)

    def _sweep(self) -> None:
        """Closes what nobody has used for long."""
        loop = asyncio.get_running_loop()
        while self._free and self._free[0].free_since <= loop.time() - _IDLE:
            self._free.popleft().close()
        self._sweep_timer = loop.call_at(self._free[0].free_since + _IDLE, self._sweep) if self._free else None
