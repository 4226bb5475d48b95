"""Completeness of `matches`, proven: trade ids are contiguous per product, holes are found and filled in their order.

Nothing here does I/O: the source fetches what `due` asks for and gives the answer to `fill`. Rows of a product are held back
behind a hole (its position never passes one); other products go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import astuple

from connector_runner.protocols.batch import Operation, Position, Row
from connector_runner.sources.coinbase.draft import REST_ROW_BYTES, Draft
from connector_runner.sources.coinbase.messages import Heartbeat, Match, RestTrade
from connector_runner.sources.coinbase.readers import Reader, position_of
from connector_runner.sources.coinbase.streams import StreamSpec

PAGE = 1000
"""The most trades a REST page has."""
MARGIN = 50
"""Trades above a hole that are asked for with it: they prove that REST knows newer ones."""
GRACE = 0.3
"""Seconds for a missing trade to come by itself; heartbeats and matches need not be in one order."""
SECOND_LOOK = 1.0
"""Seconds after which REST, knowing newer trades, is asked again for one it lacked."""
STALE = 20.0
"""Seconds for which REST, knowing nothing newer, may just be behind (about 6 were seen)."""
MAX_WAITING = 20_000
"""Rows held back behind holes, in all; beyond it they are let go and come from REST, in constant memory."""


@dataclass(frozen=True, slots=True)
class Request:
    """Trades `first` … `last` of a product are wanted: the page of `limit` below `after`."""

    product: str
    first: int
    last: int
    after: int
    limit: int


@dataclass(slots=True)
class ProductTrades:
    """One product's trades.

    Attributes:
        last: All trades up to this id were handed over; None before the first.
        row: The newest trade that was handed over as a row, not as a gap.
        seen: The newest id that is known to exist.
        waiting: Rows from the feed behind a hole.
        first_beat: The newest trade at the first heartbeat, when no trade has come yet.
        ask_at: When to ask REST for the hole.
        asked: Whether an answer is awaited.
        doubt: The ids that REST lacked when it was asked before (first, last), and since when.
        useless_since: Since when REST does not even know what was handed over.
    """

    last: int | None = None
    row: int = 0
    seen: int = 0
    waiting: dict[int, Row] = field(default_factory=dict)
    first_beat: int | None = None
    ask_at: float = 0.0
    asked: bool = False
    doubt: tuple[int, int, float] | None = None
    useless_since: float | None = None

    @property
    def has_hole(self) -> bool:
        """Whether trades are known to exist that were not handed over."""
        return self.last is not None and self.seen > self.last

    def notice(self, trade_id: int, now: float) -> None:
        """Something up to this id exists; starts the grace when that opens a hole."""
        if trade_id > self.seen:
            if not self.has_hole:
                self.ask_at = now + GRACE
            self.seen = trade_id

    def hole(self) -> tuple[int, int]:
        """The lowest hole: its first and last id."""
        first = (self.last or 0) + 1
        return first, min(self.waiting, default=self.seen + 1) - 1


class MatchesReader(Reader):
    """`matches`."""

    def __init__(self, spec: StreamSpec, position: Position | None) -> None:
        super().__init__(spec, position)
        self._products = {name: ProductTrades(last, last, last) for name, last in self._marks.items()}
        self._waiting = 0

    @property
    def open_holes(self) -> int:
        """Products that wait for REST or for late trades."""
        return sum(1 for trades in self._products.values() if trades.has_hole)

    def message(self, message: Struct, draft: Draft, now: float) -> None:
        """A trade: handed over when it is the next one, held back when it is not."""
        if not isinstance(message, Match):
            return
        product, trade_id = message.product_id, message.trade_id
        trades = self._of(product)
        if trades.last is None:
            trades.last = trade_id - 1
            trades.seen = max(trades.seen, trade_id - 1)
        if trade_id <= trades.last or trade_id in trades.waiting:
            self.counts["duplicates"] += 1
        elif trade_id == trades.last + 1:
            draft.extend([astuple(message)])
            self._reach(product, trades, trade_id)
            trades.row = trade_id
            if trades.waiting:
                self._release(product, trades, draft)
        else:
            trades.notice(trade_id, now)
            trades.waiting[trade_id] = astuple(message)
            self._waiting += 1
            if self._waiting > MAX_WAITING:
                self._let_go()

    def beat(self, beat: Heartbeat, draft: Draft, now: float) -> None:
        """A heartbeat tells the newest trade there is, whether it came or not."""
        trades = self._of(beat.product_id)
        if trades.last is not None:
            trades.notice(beat.last_trade_id, now)
        elif beat.last_trade_id == 0 or trades.first_beat is not None:
            # No last_match came: from here on every trade is accounted for.
            start = beat.last_trade_id if trades.first_beat is None else trades.first_beat
            self._reach(beat.product_id, trades, start)
            trades.notice(beat.last_trade_id, now)
        else:
            trades.first_beat = beat.last_trade_id

    def due(self, now: float, limit: int) -> list[Request]:
        """At most `limit` pages to be fetched now, oldest holes first; each is asked for until `fill` or `failed`."""
        if limit <= 0:
            return []
        wanted = [
            (trades.ask_at, product, trades)
            for product, trades in self._products.items()
            if trades.has_hole and not trades.asked and now >= trades.ask_at
        ]
        requests = []
        for _, product, trades in sorted(wanted, key=lambda entry: entry[:2])[:limit]:
            trades.asked = True
            first, last = trades.hole()
            last = min(last, first + PAGE - 1 - MARGIN)
            after = last + MARGIN + 1
            requests.append(Request(product, first, last, after, after - first))
        return requests

    def failed(self, request: Request, retry_at: float) -> None:
        """REST gave no answer: asked again later, never taken as a loss."""
        trades = self._products[request.product]
        trades.asked, trades.ask_at = False, retry_at

    def fill(self, request: Request, page: Sequence[RestTrade], draft: Draft, now: float) -> None:
        """Takes REST's answer, which came at `now`: rows in the order of their ids; what REST does not know either becomes a gap.

        A trade is given up when REST, asked twice, knows newer ones but not this, or knows nothing newer for `STALE` seconds.
        A REST that does not even know the newest trade that was handed over proves nothing: it is another exchange, or far behind.
        """
        trades = self._of(request.product)
        trades.asked, trades.ask_at = False, now
        known = {trade.trade_id: trade for trade in page}
        newest = max(known, default=0)
        if not known or newest < min(trades.row, request.first - 1):
            self._disregard(request.product, trades, draft, now)
            return
        trades.useless_since = None
        trade_id = (trades.last or 0) + 1
        while trade_id <= request.last:
            if trade_id in trades.waiting:
                self._release(request.product, trades, draft)
            elif trade_id in known:
                draft.add(rest_row(request.product, known[trade_id]), Operation.INSERT)
                draft.size += REST_ROW_BYTES
                self.counts["filled_trades"] += 1
                self._reach(request.product, trades, trade_id)
                trades.row = trade_id
            else:
                present = [n for n in (*known, *trades.waiting) if n > trade_id]
                missing = (trade_id, min([*present, request.last + 1]) - 1)
                lost = self._lost(trades, missing, newest > trade_id, now)
                if lost is None:
                    trades.ask_at = now + SECOND_LOOK
                    return
                self._gap(request.product, trade_id, lost, draft)
                self._reach(request.product, trades, lost)
            trade_id = (trades.last or 0) + 1
        self._release(request.product, trades, draft)

    @staticmethod
    def _disregard(product: str, trades: ProductTrades, draft: Draft, now: float) -> None:
        """An answer that proves nothing: asked again, and told when it stays so."""
        trades.ask_at = now + SECOND_LOOK
        trades.useless_since = now if trades.useless_since is None else trades.useless_since
        if now - trades.useless_since >= STALE:
            draft.notes.append(
                f"restUrl does not know trades of {product} that the feed told long ago; is it the REST interface of the same "
                "exchange? The product waits for it"
            )

    def position(self) -> Position:
        """The newest contiguous trade of each product."""
        return position_of(self._marks.copy())

    def _of(self, product: str) -> ProductTrades:
        trades = self._products.get(product)
        if trades is None:
            trades = self._products[product] = ProductTrades()
        return trades

    def _reach(self, product: str, trades: ProductTrades, trade_id: int) -> None:
        trades.last = self._marks[product] = trade_id
        trades.seen = max(trades.seen, trade_id)
        trades.doubt = None

    def _release(self, product: str, trades: ProductTrades, draft: Draft) -> None:
        """Hands over what waited and is next now."""
        last = -1 if trades.last is None else trades.last
        rows = []
        while (row := trades.waiting.pop(last + 1, None)) is not None:
            rows.append(row)
            last += 1
        if rows:
            draft.extend(rows)
            draft.size += REST_ROW_BYTES * len(rows)
            self._waiting -= len(rows)
            self._reach(product, trades, last)
            trades.row = last

    @staticmethod
    def _lost(trades: ProductTrades, missing: tuple[int, int], newer_known: bool, now: float) -> int | None:
        """The last id of those from `missing[0]` on that are given up now; None: none yet."""
        if trades.doubt is None or trades.doubt[0] != missing[0]:
            trades.doubt = (*missing, now)
            return None
        _, last, since = trades.doubt
        return min(last, missing[1]) if now - since >= (SECOND_LOOK if newer_known else STALE) else None

    def _let_go(self) -> None:
        """Forgets the rows that wait behind the product with most of them."""
        trades = max(self._products.values(), key=lambda trades: len(trades.waiting))
        self.counts["rows_left_to_rest"] += len(trades.waiting)
        self._waiting -= len(trades.waiting)
        trades.waiting.clear()

    def _gap(self, product: str, first: int, last: int, draft: Draft) -> None:
        self.counts["gaps"] += 1
        count = last - first + 1
        draft.tell(
            "gap",
            product,
            f"{product}: {count} trade(s), {first} to {last}, were told neither by the feed nor by REST",
            {"product_id": product, "from": first, "to": last, "count": count},
        )


def rest_row(product: str, trade: RestTrade) -> Row:
    """A trade from REST in the columns of `matches`; sequence and orders are unknown."""
    return (
        product,
        trade.trade_id,
        None,
        trade.side,
        trade.price,
        trade.size,
        trade.time,
        None,
        None,
        trade.extra,
    )
