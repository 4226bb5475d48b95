"""One product's trades: how far they were handed over, what is missing, what heartbeats confirm, what REST is asked. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connector_runner.protocols.batch import Row
from connector_runner.sources.coinbase.trades.rows import ID, TIME, is_same_trade

PAGE = 1000
"""The most trades that a page of REST has."""
MARGIN = 49
"""How many trades above a hole are requested with it: they prove that REST knows newer ones."""
GRACE = 0.3
"""Seconds for a missing trade to arrive by itself; heartbeats and matches may arrive out of order."""
RECENT = 32
"""How many rows are remembered, to distinguish a repeated trade from another one with the same id."""
GAPS = 64
"""How many gaps are remembered, for trades that arrive after all."""
LAG = timedelta(seconds=3)
"""A heartbeat that is newer than a trade by this much, by the exchange's clock, must know the trade."""
DISORDER = timedelta(seconds=2)
"""A trade that is newer than one with a higher id by this much, by the exchange's clock, is numbered otherwise."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for trades `first` … `last` of a product: the page of `limit` trades below `after`."""

    product: str
    first: int
    last: int
    after: int
    limit: int


@dataclass(slots=True)
class Beats:
    """What heartbeats report: since `since`, all `count` of them reported at least `claim`."""

    claim: int = 0
    since: float = 0.0
    count: int = 0

    def note(self, newest: int, now: float, reached: int) -> None:
        """Records that a heartbeat reports `newest`; trades up to `reached` were handed over."""
        if not self.count or newest < self.claim or self.claim <= reached:
            self.claim, self.since, self.count = newest, now, 0
        self.count += 1

    def vouched(self, now: float, seconds: float) -> int:
        """The id up to which trades exist, as more than one heartbeat has reported for `seconds`; 0: none."""
        return self.claim if self.count > 1 and now - self.since >= seconds else 0


@dataclass(frozen=True, slots=True)
class Search:
    """A search for the first trade after a jump: none is at `low` or below, one may be up to `high`; asks up to `ceiling`."""

    low: int
    high: int
    ceiling: int

    def halved(self, low: int, high: int) -> Search:
        """The next search between these."""
        return Search(low, high, (low + high) // 2 if high - low > PAGE else high)


@dataclass(slots=True)
class ProductTrades:
    """One product's trades.

    Attributes:
        last: All trades up to this id were handed over; None before the first.
        row: The newest trade that was handed over as a row, not as a gap.
        seen: The newest id that is known to exist.
        waiting: Rows from the feed that are after a hole.
        recent: The last rows that were handed over.
        beats: See `Beats`.
        first_beat: The lowest id that heartbeats reported before any trade came.
        is_floor: `last` was only reported by heartbeats, not proven by a row: a trade at or below it was not handed over.
        low_beat: The id far below the floor that the last heartbeat reported; None: it reported none.
        is_untraded: A heartbeat reported 0 before the first trade, which may be true or mean "unknown".
        below: How many heartbeats in a row reported less than was handed over, although they must know it.
        suspects: Trades with ids that were handed over, but with other content.
        suspected_at: When the first of them arrived; None: before this process.
        gaps: Ids that were given up.
        ask_at: When to ask REST for the hole.
        asked: Whether a response is awaited.
        is_void: The awaited response is about numbers that are no longer valid.
        is_probing: REST is asked for its newest trades, because it lacks the one that was handed over last.
        page: The most trades that a page of REST has, as far as is known.
        search: See `Search`; None if the hole is read upwards page by page.
        doubt: The ids that REST lacked when it was asked before (first, last), and since when.
        useless_since: Since when REST does not even know what was handed over.
        moved_at: When the product last made progress, or the hole opened.
        is_told: Whether it was reported that the product makes no progress.
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
    is_reported: bool = False

    @property
    def has_hole(self) -> bool:
        """Whether trades are known to exist that were not handed over."""
        return self.last is not None and self.seen > self.last

    @property
    def newest_time(self) -> datetime | None:
        """The newest time of the last rows that were handed over."""
        return max((row[TIME] for row in self.recent if row[TIME] is not None), default=None)

    def notice(self, trade_id: int, now: float) -> None:
        """Records that trades up to this id exist; the grace period starts if that opens a hole."""
        if trade_id > self.seen:
            if not self.has_hole:
                self.ask_at = now + GRACE
                self.moved_at = now
            self.seen = trade_id

    def withdraw(self, newest: int) -> None:
        """Heartbeats report less than before: what only they reported does not exist."""
        self.seen = max(self.last or 0, newest, *self.waiting) if self.waiting else max(self.last or 0, newest)
        if not self.has_hole:
            self.search = self.doubt = self.useless_since = None

    def lowered(self, newest: int) -> int | None:
        """The floor after a heartbeat that reports less; None: it stays.

        An id far below counts only if the next heartbeat reports about the same: otherwise a single one would make
        the reader read the whole history.
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
        """The hole begins at another id: earlier responses say nothing about it."""
        self.search = self.doubt = self.useless_since = None
        self.is_void, self.is_probing = self.asked, False
        self.ask_at = now + GRACE

    def hole(self) -> tuple[int, int]:
        """The lowest hole: its first and last id."""
        first = (self.last or 0) + 1
        return first, min(self.waiting, default=self.seen + 1) - 1

    def question(self, product: str) -> Request:
        """The next request to REST."""
        first, end = self.hole()
        margin = min(MARGIN, self.page // 2)
        if self.is_probing:
            return Request(product, first, end, max(self.seen, end) + margin + 1, self.page)
        last = min(end, first + max(0, self.page - 2 - margin) if self.search is None else self.search.ceiling)
        after = last + margin + 1
        return Request(product, first, last, after, min(self.page, after - min(self.row, first - 1)))

    def narrow(self, request: Request, floor: int, newest: int) -> bool:
        """Whether another request is needed first, because the page has no trade of the hole, or only its upper end.

        A page has every trade from its oldest one (`floor`) to the requested end. So one page whose oldest trade is below the
        hole proves all of it empty, however wide it is. If many trades follow, the range is halved.
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
            self.search = None  # the page is shorter than the range: read page by page from below
            return False
        self.doubt = None
        return True

    def weigh(self, row: Row) -> bool | None:
        """Whether a trade whose id is not newer was handed over (True) or is another one (False); None: it was given up."""
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
        """A trade that was given up has arrived after all: it is remembered, and no longer missing."""
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
        """Removes and returns the waiting rows that a heartbeat of this time must know but does not."""
        if time is None or newest >= self.seen:
            return []
        ids = [n for n, row in self.waiting.items() if n > newest and row[TIME] is not None and time - row[TIME] > LAG]
        return [self.waiting.pop(n) for n in sorted(ids)]

    def outdated(self, row: Row) -> list[Row]:
        """Removes and returns the waiting rows that are older than a row with a lower id: its ids began again."""
        time = row[TIME]
        if time is None:
            return []
        ids = [n for n, kept in self.waiting.items() if kept[TIME] is not None and time - kept[TIME] > DISORDER]
        return [self.waiting.pop(n) for n in sorted(ids) if n > row[ID]]

    def count_below(self, newest: int, time: datetime | None) -> None:
        """Counts heartbeats in a row that report less than was handed over, although they must know it."""
        known = self.newest_time
        is_below = newest < (self.last or 0) and (known is None or time is None or time - known > LAG)
        self.below = self.below + 1 if is_below else 0
