"""How every reader is timed: from the arrival of a segment's first rows (which don't count) to that of its last."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence


class Stopwatch:
    """Counts rows against segments of so many rows each.

    Args:
        segments: Rows of each segment, in the order in which they arrive.

    Attributes:
        figures: Of each segment that is complete: rows, seconds, and seconds of processor time of this process.
    """

    def __init__(self, segments: Sequence[int]) -> None:
        self.figures: list[dict[str, float]] = []
        self._segments = segments
        self._seen = 0
        self._start(0)

    def take(self, rows: int) -> bool:
        """More rows have arrived; returns whether those were the last that are wanted."""
        if not self._seen:
            self._start(rows)
        self._seen += rows
        wanted = self._segments[len(self.figures)]
        if self._seen < wanted:
            return False
        now, used = time.perf_counter() - self._began, time.process_time() - self._processor
        self.figures.append({"rows": wanted - self._first, "seconds": now, "processor": used})
        self._seen -= wanted
        self._start(self._seen)
        return len(self.figures) == len(self._segments)

    def tell(self) -> None:
        """Prints the figures as one line of JSON."""
        print(json.dumps(self.figures), flush=True)

    def _start(self, rows: int) -> None:
        self._first = rows
        self._began, self._processor = time.perf_counter(), time.process_time()
