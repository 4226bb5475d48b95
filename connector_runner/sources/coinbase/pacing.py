"""When to try: calls inside a limit, and tries after failures."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator


class Pacer:
    """Spaces calls evenly: at most `rate` a second, a few at once after a pause."""

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1 / rate
        self._slack = burst * self._interval
        self._next = 0.0

    async def turn(self) -> None:
        """Waits for one's turn."""
        now = time.monotonic()
        self._next = max(self._next, now - self._slack) + self._interval
        if (delay := self._next - now) > 0:
            await asyncio.sleep(delay)


def backoff(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait before each further try: doubling up to `longest`, each with up to half of it more or less."""
    delay = first
    while True:
        yield delay * random.uniform(0.5, 1.5)  # noqa: S311
        delay = min(delay * 2, longest)
