"""At most so many requests a second."""

from __future__ import annotations

import math


class RateLimit:
    """Spaces requests evenly; after a pause some may go at once (a token bucket, kept as the time when it is full).

    Args:
        per_second: Requests a second in the long run; None: no limit.
        burst_seconds: How many seconds' worth of requests may go at once after a pause.
    """

    def __init__(self, per_second: float | None, burst_seconds: float = 0.25) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._burst = burst_seconds
        self._free_at = -math.inf

    def reserve(self, now: float, amount: int = 1) -> float:
        """Takes `amount` requests' worth of time and says how many seconds to wait before sending them (0: none).

        Args:
            now: Seconds of a monotonic clock.
            amount: Requests that are sent together.
        """
        if not self._gap:
            return 0.0
        self._free_at = max(self._free_at, now - self._burst) + amount * self._gap
        return max(0.0, self._free_at - now)
