"""New heads as a wake-up, by web3.py's subscription.

Subscriptions skip heads, disorder them, repeat them and die; what they say is never taken for the truth. A head that arrives
only means: look now. When none arrives, the caller's own interval passes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from connector_runner.protocols.source import Report
from connector_runner.sources.ethereum.connection import build_web3
from connector_runner.sources.ethereum.decode.answers import Header
from connector_runner.sources.ethereum.pacing import backoff
from connector_runner.sources.ethereum.settings import Endpoint

LONGEST_BACKOFF = 30.0


class HeadFeed:
    """A subscription to an endpoint's new heads, renewed when it breaks.

    Attributes:
        endpoint: Whose heads they are.
        latest: The last head that was announced and not yet taken.
    """

    def __init__(self, endpoint: Endpoint, report: Report) -> None:
        self.endpoint = endpoint
        self.latest: Header | None = None
        self._report = report
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run()) if endpoint.kind != "http" else None
        self.is_live = False

    async def wait(self, seconds: float) -> Header | None:
        """Until a head is announced or the time has passed; the head, if one was."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()
        latest, self.latest = self.latest, None
        return latest

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                await self._subscribe()
            except Exception as error:
                self._report.note(
                    "no subscription to new heads; asking for them instead",
                    why=self.endpoint.redact(f"{type(error).__name__}: {error}")[:200],
                )
            attempt = 0 if self.is_live else attempt + 1
            self.is_live = False
            self._report.count("subscription_breaks")
            await asyncio.sleep(backoff(attempt, LONGEST_BACKOFF))

    async def _subscribe(self) -> None:
        w3 = await asyncio.to_thread(build_web3, self.endpoint)
        from web3.utils.subscriptions import NewHeadsSubscription

        async def announce(context: Any) -> None:
            self.latest = announced_header(context.result)
            self._news.set()

        async with w3:
            await w3.subscription_manager.subscribe(NewHeadsSubscription(handler=announce))
            self.is_live = True
            self._report.note(f"subscribed to the new heads of {self.endpoint.shown}")
            self._news.set()  # what came before the subscription is looked at, too
            await w3.subscription_manager.handle_subscriptions(run_forever=True)

    async def close(self) -> None:
        """Ends the subscription."""
        if self._task is not None:
            self._task.cancel()
            # Whoever is interrupted while waiting must not interrupt the closing of the socket, too.
            await asyncio.shield(asyncio.gather(self._task, return_exceptions=True))


def announced_header(head: Mapping[str, Any]) -> Header | None:
    """An announced head as a header, None when it lacks something (some chains announce little)."""
    try:
        return Header(head["number"], _hex(head["hash"]), _hex(head["parentHash"]), head["timestamp"], None)
    except (KeyError, TypeError, AttributeError):
        return None


def _hex(value: Any) -> str:
    return f"0x{bytes(value).hex()}"
