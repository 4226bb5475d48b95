"""How much and how fast to ask: ranges that tune themselves, a rate limit, and a read-ahead bounded in bytes. Pure."""

from __future__ import annotations

import random

FIRST_RANGE = 16
"""Blocks of the first log query: how much is in them is not known before."""
RANGE_BYTES = 4_000_000
"""How large the answer to a log query should be at most."""
GROW_AFTER = 10
"""Answers in a row after which a larger range is tried."""
READ_AHEAD_BYTES = 12_000_000
"""Answers that may wait for their turn; decoded rows take about three times as much."""
MOST_AHEAD = 16
"""Pieces that may be asked for at once."""


class RangeTuner:
    """How many blocks a log query covers: doubled from a few until something limits it, then grown by a quarter now and then.

    It is limited by what the provider refuses (what it suggests, else half), and by the bytes of answers.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.size = min(maximum, FIRST_RANGE)
        self._is_limited = False
        self._successes = 0

    def shrink(self, asked: int, suggested: int | None = None) -> None:
        """A query of `asked` blocks was too much; several such answers at once count as one."""
        wanted = suggested if suggested is not None and 0 < suggested < asked else asked // 2
        self.size = max(1, min(self.size, wanted))
        self._is_limited = True
        self._successes = 0

    def answered(self, asked: int, size: int) -> None:
        """A query of `asked` blocks was answered with `size` bytes."""
        if size > RANGE_BYTES:
            self.shrink(asked, asked * RANGE_BYTES // size)
        elif asked >= self.size and 2 * size <= RANGE_BYTES:
            self._successes += 1
            if not self._is_limited:
                self.size = min(self.maximum, 2 * asked)
            elif self._successes >= GROW_AFTER:
                self.size = min(self.maximum, self.size + max(1, self.size // 4))
                self._successes = 0


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
