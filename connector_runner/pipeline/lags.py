"""How far each stream of a selection is behind the source, while it has rows."""

from __future__ import annotations

import heapq

RECENT_SECONDS = 60.0
"""A stream without a commit for so long has nothing new, or fails: its last lag says nothing of now."""


class StreamLags:
    """The lag of each stream at its last commit of rows."""

    def __init__(self) -> None:
        self._lags: dict[str, tuple[float, float]] = {}

    def put(self, stream: str, seconds: float, now: float) -> None:
        """Rows of a stream were committed, so many seconds after the source had them; `now` in seconds from any start."""
        self._lags[stream] = (seconds, now)

    def recent(self, now: float) -> dict[str, float]:
        """Stream → seconds, of streams that had rows lately."""
        self._lags = {s: (lag, at) for s, (lag, at) in self._lags.items() if now - at <= RECENT_SECONDS}
        return {stream: lag for stream, (lag, _) in self._lags.items()}

    def worst(self, now: float, count: int) -> list[tuple[str, float]]:
        """The streams that are furthest behind."""
        return heapq.nlargest(count, self.recent(now).items(), key=lambda item: item[1])
