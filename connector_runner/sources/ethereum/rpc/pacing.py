"""How fast to ask: a rate limit, and a read-ahead bounded in bytes. Pure."""

from __future__ import annotations

import random

READ_AHEAD_BYTES = 12_000_000
"""Answers that may wait for their turn; decoded rows take about three times as much."""
MOST_AHEAD = 16
"""Pieces that may be asked for at once."""


class RateLimit:
    """Spaces requests evenly, with a burst of a quarter of a second."""

    def __init__(self, per_second: int | None) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._burst = 0.25
        self._free_at = 0.0

    def reserve(self, now: float, amount: int = 1) -> float:
        """Takes `amount` requests' worth of time and says how many seconds to wait before sending them."""
        self._free_at = max(self._free_at, now - self._burst) + amount * self._gap
        return max(0.0, self._free_at - now if self._gap else 0.0)


class ReadAhead:
    """How many pieces to have in flight, from the size of those that came: one at first, at most twice as many after each."""

    def __init__(self) -> None:
        self._average = 1.0
        self._most = 1

    def arrived(self, size: int) -> None:
        """A piece of so many bytes came; larger ones count at once, smaller ones slowly."""
        self._average = max(1.0, float(size) if size > self._average else self._average * 0.9 + size * 0.1)
        self._most = min(MOST_AHEAD, 2 * self._most)

    @property
    def pieces(self) -> int:
        """1 … `MOST_AHEAD`."""
        return max(1, min(self._most, int(READ_AHEAD_BYTES / self._average)))


def backoff(attempt: int, cap: float) -> float:
    """Seconds to wait after failure number `attempt` (from 0): doubling from 0.1 s, with jitter, capped."""
    return float(min(cap, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
