"""The queue of keys: one worker at a time per key, first the keys that a person waits for, with delays.

A key that is added during its visit is visited once more afterwards; a key that is added many times, once.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from enum import IntEnum

from connector_operator.engine.fair_queue import FairQueue, Key


class Priority(IntEnum):
    """Who waits for the visit; lower values come first."""

    PERSON = 0
    CLUSTER = 1
    RESYNC = 2


_FROM_THE_BACK = 8
"""Every eighth visit serves the lowest priority first, so that it is never starved."""


class WorkQueue:
    """Not thread-safe: for one event loop."""

    def __init__(self) -> None:
        self._lines = {priority: FairQueue() for priority in Priority}
        self._active: set[Key] = set()
        self._again: dict[Key, Priority] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakeup = asyncio.Event()
        self._count = 0

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def oldest_age(self) -> float:
        """Seconds that the oldest key has waited for a worker; 0 if none waits."""
        oldest = min((at for line in self._lines.values() if (at := line.oldest) is not None), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    def add(self, key: Key, priority: Priority = Priority.CLUSTER, delay: float = 0) -> None:
        """Requests a visit after `delay` seconds; of several the earliest time and the highest priority count."""
        if delay > 0:
            self._add_later(key, delay)
            return
        if key in self._active:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        since = time.monotonic()
        for other, line in self._lines.items():
            if key in line:
                if other <= priority:
                    return
                since = line.discard(key) or since
        self._lines[priority].push(key, since)
        self._wakeup.set()

    def _add_later(self, key: Key, delay: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        if self._due.get(key, when + 1) <= when:
            return
        self._due[key] = when
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, key))
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._ring)

    def _ring(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:  # otherwise an earlier visit replaced it
                del self._due[key]
                self.add(key, Priority.CLUSTER)
        self._set_timer()

    async def get(self) -> Key:
        """The next key; the caller must call `done` with it."""
        while not len(self):
            self._wakeup.clear()
            await self._wakeup.wait()
        self._count += 1
        order = reversed(Priority) if self._count % _FROM_THE_BACK == 0 else Priority
        line = next(self._lines[priority] for priority in order if len(self._lines[priority]))
        key = line.pop()
        self._active.add(key)
        return key

    def done(self, key: Key) -> None:
        """Ends a visit; if the key was added in the meantime, it is queued again."""
        self._active.discard(key)
        priority = self._again.pop(key, None)
        if priority is not None:
            self.add(key, priority)
