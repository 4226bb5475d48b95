"""One websocket to the feed: how it is opened and closed, and what its errors mean."""

from __future__ import annotations

import contextlib
from asyncio import timeout
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from connector_runner.protocols.errors import TransientError
from connector_runner.resilience.retry_after import parse_retry_after

# A BTC-USD snapshot is larger than the library's default of one MiB.
LARGEST_MESSAGE = 64 * 2**20
CONNECT_SECONDS = 10.0
GLIMPSE_BYTES = 160
"""How many bytes of an unexpected answer are shown."""
_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class FeedConnection(ClientConnection):
    """A websocket that passes messages directly to `on_payload`, without a task switch and a future for each."""

    on_payload: Callable[[bytes], None]
    _parts: list[bytes] | None = None

    def process_event(self, event: Event) -> None:
        """Called by the library for each frame in order; data frames are handled here, all others by the library."""
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
        elif event.fin and self._parts is None:
            self.on_payload(bytes(event.data))
        else:
            self._parts = [*(self._parts or ()), bytes(event.data)]
            if event.fin:
                payload, self._parts = b"".join(self._parts), None
                self.on_payload(payload)

    def abort(self) -> None:
        """Drops the connection at once, without a close frame."""
        self.transport.abort()

    async def abandon(self) -> None:
        """Drops the connection, ignores further messages, and waits up to a second for the end."""
        self.on_payload = _ignore
        self.abort()
        with contextlib.suppress(Exception):
            async with timeout(1.0):
                await self.wait_closed()

    @property
    def farewell(self) -> str:
        """How the other side closed."""
        return f"code {self.close_code}{': ' + self.close_reason if self.close_reason else ''}"


async def open_connection(url: str, on_payload: Callable[[bytes], None]) -> FeedConnection:
    """Connects; raises whatever the library and the operating system raise (see `as_connector_error`)."""

    def create(*arguments: Any, **options: Any) -> FeedConnection:
        connection = FeedConnection(*arguments, **options)
        connection.on_payload = on_payload
        return connection

    return cast(
        "FeedConnection",
        await connect(
            url,
            max_size=LARGEST_MESSAGE,
            open_timeout=CONNECT_SECONDS,
            close_timeout=1,
            ping_interval=None,  # heartbeats every second and the session's watch detect more than pings do
            create_connection=cast("type[ClientConnection]", create),
        ),
    )


def _ignore(_: bytes) -> None:
    """Ignores what a dropped connection still receives."""


def as_connector_error(error: BaseException, url: str) -> BaseException:
    """An error of connecting as a `TransientError`; any other error is returned as it is."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        seconds = parse_retry_after(error.response.headers.get("Retry-After"), datetime.now(UTC))
        if seconds is None and status == 429:
            seconds = 1.0
        return TransientError(f"{url} refused the connection with HTTP status {status}", retry_after=seconds)
    if isinstance(error, TimeoutError):
        return TransientError(f"{url} did not answer in time")
    if isinstance(error, InvalidHandshake | InvalidURI | WebSocketException | OSError | EOFError):
        return TransientError(f"{url} can't be reached: {error or type(error).__name__}")
    return error


def glimpse(payload: bytes) -> str:
    """The beginning of a message, for people; only the length if the message repeats a signed subscription."""
    size = f"{len(payload)} bytes"
    if any(word in payload for word in (b"signature", b"passphrase")):
        return f"{size} that repeat a signed subscription"
    text = payload[:GLIMPSE_BYTES].decode("utf-8", "replace").rstrip("\ufffd")
    if text and text.isprintable() and "\ufffd" not in text:
        return f"{text}{' …' if len(payload) > GLIMPSE_BYTES else ''}"
    return f"{size}, the first {payload[:16].hex(' ')}"
