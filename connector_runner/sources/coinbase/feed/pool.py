"""All connections of one source: started together, without the products that the feed refuses, and stopped together.

With `*`, one product that REST lists as online but the feed refuses must not block all others: it is left out, reported, and
tried again at intervals. If the feed does not say which product it means, the products are halved until it is found. If the
connection has several streams and not all of them are refused for the product, each gets a connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError
from connector_runner.sources.coinbase.errors import ProductsRefusedError
from connector_runner.sources.coinbase.feed.session import FeedSession, SessionSettings
from connector_runner.sources.coinbase.feed.subscription import Subscription


@dataclass
class SessionPool:
    """The connections.

    Attributes:
        up: The connections that were started.
        refused: (stream, product) that were left out, each with the error of the feed.
    """

    up: list[FeedSession] = field(default_factory=list)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)

    async def start(self, subscriptions: Sequence[Subscription], settings: SessionSettings) -> None:
        """Connects all.

        Raises:
            ConnectorError: An error that a person must fix, or else the first one; also if the feed refuses every product.
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
            (_, product), text = next(iter(self.refused.items()))
            raise ProductsRefusedError(f"the feed refuses every product, the first ({product}) with: {text}", ())

    async def stop(self) -> None:
        """Stops all connections; safe to call twice."""
        sessions, self.up = self.up, []
        await asyncio.gather(*(session.stop() for session in sessions))

    async def _start(self, subscription: Subscription, settings: SessionSettings) -> None:
        """Starts one connection; if products are refused, starts it again without them."""
        session = FeedSession(subscription, settings)
        self.up.append(session)
        try:
            await session.start()
        except ProductsRefusedError as error:
            await session.stop()
            self.up.remove(session)
            for rest in await self._without(subscription, error, settings):
                await self._start(rest, settings)

    async def _without(
        self, subscription: Subscription, error: ProductsRefusedError, settings: SessionSettings
    ) -> Iterable[Subscription]:
        """What to request instead: all but the named products, or two halves if none was named."""
        products = subscription.products
        bad = set(error.products).intersection(products) or ({*products} if len(products) <= 1 else set())
        if bad:
            if len(subscription.streams) > 1:
                bad = await refused_for_all(sorted(bad), settings)
                if not bad:
                    return subscription.apart()
            for stream in subscription.streams:
                self.refused.update(dict.fromkeys(((stream, product) for product in sorted(bad)), error.message))
            parts: Sequence[Sequence[str]] = ([product for product in products if product not in bad],)
        else:
            parts = (products[: len(products) // 2], products[len(products) // 2 :])
        return [subscription.only(part) for part in parts if part]


async def refused_for_all(products: Sequence[str], settings: SessionSettings) -> set[str]:
    """Some of these products, those whose heartbeats the feed refuses too; empty if it refuses only some of their channels.

    Raises:
        ConnectorError: This can't be found out now.
    """
    try:
        await _try(Subscription({"heartbeat": tuple(products)}), settings)
    except ProductsRefusedError as error:
        return set(error.products).intersection(products) or (set(products) if len(products) == 1 else set())
    return set()


async def is_accepted(subscription: Subscription, settings: SessionSettings) -> bool:
    """Whether the feed accepts a subscription now; the connection is closed again."""
    try:
        await _try(subscription, settings)
    except ConnectorError:
        return False
    return True


async def _try(subscription: Subscription, settings: SessionSettings) -> None:
    session = FeedSession(subscription, replace(settings, on_change=lambda *_: None, wake=asyncio.Event()))
    try:
        await session.start()
    finally:
        await session.stop()
