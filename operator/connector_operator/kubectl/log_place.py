"""Up to where a log was read, so that a read that goes on elsewhere loses no line and repeats none. Pure."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d) ")
_KEPT_SECONDS = 2
"""An API server begins at a whole second; of two writers of one log, the later time may come first."""


class LogPlace:
    """The place in the log of one container, whose lines begin with their times."""

    def __init__(self) -> None:
        self._seen: dict[int, Counter[str]] = {}
        self._begin: dict[int, str] = {}
        self._again: Counter[str] = Counter()

    @property
    def since(self) -> str:
        """From when on a read has to begin; "" for the beginning of the log."""
        return self._begin[min(self._begin)] if self._begin else ""

    def begin(self) -> None:
        """A read begins at `since`: lines that were seen after that come again."""
        self._again = sum(self._seen.values(), Counter())

    def take(self, line: str) -> str | None:
        """The line without its time; None if it was taken before. What has no time did not come from the container, and is as it is."""
        found = _STAMP.match(line)
        if found is None:
            return line
        if self._again[line]:
            self._again[line] -= 1
            return None
        begin = f"{found[1]}{found[2]}"
        self._keep(int(datetime.fromisoformat(begin).timestamp()), begin, line)
        return line[found.end() :]

    def _keep(self, second: int, begin: str, line: str) -> None:
        self._seen.setdefault(second, Counter())[line] += 1
        self._begin.setdefault(second, begin)
        oldest = max(self._seen) - _KEPT_SECONDS + 1
        for gone in [each for each in self._seen if each < oldest]:
            del self._seen[gone], self._begin[gone]
