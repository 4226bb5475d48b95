"""How long to wait before the next try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubling delays with full jitter in their upper half, capped; reset by success.

    Attributes:
        random: Gives numbers from 0 to 1.
        first: Seconds before the second try, before jitter.
        longest: Cap in seconds.
    """

    random: Callable[[], float]
    first: float = 0.25
    longest: float = 30.0
    attempts: int = 0

    def next_delay(self, at_least: float | None = None) -> float:
        """Seconds to wait now; `at_least` is what the other side asked for (not capped)."""
        delay = min(self.longest, self.first * 2.0 ** min(self.attempts, 30))
        self.attempts += 1
        delay *= 0.5 + self.random() / 2
        return delay if at_least is None else max(delay, at_least)

    def reset(self) -> None:
        """A try succeeded."""
        self.attempts = 0
