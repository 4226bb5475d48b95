"""Limits the number of requests in flight to an endpoint's limit, which may change at any time."""

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
        """Counts one request while the context is entered; yields how many requests are inside, including it."""
        while self._inside >= self._limit.size:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # pass the turn to the next waiter
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
        """Waits until another request may enter; does not reserve it."""
        await self._has_room.wait()

    def _wake(self) -> None:
        """Wakes as many waiters as there is room for; each checks the limit again."""
        room = self._limit.size - self._inside
        if room > 0:
            self._has_room.set()
        while self._waiting and room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1
