"""One connection to the feed that restores itself: connects, subscribes, checks the acknowledgement, watches for silence.

Payloads go from the socket into a bounded buffer that the source drains; nothing is decoded here. While the buffer is
full, the socket is not read. If it stays full, the session drops the connection itself, before the exchange or a lack of memory
does, and connects again when there is room (what was missed comes from REST, or as a new snapshot).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from connector_runner.protocols.errors import ConnectorError, TransientError
from connector_runner.resilience.backoff import Backoff
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.sources.coinbase.decode.decoder import Decoder, MalformedError
from connector_runner.sources.coinbase.decode.messages import FeedError, Subscriptions
from connector_runner.sources.coinbase.errors import ProductsChangedError
from connector_runner.sources.coinbase.feed.connection import (
    FeedConnection,
    as_connector_error,
    glimpse,
    open_connection,
)
from connector_runner.sources.coinbase.feed.subscription import Subscription
from connector_runner.sources.coinbase.settings import RETRY_JITTER, Credentials

BUFFER_BYTES = 8 * 2**20
ACKNOWLEDGE_SECONDS = 10.0
SILENCE_SECONDS = 10.0
"""After this many seconds without a message (heartbeats come every second), a connection is dead; detected within 15 s."""
STUCK_SECONDS = 5.0
"""If the source takes nothing from a full buffer for this many seconds, the session drops the connection itself."""
STEADY_SECONDS = 2.0
"""A connection that lasted for this many seconds resets the backoff."""
BACKOFF_SECONDS = (0.2, 30.0)


@dataclass(frozen=True, slots=True)
class Began:
    """Marks in the buffer where a new connection's messages begin."""


BEGAN = Began()


class Interpret(Protocol):
    """Turns an error message of the exchange into the matching error."""

    def __call__(self, error: FeedError) -> ConnectorError:
        """The error to raise."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What all connections of a source share.

    Attributes:
        url: The feed.
        credentials: An API key or None.
        interpret: See `Interpret`.
        limit: Spaces connection attempts; the exchange allows 8 per second for each address.
        on_change: Called after a session has gone up (True) or down (False), with a sentence.
        wake: Set when there is something to drain.
        buffer_bytes: The size of each session's buffer.
    """

    url: str
    credentials: Credentials | None
    interpret: Interpret
    limit: RateLimit
    on_change: Callable[[bool, str], None]
    wake: asyncio.Event
    buffer_bytes: int = BUFFER_BYTES


class FeedSession:
    """One subscription on one connection after another.

    Attributes:
        subscription: What it subscribes to.
        items: Payloads in order; those of each connection come after a `BEGAN`.
        is_up: Whether the current connection was acknowledged.
        failure: Why the session has given up: a person must act, the products have changed, or an unexpected error.
    """

    def __init__(self, subscription: Subscription, settings: SessionSettings) -> None:
        self.subscription = subscription
        self.items: deque[bytes | Began] = deque()
        self.is_up = False
        self.failure: Exception | None = None
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
        """Closes the connection; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._task
            self._task = None
        await self._abandon()

    def drop(self, reason: str) -> None:
        """Drops this connection; a new one follows."""
        if self._connection is not None and not self._drop_reason:
            self._drop_reason = reason
            self._connection.abort()

    def take(self, limit: int) -> tuple[bool, list[bytes]]:
        """The next payloads, about `limit` bytes: (whether a new connection begins with them, payloads)."""
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
        """Stays connected. The error that ends this goes into `failure`: a session that is down must not go unnoticed."""
        try:
            await self._stay_connected()
        except Exception as error:
            self.failure = error
            self._settings.wake.set()

    async def _stay_connected(self) -> None:
        backoff = Backoff(random.random, *BACKOFF_SECONDS, RETRY_JITTER)
        while True:
            began = time.monotonic()
            reason = await self._watch()
            await self._abandon()
            self._settings.on_change(False, reason)
            if time.monotonic() - began > STEADY_SECONDS:
                backoff.reset()
            await self._wait_for_room()
            while not self.is_up:
                await asyncio.sleep(backoff.next_delay())
                try:
                    await self._establish()
                except ProductsChangedError:
                    raise
                except TransientError as error:
                    await asyncio.sleep(min(error.retry_after or 0.0, 60.0))
                    self._settings.on_change(False, error.message)

    async def _wait_for_room(self) -> None:
        if self._size > self._settings.buffer_bytes // 2:
            self._room.clear()
            await self._room.wait()

    async def _establish(self) -> None:
        """One attempt: connect, subscribe, check the acknowledgement."""
        if (delay := self._settings.limit.reserve(time.monotonic())) > 0:
            await asyncio.sleep(delay)
        self._early, self._drop_reason, self._is_paused = [], "", False
        self._arrived.clear()
        try:
            connection = self._connection = await open_connection(self._settings.url, self._on_payload)
            credentials, timestamp = self._settings.credentials, str(int(time.time()))
            await connection.send(self.subscription.request(credentials, timestamp), text=True)
            others: list[bytes] = []
            try:
                async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                    await self._acknowledged(connection, others)
            except TimeoutError:
                said = f"; it said {glimpse(others[0])}" if others else ""
                raise TransientError(
                    f"{self._settings.url} did not answer in time: the subscription was not confirmed{said}"
                ) from None
        except BaseException as error:
            await self._abandon()
            raise as_connector_error(error, self._settings.url) from None
        early, self._early = self._early, None
        self.is_up = True
        self.items.append(BEGAN)
        for payload in early:
            self._on_payload(payload)
        self._settings.wake.set()
        self._settings.on_change(True, "")

    async def _acknowledged(self, connection: FeedConnection, others: list[bytes]) -> None:
        """Waits for the answer to the subscription; until then other messages are kept in `others`, afterwards in `_early`."""
        decoder = Decoder(())
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
                    except MalformedError as error:
                        what = f"with something that is not a message of the feed: {glimpse(payload)} ({error})"
                        text = f"{self._settings.url} answered the subscription {what}; is it the Exchange's websocket feed?"
                        raise TransientError(text, reason="NotAcknowledged") from None
                    if isinstance(message, FeedError):
                        raise self._settings.interpret(message)
                    if isinstance(message, Subscriptions):
                        self._check(message)
                        self._early = [*others, *pending[number + 1 :], *self._early]
                        return
                    others.append(payload)
                if closed.done():
                    raise TransientError(f"the feed closed the connection before it confirmed ({connection.farewell})")
        finally:
            closed.cancel()

    def _check(self, acknowledgement: Subscriptions) -> None:
        if missing := self.subscription.unacknowledged(acknowledgement.channels):
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            raise TransientError(
                f"the exchange did not confirm {', '.join(missing[:10])}{more}; asking again",
                reason="NotAcknowledged",
            )

    async def _watch(self) -> str:
        """Returns when the connection must be dropped, with the reason."""
        connection = self._connection
        if connection is None:
            return "not connected"
        closed = asyncio.create_task(connection.wait_closed())
        received, heard, size, moved = self._received, time.monotonic(), self._size, time.monotonic()
        try:
            while not self._drop_reason:
                await asyncio.wait({closed}, timeout=1.0)
                if closed.done():
                    return self._drop_reason or f"the feed closed the connection ({connection.farewell})"
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
            await connection.abandon()
