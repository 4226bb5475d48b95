"""A limit on requests per second."""

from __future__ import annotations

import math


class RateLimit:
    """Spaces requests evenly; after a pause a burst is allowed (a token bucket, stored as the time at which it is full).

    Args:
        per_second: Requests per second in the long run; None for no limit.
        burst_seconds: The size of a burst after a pause, in seconds' worth of requests.
    """

    def __init__(self, per_second: float | None, burst_seconds: float = 0.25) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._burst = burst_seconds
        self._free_at = -math.inf

    def reserve(self, now: float, amount: int = 1) -> float:
        """Reserves `amount` requests and returns how many seconds to wait before sending them (0: none).

        Args:
            now: Seconds of a monotonic clock.
            amount: The number of requests that are sent together.
        """
        if not self._gap:
            return 0.0
        self._free_at = max(self._free_at, now - self._burst) + amount * self._gap
        return max(0.0, self._free_at - now)
