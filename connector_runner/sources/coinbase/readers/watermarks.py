"""How far each product was handed over, by a number that only grows, and what a number that is not newer means.

"Not newer" alone proves no duplicate: it is one only if the message *is* the one that was handed over. Otherwise it is late
(and kept), contradicts what was handed over (and is reported), or the numbers began again (see `RestartedIds`). Pure.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

from connector_runner.protocols.batch import Position, Row
from connector_runner.sources.coinbase.position import MARKS_OF_FORMAT, position_of, require_format

NOTHING = -(2**63) - 1
"""The mark of a product of which nothing was handed over: every number is newer."""
NEVER = 2**63
"""The mark of a paused product: no number is newer."""
RECENT = 32
"""How many rows of a product are remembered, to distinguish repeated rows from late ones."""
SUSPICIOUS = 3
"""How many messages in a row with older numbers and newer times are a restart, if no heartbeat can confirm it."""


class Verdict(Enum):
    """What it means that a message's number is not newer than the product's mark."""

    SAME = auto()
    """It was handed over."""
    CHANGED = auto()
    """It has the newest number, but other content."""
    LATE = auto()
    """It is older, and is not among the remembered rows."""
    SUSPICIOUS = auto()
    """It is older by its number and newer by its time."""
    RESTART = auto()
    """The numbers began again."""
    ASIDE = auto()
    """The product is paused."""


def digest(row: Row) -> int:
    """A checksum to compare rows by; it is the same in each process."""
    return zlib.crc32(repr(row).encode())


@dataclass(slots=True)
class Watermarks:
    """The marks of one stream.

    Attributes:
        last: The newest number of each product; `NEVER` if it is paused.
        fresh: The newest row of each product since the last position.
        aside: Paused products: (the mark, the number that came instead).
        beats: The newest number in the last heartbeat of each product.
    """

    last: dict[str, int] = field(default_factory=dict)
    fresh: dict[str, Row] = field(default_factory=dict)
    aside: dict[str, tuple[int, int]] = field(default_factory=dict)
    beats: dict[str, int] = field(default_factory=dict)
    _rows: dict[str, Row] = field(default_factory=dict)
    _digests: dict[str, int] = field(default_factory=dict)
    _times: dict[str, datetime] = field(default_factory=dict)
    _recent: dict[str, deque[Row]] = field(default_factory=dict)
    _suspicious: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, position: Position | None) -> Watermarks:
        """The marks at a position, of any format.

        Raises:
            ActionRequiredError: It was made by another version.
        """
        if position is None:
            return cls()
        require_format(position)
        marks = cls(dict(position[MARKS_OF_FORMAT[position["format"]]]))
        marks._digests = dict(position.get("_rows", {}))
        for product, (last, first) in position.get("_aside", {}).items():
            marks.stand_aside(product, last, first)
        return marks

    def position(self) -> Position:
        """The position to resume from."""
        self._digests.update((product, digest(row)) for product, row in self.fresh.items())
        self._rows.update(self.fresh)
        self.fresh.clear()
        real = self.last | {product: last for product, (last, _) in self.aside.items()}
        return position_of(real, rows=self._digests, aside={p: list(pair) for p, pair in self.aside.items()})

    def reach(self, product: str, mark: int, row: Row, time: datetime | None) -> None:
        """Records that a row was handed over."""
        self.last[product] = mark
        self.fresh[product] = row
        self.remember(product, row, time)

    def remember(self, product: str, row: Row, time: datetime | None) -> None:
        """Records that a row was handed over, whatever its number."""
        self._recent.setdefault(product, deque(maxlen=RECENT)).append(row)
        if time is not None:
            self._times[product] = max(time, self._times.get(product, time))

    def real(self, product: str) -> int | None:
        """The newest number that was handed over, also of a paused product."""
        return self.aside[product][0] if product in self.aside else self.last.get(product)

    def stand_aside(self, product: str, last: int, first: int) -> None:
        """Pauses a product: no number of it is newer from now on."""
        self.aside[product] = (last, first)
        self.last[product] = NEVER

    def go_on(self, product: str) -> tuple[int, int]:
        """A person chose to overwrite: the next message counts, whatever its number. Returns the entry of `aside`."""
        pair = self.aside.pop(product)
        self.forget(product)
        return pair

    def forget(self, product: str) -> None:
        """Resets a product, as if nothing had been handed over."""
        everything: tuple[dict[str, Any], ...] = (
            self.last,
            self.fresh,
            self._rows,
            self._digests,
            self._times,
            self._recent,
            self._suspicious,
        )
        for known in everything:
            known.pop(product, None)

    def weigh(self, product: str, mark: int, row: Row, time: datetime | None) -> Verdict:
        """Classifies a row whose number is not newer than the mark."""
        if product in self.aside:
            return Verdict.ASIDE
        known = self.fresh.get(product, self._rows.get(product))
        if known == row or row in self._recent.get(product, ()):
            return Verdict.SAME
        last = self.last[product]
        if mark == last:
            is_same = known is None and self._digests.get(product) in {None, digest(row)}
            return Verdict.SAME if is_same else Verdict.CHANGED
        newest = self._time_of(product)
        if time is None or (newest is not None and time <= newest):
            return Verdict.LATE
        return Verdict.RESTART if self._is_restart(product, mark, last) else Verdict.SUSPICIOUS

    def _time_of(self, product: str) -> datetime | None:
        """The time of the newest row that is known."""
        row = self.fresh.get(product, self._rows.get(product))
        if row is not None:
            times = [value for value in row if isinstance(value, datetime)]
            if times:
                self._times[product] = max(times)
        return self._times.get(product)

    def _is_restart(self, product: str, mark: int, last: int) -> bool:
        """Whether older numbers with newer times are a restart: heartbeats confirm it, or they come again and again."""
        at, before, count = self._suspicious.get(product, (last, mark, 0))
        count = count + 1 if at == last and mark >= before else 1
        self._suspicious[product] = (last, mark, count)
        beat = self.beats.get(product)
        return count >= SUSPICIOUS if beat is None else count > 1 and beat < last
