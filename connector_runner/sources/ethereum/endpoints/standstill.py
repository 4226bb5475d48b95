"""Detects a newest block that stays the same for long: not an error by itself, but something to report. Pure."""

from __future__ import annotations

from dataclasses import dataclass

STANDSTILL_SECONDS = 900.0
"""Far longer than the block interval of any chain with a steady pace, and than an epoch of finality (6.4 min)."""


@dataclass
class Standstill:
    """How long the newest block has been the same; reported after `STANDSTILL_SECONDS`, then after twice the time, and so on.

    Attributes:
        since: When the block was first seen; None: no block was seen.
    """

    since: float | None = None
    _block: str = ""
    _next: float = 0.0

    def observe(self, block: str, now: float) -> float | None:
        """Records the newest block's hash; returns for how many seconds it has been the same, if this is to be reported now."""
        if self.since is None or block != self._block:
            self.since, self._block, self._next = now, block, STANDSTILL_SECONDS
            return None
        if (seconds := now - self.since) < self._next:
            return None
        self._next = 2 * seconds
        return seconds


def explain_standstill(endpoint: str, finality: object, block: int, seconds: float) -> str:
    """Explains the standstill to people: it is legitimate on a chain without transactions."""
    return (
        f"the newest block of {endpoint} by finality {finality} is {block} for {seconds:.0f} s: either the chain makes no blocks, or "
        "this node does not follow it; compare it with another node, and set fallbackUrls to have that done by itself"
    )
