"""One connection to the feed that mends itself: connects, subscribes, checks the acknowledgement, watches for silence.

Payloads go from the socket into a bounded buffer that the source drains; nothing is decoded here. When the buffer is full
the socket is not read; when it stays full the connection is dropped by choice, before the exchange or memory does it, and made
again when there is room (what was missed comes from REST, or as a new snapshot).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.sources.coinbase.decode import Decoder, MalformedError
from connector_runner.sources.coinbase.messages import FeedError, Subscriptions
from connector_runner.sources.coinbase.rest import Pacer
from connector_runner.sources.coinbase.subscription import Credentials, Subscription

# A BTC-USD snapshot has more than the library's default of one MiB.
LARGEST_MESSAGE = 64 * 2**20
BUFFER_BYTES = 8 * 2**20
CONNECT_SECONDS = 10.0
ACKNOWLEDGE_SECONDS = 10.0
SILENCE_SECONDS = 10.0
"""Without any message for so long (heartbeats come every second), a connection counts as dead; found within 15 s."""
STUCK_SECONDS = 5.0
"""A full buffer that nobody takes from for so long: the connection is dropped by choice."""
STEADY_SECONDS = 2.0
"""A connection that lived for so long resets the backoff."""
BACKOFF_SECONDS = (0.2, 30.0)


@dataclass(frozen=True, slots=True)
class Began:
    """Stands in the buffer where a new connection's messages begin."""


BEGAN = Began()


class Judge(Protocol):
    """Turns an error message of the exchange into the error it means."""

    def __call__(self, error: FeedError) -> ConnectorError:
        """An error to be raised."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What all connections of a source share.

    Attributes:
        url: The feed.
        credentials: An API key or None.
        judge: See `Judge`.
        pacer: Spaces connection attempts; the exchange allows 8 a second an address.
        on_change: Called after a link went up (True) or down (False), with a sentence.
        wake: Set when there is something to drain.
        buffer_bytes: Of each link.
    """

    url: str
    credentials: Credentials | None
    judge: Judge
    pacer: Pacer
    on_change: Callable[[bool, str], None]
    wake: asyncio.Event
    buffer_bytes: int = BUFFER_BYTES


class FeedConnection(ClientConnection):
    """A websocket whose messages go straight to `on_payload`, without a task switch and a future for each."""

    on_payload: Callable[[bytes], None]
    _parts: list[bytes] | None = None

    def process_event(self, event: Event) -> None:
        """Called by the library for each frame in order; data frames end here, all others go on."""
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
        elif event.fin and self._parts is None:
            self.on_payload(bytes(event.data))
        else:
            self._parts = [*(self._parts or ()), bytes(event.data)]
            if event.fin:
                payload, self._parts = b"".join(self._parts), None
                self.on_payload(payload)


_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class Link:
    """One subscription on one connection after another.

    Attributes:
        subscription: What it asks for.
        items: Payloads in their order, each connection's preceded by `BEGAN`.
        is_up: Whether the present connection was acknowledged.
        failure: What a person must mend; the link has given up.
    """

    def __init__(self, subscription: Subscription, settings: LinkSettings) -> None:
        self.subscription = subscription
        self.items: deque[bytes | Began] = deque()
        self.is_up = False
        self.failure: ActionRequiredError | None = None
        self._settings = settings
        self._size = 0
        self._received = 0
        self._is_paused = False
        self._connection: FeedConnection | None = None
        self._early: list[bytes] | None = None
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._drop_reason = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connects for the first time and stays connected from then on.

        Raises:
            TransientError, ActionRequiredError: The first attempt failed.
        """
        await self._establish()
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Lets go; safe twice."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._task
            self._task = None
        await self._abandon()

    def drop(self, reason: str) -> None:
        """Gives this connection up; a new one follows."""
        if self._connection is not None and not self._drop_reason:
            self._drop_reason = reason
            _abort(self._connection)

    def take(self, limit: int) -> tuple[bool, list[bytes]]:
        """The next payloads, about `limit` bytes: (whether a connection begins with them, payloads)."""
        items, began, taken, size = self.items, False, [], 0
        if items and items[0] is BEGAN:
            items.popleft()
            began = True
        while items and size < limit:
            item = items[0]
            if item is BEGAN:
                break
            items.popleft()
            payload = cast("bytes", item)
            size += len(payload)
            taken.append(payload)
        self._size -= size
        if self._size <= self._settings.buffer_bytes // 2:
            self._room.set()
            if self._is_paused and self._connection is not None:
                self._is_paused = False
                self._connection.transport.resume_reading()
        return began, taken

    def _on_payload(self, payload: bytes) -> None:
        self._received += 1
        if self._early is not None:
            self._early.append(payload)
            self._arrived.set()
            return
        self.items.append(payload)
        self._size += len(payload)
        if not self._settings.wake.is_set():
            self._settings.wake.set()
        if self._size > self._settings.buffer_bytes and not self._is_paused and self._connection is not None:
            self._is_paused = True
            self._room.clear()
            self._connection.transport.pause_reading()

    async def _keep(self) -> None:
        delay, grow = BACKOFF_SECONDS[0], 2.0
        while True:
            began = time.monotonic()
            reason = await self._watch()
            await self._abandon()
            self._settings.on_change(False, reason)
            if time.monotonic() - began > STEADY_SECONDS:
                delay = BACKOFF_SECONDS[0]
            await self._wait_for_room()
            while not self.is_up:
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311
                delay = min(delay * grow, BACKOFF_SECONDS[1])
                try:
                    await self._establish()
                except TransientError as error:
                    await asyncio.sleep(min(error.retry_after or 0.0, 60.0))
                    self._settings.on_change(False, error.message)
                except ActionRequiredError as error:
                    self.failure = error
                    self._settings.wake.set()
                    return

    async def _wait_for_room(self) -> None:
        if self._size > self._settings.buffer_bytes // 2:
            self._room.clear()
            await self._room.wait()

    async def _establish(self) -> None:
        """One attempt: connect, subscribe, check the acknowledgement."""
        await self._settings.pacer.turn()
        self._early, self._drop_reason, self._is_paused = [], "", False
        self._arrived.clear()
        try:
            connection = await self._connect()
            credentials, timestamp = self._settings.credentials, str(int(time.time()))
            await connection.send(self.subscription.request(credentials, timestamp), text=True)
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                await self._acknowledged(connection)
        except BaseException as error:
            await self._abandon()
            raise _as_connector_error(error, self._settings.url) from None
        early, self._early = self._early, None
        self.is_up = True
        self.items.append(BEGAN)
        for payload in early:
            self._on_payload(payload)
        self._settings.wake.set()
        self._settings.on_change(True, "")

    async def _connect(self) -> FeedConnection:
        def create(*arguments: Any, **options: Any) -> FeedConnection:
            connection = FeedConnection(*arguments, **options)
            connection.on_payload = self._on_payload
            return connection

        self._connection = cast(
            "FeedConnection",
            await connect(
                self._settings.url,
                max_size=LARGEST_MESSAGE,
                open_timeout=CONNECT_SECONDS,
                close_timeout=1,
                ping_interval=None,  # heartbeats every second and the watch below see more than pings do
                create_connection=cast("type[ClientConnection]", create),
            ),
        )
        return self._connection

    async def _acknowledged(self, connection: FeedConnection) -> None:
        """Waits for the answer to the subscription; leaves what came beside it in `_early`."""
        decoder = Decoder(())
        others: list[bytes] = []
        closed = asyncio.create_task(connection.wait_closed())
        try:
            while True:
                arrived = asyncio.create_task(self._arrived.wait())
                try:
                    await asyncio.wait({arrived, closed}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    arrived.cancel()
                self._arrived.clear()
                pending, self._early = self._early or [], []
                for number, payload in enumerate(pending):
                    try:
                        message = decoder.decode(payload)
                    except MalformedError:
                        message = None
                    if isinstance(message, FeedError):
                        raise self._settings.judge(message)
                    if isinstance(message, Subscriptions):
                        self._check(message)
                        self._early = [*others, *pending[number + 1 :], *self._early]
                        return
                    others.append(payload)
                if closed.done():
                    raise TransientError(f"the feed closed the connection before it confirmed ({_closing(connection)})")
        finally:
            closed.cancel()

    def _check(self, acknowledgement: Subscriptions) -> None:
        if missing := self.subscription.unacknowledged(acknowledgement.channels):
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            raise TransientError(
                f"the exchange did not confirm {', '.join(missing[:10])}{more}; it is asked again",
                reason="NotAcknowledged",
            )

    async def _watch(self) -> str:
        """Returns, with the reason, when the connection is to be given up."""
        connection = self._connection
        if connection is None:
            return "not connected"
        closed = asyncio.create_task(connection.wait_closed())
        received, heard, size, moved = self._received, time.monotonic(), self._size, time.monotonic()
        try:
            while not self._drop_reason:
                await asyncio.wait({closed}, timeout=1.0)
                if closed.done():
                    return self._drop_reason or f"the feed closed the connection ({_closing(connection)})"
                now = time.monotonic()
                if self._received != received or self._is_paused:
                    received, heard = self._received, now
                if self._size < size or not self._is_paused:
                    moved = now
                size = self._size
                if now - heard >= SILENCE_SECONDS:
                    return f"the feed was silent for {SILENCE_SECONDS:.0f} s"
                if now - moved >= STUCK_SECONDS:
                    return "the dataset is slower than the feed"
            return self._drop_reason
        finally:
            closed.cancel()

    async def _abandon(self) -> None:
        self.is_up = False
        connection, self._connection = self._connection, None
        self._early = None
        if connection is not None:
            connection.on_payload = _ignore
            _abort(connection)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connection.wait_closed(), 1.0)


def _ignore(_: bytes) -> None:
    """What a connection that was given up still says."""


def _abort(connection: FeedConnection) -> None:
    connection.transport.abort()


def _closing(connection: FeedConnection) -> str:
    code = connection.close_code
    return f"code {code}{': ' + connection.close_reason if connection.close_reason else ''}"


def _as_connector_error(error: BaseException, url: str) -> BaseException:
    """What went wrong while connecting, in the project's terms."""
    if isinstance(error, InvalidStatus):
        status, after = error.response.status_code, error.response.headers.get("Retry-After", "")
        seconds = float(after) if after.isdigit() else (1.0 if status == 429 else None)
        return TransientError(f"{url} refused the connection with HTTP status {status}", retry_after=seconds)
    if isinstance(error, TimeoutError):
        return TransientError(f"{url} did not answer in time")
    if isinstance(error, InvalidHandshake | InvalidURI | WebSocketException | OSError | EOFError):
        return TransientError(f"{url} can't be reached: {error or type(error).__name__}")
    return error
