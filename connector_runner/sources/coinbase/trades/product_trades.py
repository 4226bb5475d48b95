"""One product's trades: how far they were handed over, what is missing, what heartbeats vouch for, what REST is asked. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connector_runner.protocols.batch import Row
from connector_runner.sources.coinbase.trades.rows import ID, TIME, is_same_trade

PAGE = 1000
"""The most trades a REST page has."""
MARGIN = 49
"""Trades above a hole that are asked for with it: they prove that REST knows newer ones."""
GRACE = 0.3
"""Seconds for a missing trade to come by itself; heartbeats and matches need not be in one order."""
RECENT = 32
"""So many rows are remembered, to tell a repeated trade from another one of the same id."""
GAPS = 64
"""So many gaps are remembered, for trades that come after all."""
LAG = timedelta(seconds=3)
"""A heartbeat that is so much newer than a trade, by the exchange's clock, must know it."""


@dataclass(frozen=True, slots=True)
class Request:
    """Trades `first` … `last` of a product are wanted: the page of `limit` below `after`."""

    product: str
    first: int
    last: int
    after: int
    limit: int


@dataclass(slots=True)
class Beats:
    """What heartbeats tell: since `since`, all `count` of them told at least `claim`."""

    claim: int = 0
    since: float = 0.0
    count: int = 0

    def note(self, newest: int, now: float, reached: int) -> None:
        """A heartbeat tells `newest`; `reached` was handed over."""
        if not self.count or newest < self.claim or self.claim <= reached:
            self.claim, self.since, self.count = newest, now, 0
        self.count += 1

    def vouched(self, now: float, seconds: float) -> int:
        """The trades up to which exist, as more than one heartbeat told for so long; 0: none."""
        return self.claim if self.count > 1 and now - self.since >= seconds else 0


@dataclass(frozen=True, slots=True)
class Search:
    """For the first trade behind a jump: none is at `low` or below, one may be up to `high`; asked for is up to `ceiling`."""

    low: int
    high: int
    ceiling: int

    def halved(self, low: int, high: int) -> Search:
        """The next question between these."""
        return Search(low, high, (low + high) // 2 if high - low > PAGE else high)


@dataclass(slots=True)
class ProductTrades:
    """One product's trades.

    Attributes:
        last: All trades up to this id were handed over; None before the first.
        row: The newest trade that was handed over as a row, not as a gap.
        seen: The newest id that is known to exist.
        waiting: Rows from the feed behind a hole.
        recent: The rows that were handed over last.
        beats: See `Beats`.
        first_beat: The lowest id that heartbeats told when no trade had come yet.
        is_floor: `last` is what heartbeats told and no row has proved: a trade at or below it was not handed over.
        low_beat: The id far below the floor that the last heartbeat told; None: it told none.
        is_untraded: A heartbeat told 0 before the first trade, which may be true or mean that it does not know.
        below: So many heartbeats in a row told less than was handed over, though they must know it.
        suspects: Trades with ids that were handed over, and another content.
        suspected_at: When the first of them came; None: before this process.
        gaps: Ids that were given up.
        ask_at: When to ask REST for the hole.
        asked: Whether an answer is awaited.
        is_void: The answer that is awaited is about numbers that are over.
        is_probing: REST is asked for its newest trades, as it lacks the one that was handed over last.
        page: The most trades that a page of REST has, as far as is known.
        search: See `Search`; None where the hole is climbed page by page.
        doubt: The ids that REST lacked when it was asked before (first, last), and since when.
        useless_since: Since when REST does not even know what was handed over.
        moved_at: When the product went on last, or the hole opened.
        is_told: That it stands still was told.
    """

    last: int | None = None
    row: int = 0
    seen: int = 0
    waiting: dict[int, Row] = field(default_factory=dict)
    recent: deque[Row] = field(default_factory=lambda: deque(maxlen=RECENT))
    beats: Beats = field(default_factory=Beats)
    first_beat: int | None = None
    is_floor: bool = False
    low_beat: int | None = None
    is_untraded: bool = False
    below: int = 0
    suspects: dict[int, Row] = field(default_factory=dict)
    suspected_at: float | None = None
    gaps: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=GAPS))
    ask_at: float = 0.0
    asked: bool = False
    is_void: bool = False
    is_probing: bool = False
    page: int = PAGE
    search: Search | None = None
    doubt: tuple[int, int, float] | None = None
    useless_since: float | None = None
    moved_at: float = 0.0
    is_told: bool = False

    @property
    def has_hole(self) -> bool:
        """Whether trades are known to exist that were not handed over."""
        return self.last is not None and self.seen > self.last

    @property
    def newest_time(self) -> datetime | None:
        """Of the rows that were handed over."""
        return max((row[TIME] for row in self.recent if row[TIME] is not None), default=None)

    def notice(self, trade_id: int, now: float) -> None:
        """Something up to this id exists; starts the grace when that opens a hole."""
        if trade_id > self.seen:
            if not self.has_hole:
                self.ask_at = now + GRACE
                self.moved_at = now
            self.seen = trade_id

    def withdraw(self, newest: int) -> None:
        """Heartbeats tell less than before: what only they told does not exist."""
        self.seen = max(self.last or 0, newest, *self.waiting) if self.waiting else max(self.last or 0, newest)
        if not self.has_hole:
            self.search = self.doubt = self.useless_since = None

    def lowered(self, newest: int) -> int | None:
        """The floor after a heartbeat that tells less; None: it stays.

        One that is far below is believed when the next one tells the like: else a single one would have the history read.
        """
        before, self.low_beat = self.low_beat, None
        if not self.is_floor or self.last is None or newest >= self.last:
            return None
        if self.last - newest <= PAGE:
            return newest
        if before is not None and abs(before - newest) <= PAGE:
            return min(before, newest)
        self.low_beat = newest
        return None

    def ask_again(self, now: float) -> None:
        """The hole begins elsewhere: whatever was asked before tells nothing of it."""
        self.search = self.doubt = self.useless_since = None
        self.is_void, self.is_probing = self.asked, False
        self.ask_at = now + GRACE

    def hole(self) -> tuple[int, int]:
        """The lowest hole: its first and last id."""
        first = (self.last or 0) + 1
        return first, min(self.waiting, default=self.seen + 1) - 1

    def question(self, product: str) -> Request:
        """What REST is asked now."""
        first, end = self.hole()
        margin = min(MARGIN, self.page // 2)
        if self.is_probing:
            return Request(product, first, end, max(self.seen, end) + margin + 1, self.page)
        last = min(end, first + max(0, self.page - 2 - margin) if self.search is None else self.search.ceiling)
        after = last + margin + 1
        return Request(product, first, last, after, min(self.page, after - min(self.row, first - 1)))

    def narrow(self, request: Request, floor: int, newest: int) -> bool:
        """Whether another question comes first, as the page has no trade of the hole, or only its upper end.

        A page tells everything from its oldest trade (`floor`) to the end that was asked for. So one page whose oldest trade lies
        below the hole proves all of it empty, however wide it is; where many trades follow, halves are asked for.
        """
        _, end = self.hole()
        search = self.search
        if floor > request.first:
            low = request.first - 1 if search is None else search.low
            self.search = Search(low, floor, floor).halved(low, floor)
        elif newest < request.first and request.last < end:
            if search is None:
                self.search = Search(request.last, end, end)
            else:
                self.search = search.halved(request.last, min(search.high, end))
        else:
            return False
        if self.search is not None and self.search == search:
            self.search = None  # the page is shorter than what lies between: climbed from below
            return False
        self.doubt = None
        return True

    def weigh(self, row: Row) -> bool | None:
        """Whether a trade whose id is not newer was handed over (True) or is another one (False); None: it was given up before."""
        trade_id, time = row[ID], row[TIME]
        for known in self.recent:
            if known[ID] == trade_id:
                return is_same_trade(known, row)
        if any(first <= trade_id <= last for first, last in self.gaps):
            return None
        if trade_id == self.last and not self.recent:
            return True
        newest = self.newest_time
        return (newest is not None and (time is None or time <= newest)) or (newest is None and time is None)

    def take_late(self, row: Row) -> None:
        """A trade came after all that was given up: it is remembered, and no longer missing."""
        trade_id = row[ID]
        parts = [
            part
            for first, last in self.gaps
            for part in (
                ((first, trade_id - 1), (trade_id + 1, last)) if first <= trade_id <= last else ((first, last),)
            )
        ]
        self.gaps = deque([part for part in parts if part[0] <= part[1]], maxlen=GAPS)
        if len(self.recent) == RECENT:
            self.recent.popleft()
        self.recent.appendleft(row)

    def implausible(self, newest: int, time: datetime | None) -> list[Row]:
        """Takes out the rows that wait and that a heartbeat of this time must know but does not."""
        if time is None or newest >= self.seen:
            return []
        ids = [n for n, row in self.waiting.items() if n > newest and row[TIME] is not None and time - row[TIME] > LAG]
        return [self.waiting.pop(n) for n in sorted(ids)]

    def count_below(self, newest: int, time: datetime | None) -> None:
        """Whether a heartbeat tells less than was handed over, though it must know it."""
        known = self.newest_time
        is_below = newest < (self.last or 0) and (known is None or time is None or time - known > LAG)
        self.below = self.below + 1 if is_below else 0
