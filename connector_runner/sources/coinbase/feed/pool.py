"""All connections of one source: started together, without the products that the feed refuses, and let go together.

With `*` one product that REST lists as online but the feed refuses must not keep all others out: it is left out, told, and
tried again from time to time. Where the feed does not say which product it means, halves are asked for until it is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError
from connector_runner.sources.coinbase.errors import ProductsRefusedError
from connector_runner.sources.coinbase.feed.session import FeedSession, SessionSettings
from connector_runner.sources.coinbase.feed.subscription import Subscription


@dataclass
class SessionPool:
    """The connections.

    Attributes:
        up: Those that were started.
        refused: Products that were left out, each with what the feed said.
    """

    up: list[FeedSession] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    async def start(self, subscriptions: Sequence[Subscription], settings: SessionSettings) -> None:
        """Connects all.

        Raises:
            ConnectorError: What a person must mend, or else the first that failed; also when the feed refuses every product.
        """
        starting = [asyncio.create_task(self._start(subscription, settings)) for subscription in subscriptions]
        try:
            done, _ = await asyncio.wait(starting, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in starting:
                task.cancel()
            results = await asyncio.gather(*starting, return_exceptions=True)
        failures = [error for error in results if isinstance(error, ConnectorError)]
        if failures:
            raise next((error for error in failures if isinstance(error, ActionRequiredError)), failures[0])
        for task in done:
            task.result()
        if not self.up and self.refused:
            product, text = next(iter(self.refused.items()))
            raise ProductsRefusedError(f"the feed refuses every product, the first ({product}) with: {text}", ())

    async def stop(self) -> None:
        """Lets go of all; safe twice."""
        sessions, self.up = self.up, []
        await asyncio.gather(*(session.stop() for session in sessions))

    async def _start(self, subscription: Subscription, settings: SessionSettings) -> None:
        """One connection, or what is left of it without the products that are refused."""
        session = FeedSession(subscription, settings)
        self.up.append(session)
        try:
            await session.start()
        except ProductsRefusedError as error:
            await session.stop()
            self.up.remove(session)
            for rest in self._without(subscription, error):
                await self._start(rest, settings)

    def _without(self, subscription: Subscription, error: ProductsRefusedError) -> Iterable[Subscription]:
        """What is to be asked for instead: all but the named products, or two halves where none was named."""
        products = subscription.products
        bad = set(error.products).intersection(products) or ({*products} if len(products) <= 1 else set())
        if bad:
            self.refused.update(dict.fromkeys(sorted(bad), error.message))
            parts: Sequence[Sequence[str]] = ([product for product in products if product not in bad],)
        else:
            parts = (products[: len(products) // 2], products[len(products) // 2 :])
        return [subscription.only(part) for part in parts if part]


async def is_accepted(subscription: Subscription, settings: SessionSettings) -> bool:
    """Whether the feed takes a subscription now; the connection is let go again."""
    session = FeedSession(subscription, settings)
    try:
        await session.start()
    except ConnectorError:
        return False
    finally:
        await session.stop()
    return True
