"""A chain whose newest block stays the same for long: no error by itself, but something that a person should know. Pure."""

from __future__ import annotations

from dataclasses import dataclass

STANDSTILL_SECONDS = 900.0
"""Far longer than the time between the blocks of any chain that makes them at a steady pace, and than an epoch of finality (6.4 min)."""


@dataclass
class Standstill:
    """Since when the newest block is the same, and when that is to be reported: after `STANDSTILL_SECONDS`, then each time twice as long.

    Attributes:
        since: When it was first seen, None: none was.
    """

    since: float | None = None
    _block: str = ""
    _next: float = 0.0

    def observe(self, block: str, now: float) -> float | None:
        """The newest block was seen, by its hash; the seconds that it stands still for, where that is to be reported now."""
        if self.since is None or block != self._block:
            self.since, self._block, self._next = now, block, STANDSTILL_SECONDS
            return None
        if (seconds := now - self.since) < self._next:
            return None
        self._next = 2 * seconds
        return seconds


def explain_standstill(endpoint: str, finality: object, block: int, seconds: float) -> str:
    """What a person should know: it is legitimate on a chain without transactions."""
    return (
        f"the newest block of {endpoint} by finality {finality} is {block} for {seconds:.0f} s: either the chain makes no blocks, or "
        "this node does not follow it; compare it with another node, and set fallbackUrls to have that done by itself"
    )
