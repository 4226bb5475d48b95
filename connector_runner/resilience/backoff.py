"""How long to wait before the next try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

UPPER_HALF = (0.5, 1.0)
"""The usual jitter: a delay is drawn from its upper half."""
_MOST_DOUBLINGS = 64


def backoff_delay(
    attempt: int, first: float, longest: float, chance: float, jitter: tuple[float, float] = UPPER_HALF
) -> float:
    """Seconds to wait after failure number `attempt` (from 0).

    Args:
        attempt: How many consecutive failures came before this one.
        first: Seconds after the first failure, before jitter.
        longest: Cap in seconds, before jitter.
        chance: A number from 0 to 1 that selects a value within the jitter.
        jitter: Least and greatest factor.
    """
    least, greatest = jitter
    delay = min(longest, first * 2.0 ** min(attempt, _MOST_DOUBLINGS))
    return delay * (least + (greatest - least) * chance)


@dataclass
class Backoff:
    """Doubling delays with jitter, capped; reset by success.

    Attributes:
        random: Returns numbers from 0 to 1.
        first: Seconds before the second try, before jitter.
        longest: Cap in seconds, before jitter.
        jitter: Least and greatest factor.
        attempts: Consecutive failures so far.
    """

    random: Callable[[], float]
    first: float = 0.25
    longest: float = 30.0
    jitter: tuple[float, float] = UPPER_HALF
    attempts: int = 0

    def next_delay(self, at_least: float | None = None) -> float:
        """Seconds to wait now; `at_least` is the time that the server asked for (not capped)."""
        delay = backoff_delay(self.attempts, self.first, self.longest, self.random(), self.jitter)
        self.attempts += 1
        return delay if at_least is None else max(delay, at_least)

    def reset(self) -> None:
        """Called when an attempt succeeded."""
        self.attempts = 0
