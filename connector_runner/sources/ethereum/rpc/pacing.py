"""How fast to ask: a rate limit, and waits between tries. Pure."""

from __future__ import annotations

import random


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


def backoff(attempt: int, cap: float) -> float:
    """Seconds to wait after failure number `attempt` (from 0): doubling from 0.1 s, with jitter, capped."""
    return float(min(cap, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
