"""New heads as a wake-up.

Subscriptions skip heads, reorder them, repeat them and die; their content is never trusted. A head that arrives only means: poll
now. When none arrives, the caller's own interval passes. So a head is decoded as far as possible, and never rejected: web3.py's
formatter raises at the longer extraData of many chains.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

import msgspec

from connector_runner.protocols.source import Report
from connector_runner.resilience.backoff import backoff_delay
from connector_runner.sources.ethereum.decode.responses import Header, decode_header
from connector_runner.sources.ethereum.errors import MalformedAnswerError
from connector_runner.sources.ethereum.rpc.sockets import SocketTransport, build_transport
from connector_runner.sources.ethereum.rpc.transport import FIRST_BACKOFF
from connector_runner.sources.ethereum.settings import Endpoint

LONGEST_BACKOFF = 30.0
LIVE_SECONDS = 60.0
"""A subscription that lasted this long was healthy: the next one is made at once."""


class HeadSubscription:
    """A subscription to an endpoint's new heads, renewed when it breaks.

    Attributes:
        endpoint: The endpoint that announces the heads.
        latest: The last head that was announced and not yet returned.
    """

    def __init__(self, endpoint: Endpoint, report: Report) -> None:
        self.endpoint = endpoint
        self.latest: Header | None = None
        self._report = report
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run()) if endpoint.kind != "http" else None
        self.is_live = False

    async def wait(self, seconds: float) -> Header | None:
        """Waits until a head is announced or the time has passed; returns the head, if one was announced."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()
        latest, self.latest = self.latest, None
        return latest

    async def _run(self) -> None:
        attempt = 0
        while True:
            start = time.monotonic()
            try:
                await self._subscribe()
            except Exception as error:
                self._report.note(
                    "no subscription to new heads; asking for them instead",
                    why=self.endpoint.redact(f"{type(error).__name__}: {error}")[:300],
                )
            attempt = 0 if self.is_live and time.monotonic() - start > LIVE_SECONDS else attempt + 1
            self.is_live = False
            self._report.count("subscription_breaks")
            seconds = backoff_delay(attempt, FIRST_BACKOFF, LONGEST_BACKOFF, random.random())  # noqa: S311 - no secret
            await asyncio.sleep(seconds)

    async def _subscribe(self) -> None:
        transport = build_transport(self.endpoint)
        assert isinstance(transport, SocketTransport)  # noqa: S101 - other transports have no subscriptions
        transport.notice = self._announce
        try:
            await transport.connect()
            await transport.send([("eth_subscribe", ["newHeads"])])
            self.is_live = True
            self._report.note(f"subscribed to the new heads of {self.endpoint.shown}")
            self._news.set()  # poll once, for heads from before the subscription
            raise await transport.ended()
        finally:
            await transport.close()

    def _announce(self, params: msgspec.Raw) -> None:
        self.latest = announced_header(params)
        self._news.set()

    async def close(self) -> None:
        """Ends the subscription."""
        if self._task is not None:
            self._task.cancel()
            # A cancellation while waiting must not also interrupt the closing of the socket.
            await asyncio.shield(asyncio.gather(self._task, return_exceptions=True))


class _Notice(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")


_notice = msgspec.json.Decoder(_Notice)


def announced_header(params: bytes | msgspec.Raw) -> Header | None:
    """Decodes a notification's head as a header; None when members are missing (some chains announce few)."""
    try:
        found = decode_header(_notice.decode(params).result)
    except (msgspec.DecodeError, MalformedAnswerError):
        return None
    return found
