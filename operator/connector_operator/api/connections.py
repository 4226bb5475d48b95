"""Connections of clients, with limits: how many there are, and how long a client may take to send a request.

aiohttp waits as long as a client likes for the headers of a request, and for the client to read its answers. Here a
connection without a request in progress is closed after a while, whether the client is silent, sends one byte a second
or reads nothing.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from connector_operator.api.problems import MEDIA_TYPE, ProblemError

log = logging.getLogger(__name__)


def build_refusal(problem: ProblemError) -> bytes:
    """A whole HTTP answer for a connection that gets no other answer."""
    body = msgspec.json.encode(problem.build_body())
    title = HTTPStatus(problem.status).phrase
    head = (
        f"HTTP/1.1 {problem.status} {title}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        "Retry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


_TOO_MANY = build_refusal(ProblemError(503, "too many connections; try again"))


class GuardedConnection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ("_guard", "_idle_since", "_limit", "_requests", "_seconds", "_server")

    def __init__(self, server: web.Server, limit: int, seconds: float, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._server = server
        self._limit = limit
        self._seconds = seconds
        self._requests = 0
        self._idle_since = 0.0
        self._guard: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuses the connection when there are too many; otherwise starts the timer."""
        super().connection_made(transport)
        if len(self._server.connections) > self._limit and isinstance(transport, asyncio.Transport):
            transport.write(_TOO_MANY)
            transport.close()
        self._idle_since = asyncio.get_running_loop().time()
        self._look_again(self._seconds)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stops the timer."""
        if self._guard is not None:
            self._guard.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what is not valid HTTP. The input is not logged: its first line may contain a token."""
        log.info("a request that can't be read as HTTP", extra={"status": status, "error": type(exc).__name__})
        problem = ProblemError(status, "the request is not valid HTTP, or its first line or headers are too long")
        answer = web.Response(status=status, body=msgspec.json.encode(problem.build_body()), content_type=MEDIA_TYPE)
        answer.force_close()
        return answer

    def begin_request(self) -> None:
        """Headers have arrived: from here on the request has time limits of its own."""
        self._requests += 1

    def end_request(self) -> None:
        """The request has been answered."""
        self._requests -= 1
        self._idle_since = asyncio.get_running_loop().time()

    def _look_again(self, seconds: float) -> None:
        self._guard = asyncio.get_running_loop().call_later(seconds, self._check)

    def _check(self) -> None:
        if self._requests:
            self._look_again(self._seconds)
            return
        left = self._idle_since + self._seconds - asyncio.get_running_loop().time()
        if left > 0:
            self._look_again(left)
        elif self.transport is not None and not self.transport.is_closing():
            # An answer may still be in transit: close() waits until the client has read it, another check does not.
            self.transport.close()
            self._look_again(self._seconds)
        elif isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
