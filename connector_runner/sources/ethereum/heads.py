"""Waits for the head of the chain: is told of new blocks, or asks; and leaves an endpoint that lags behind another one."""

from __future__ import annotations

import time
from collections import deque

from connector_runner.protocols.source import Report
from connector_runner.sources.ethereum.chain import median_interval
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.endpoints.pool import EndpointPool
from connector_runner.sources.ethereum.rpc.subscription import HeadSubscription

STALL_SECONDS = 30.0
"""How long the head may stay the same before the fallbacks are asked whether they are ahead."""
COMPARE_SECONDS, MOST_BEHIND = 120.0, 5
"""How often the fallbacks are asked while the head moves, and how many blocks ahead one must be to replace the endpoint."""


class HeadWatch:
    """The newest blocks, as they are announced and as they arrive."""

    def __init__(self, pool: EndpointPool, report: Report) -> None:
        self._pool = pool
        self._report = report
        self._subscription: HeadSubscription | None = None
        self._announced: Header | None = None
        self._moved_at = self._compared_at = time.monotonic()
        self._times: deque[int] = deque(maxlen=16)

    def take_announced(self) -> Header | None:
        """The block that was announced since the last call."""
        announced, self._announced = self._announced, None
        return announced

    def moved(self, seconds: int | None) -> None:
        """Blocks have arrived; `seconds`: the time of the newest one if it was read by itself, at the head."""
        self._moved_at = time.monotonic()
        if seconds is not None:
            self._times.append(seconds)

    async def wait(self) -> None:
        """Waits until a new head is announced, or it is time to ask."""
        if self._subscription is None or self._subscription.endpoint is not self._pool.endpoint:
            await self.close()
            self._subscription = HeadSubscription(self._pool.endpoint, self._report)
        interval = median_interval(list(self._times), 1.0)
        seconds = min(30.0, max(2.0, 2 * interval)) if self._subscription.is_live else min(3.0, max(0.2, interval / 4))
        self._announced = await self._subscription.wait(seconds)
        if self._pool.count > 1:
            await self._compare(5 * interval)

    async def _compare(self, longest: float) -> None:
        """Leaves an endpoint that lags behind another one; `longest`: how long without a new block is usual, in seconds."""
        now = time.monotonic()
        is_standing = now - self._moved_at > max(STALL_SECONDS, longest)
        if now - self._compared_at > (STALL_SECONDS if is_standing else COMPARE_SECONDS):
            self._compared_at = now
            await self._pool.leave_if_behind(1 if is_standing else MOST_BEHIND)

    async def close(self) -> None:
        """Ends the subscription; safe to call twice."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()
