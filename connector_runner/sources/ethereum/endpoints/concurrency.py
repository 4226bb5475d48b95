"""Lets only so many requests through at a time, as an endpoint's limits say, which change on the way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connector_runner.sources.ethereum.endpoints.limits import ConcurrencyLimit


class AdaptiveSemaphore:
    """A semaphore whose size may change."""

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self._limit = limit
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._has_room = asyncio.Event()
        self._has_room.set()

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[int]:
        """While inside, one request counts; gives how many are inside with it."""
        while self._inside >= self._limit.size:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # whose turn it was leaves it to the next
                    self._wake()
                raise
            finally:
                if turn in self._waiting:
                    self._waiting.remove(turn)
        self._inside += 1
        if self._inside >= self._limit.size:
            self._has_room.clear()
        try:
            yield self._inside
        finally:
            self._inside -= 1
            self._wake()

    async def room(self) -> None:
        """Until one more would be let through; it is not reserved."""
        await self._has_room.wait()

    def _wake(self) -> None:
        """As many as there is room for; each looks again."""
        room = self._limit.size - self._inside
        if room > 0:
            self._has_room.set()
        while self._waiting and room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1
