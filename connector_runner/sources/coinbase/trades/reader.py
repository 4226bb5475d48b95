"""Completeness of `matches`, proven: trade ids are contiguous per product, holes are found and filled in order.

Nothing here does I/O: the source fetches what `due` requests and passes the response to `fill`. Rows of a product after a hole
are held back (its position never passes one); other products go on. One sign alone is never enough to leave something out: a
heartbeat that reports more than all others opens no gap, and a trade whose id is not newer is a duplicate only if it is the
same trade.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import astuple

from connector_runner.protocols.batch import Operation
from connector_runner.sources.coinbase.decode.messages import Heartbeat, Match, RestTrade
from connector_runner.sources.coinbase.readers.batch_builder import REST_ROW_BYTES, BatchBuilder
from connector_runner.sources.coinbase.readers.reader import CHOICES
from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.trades.product_trades import GRACE, MARGIN, PAGE, ProductTrades, Request
from connector_runner.sources.coinbase.trades.rows import is_same_trade, rest_row
from connector_runner.sources.coinbase.trades.starts import StartingReader

__all__ = ["GRACE", "MARGIN", "PAGE", "MatchesReader", "Request"]

SECOND_LOOK = 1.0
"""Seconds after which REST, if it knows newer trades, is asked again for one that it lacked."""
STALE = 20.0
"""Seconds for which REST, if it knows nothing newer, may just be behind (about 6 were seen)."""
MAX_WAITING = 20_000
"""The most rows that are held back after holes, in total; others are dropped and come from REST: constant memory."""


class MatchesReader(StartingReader):
    """`matches`."""

    @property
    def open_holes(self) -> int:
        """Products that wait for REST or for late trades."""
        return sum(1 for trades in self._products.values() if trades.has_hole)

    def message(self, message: Struct, builder: BatchBuilder, now: float) -> None:
        """Handles a trade: handed over if it is the next one, held back if it is a later one."""
        if not isinstance(message, Match):
            return
        product, trade_id = message.product_id, message.trade_id
        trades = self._of(product)
        if self._aside and product in self._aside:
            self.counts["rows_aside"] += 1
            builder.notes.append(self._aside_text(product))
            return
        if trades.last is None or (trades.is_floor and trade_id <= trades.last):
            self._begin_by_trade(product, trades, trade_id, now)
        row = astuple(message)
        last = trades.last or 0
        if trade_id == last + 1:
            builder.extend([row])
            self._hand_over(product, trades, row, now)
            if trades.waiting:
                self._refuse_outdated(product, trades, row, builder, now)
                self._release(product, trades, builder, now)
        elif trade_id <= last:
            self._older(product, trades, row, builder, now)
        elif trade_id in trades.waiting:
            self._repeated(product, trades.waiting[trade_id], row, builder, now)
        else:
            trades.notice(trade_id, now)
            trades.waiting[trade_id] = row
            self._waiting += 1
            if self._waiting > MAX_WAITING:
                self._let_go()

    def beat(self, beat: Heartbeat, builder: BatchBuilder, now: float) -> None:
        """A heartbeat reports the newest trade, whether it has arrived or not; 0 and null say nothing."""
        product, newest = beat.product_id, beat.last_trade_id or 0
        trades = self._of(product)
        if product in self._aside:
            return
        if trades.last is None:
            self._begin_by_beats(product, trades, newest, now)
            return
        if newest > 0:
            if (floor := trades.lowered(newest)) is not None:
                self._begin(product, trades, floor, now)
            for row in trades.implausible(newest, beat.time):
                self._waiting -= 1
                what = f"is above the newest trade of the heartbeats ({newest}); it is not stored"
                self._report_conflict(product, row, what, builder, now)
            trades.beats.note(newest, now, trades.last)
            trades.count_below(newest, beat.time)
            if newest < trades.seen:
                trades.withdraw(newest)
            trades.notice(newest, now)
        self._settle_suspects(product, trades, newest, builder, now)
        self._report_stalled(product, trades, builder, now)

    def due(self, now: float, limit: int) -> list[Request]:
        """At most `limit` pages to fetch now, oldest holes first; each counts as requested until `fill` or `failed`."""
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
            requests.append(trades.question(product))
        return requests

    def failed(self, request: Request, retry_at: float) -> None:
        """REST did not answer: it is asked again later; this never counts as a loss."""
        trades = self._products[request.product]
        trades.asked, trades.ask_at, trades.is_void = False, retry_at, False

    def fill(self, request: Request, page: Sequence[RestTrade], builder: BatchBuilder, now: float) -> None:
        """Takes REST's response, which came at `now`: adds rows in the order of their ids.

        What REST does not know either becomes a gap. A trade is given up if REST, asked twice, knows newer ones but not this
        one; or if REST knows nothing newer for `STALE` seconds, and the feed brought a newer one or heartbeats reported it all
        the time. If REST does not even know the newest trade that was handed over, or returns another one, its response proves
        nothing: it is another exchange, or far behind.
        """
        trades = self._of(request.product)
        trades.asked, trades.ask_at = False, now
        if trades.is_void or not trades.has_hole:
            trades.is_void = False
            return
        known = {trade.trade_id: trade for trade in page}
        newest = max(known, default=0)
        was_probing, trades.is_probing = trades.is_probing, False
        if not known and not trades.row and trades.narrow(request, 0, 0):
            return  # nothing was handed over that it should know, and all that it has may be newer
        if not known or newest < min(trades.row, request.first - 1):
            trades.is_probing = bool(known) and not was_probing
            what = f"restUrl does not have trades of {request.product} that the feed sent long ago"
            self._disregard(trades, f"{what}; is it the REST interface of the same exchange?", builder, now)
            return
        if (by_rest := known.get(trades.row)) is not None and self._is_contradicted(
            request.product, trades, by_rest, builder, now
        ):
            return
        trades.useless_since = None
        if was_probing:  # it knows newer ones: it lacks only that one trade, not everything new
            trades.row = 0
            return
        is_short = len(known) < request.limit
        if is_short and trades.recent and min(known) > max(trades.row, request.first):
            # Its pages are shorter than requested: a full one would have gone down to what was handed over.
            trades.page = len(known)
            return
        if trades.narrow(request, 0 if is_short else min(known), newest):
            return
        if self._fill_up_to(request.last, request.product, trades, known, builder, now):
            trades.search = None
            self._release(request.product, trades, builder, now)

    def _fill_up_to(
        self,
        end: int,
        product: str,
        trades: ProductTrades,
        known: dict[int, RestTrade],
        builder: BatchBuilder,
        now: float,
    ) -> bool:
        """Hands over what is known, and gives up what is not; False: something must be requested again first."""
        present = sorted({*known, *trades.waiting})
        while (trade_id := (trades.last or 0) + 1) <= end:
            if trade_id in trades.waiting:
                self._release(product, trades, builder, now)
            elif trade_id in known:
                row = rest_row(product, known[trade_id])
                # If the ids began again, the old row still exists: a person chose to overwrite it.
                is_old = trade_id <= self._overwritten.get(product, 0)
                builder.add(row, Operation.UPSERT if is_old else Operation.INSERT)
                builder.size += REST_ROW_BYTES
                self.counts["filled_trades"] += 1
                self._hand_over(product, trades, row, now)
                if trades.waiting:
                    self._refuse_outdated(product, trades, row, builder, now)
            else:
                place = bisect_right(present, trade_id)
                after = present[place] if place < len(present) else end + 1
                lost = self._lost(
                    trades, (trade_id, min(after, end + 1) - 1), bool(known) and max(known) > trade_id, now
                )
                if lost is None:
                    trades.ask_at = now + SECOND_LOOK
                    return False
                self._gap(product, trades, (trade_id, lost), builder)
                self._reach(product, trades, lost, now)
        return True

    @staticmethod
    def _disregard(trades: ProductTrades, text: str, builder: BatchBuilder, now: float) -> None:
        """Ignores a response that proves nothing: REST is asked again, and it is reported if that does not change."""
        trades.ask_at = now + SECOND_LOOK
        trades.useless_since = now if trades.useless_since is None else trades.useless_since
        if now - trades.useless_since >= STALE:
            builder.notes.append(f"{text} The product waits for it")

    def _is_contradicted(
        self, product: str, trades: ProductTrades, by_rest: RestTrade, builder: BatchBuilder, now: float
    ) -> bool:
        """Whether REST returns another trade than was handed over; if a person chose to overwrite, the ids began again."""
        if not trades.recent or trades.recent[-1][1] != trades.row:
            return False
        if is_same_trade(trades.recent[-1], rest_row(product, by_rest)):
            return False
        since = trades.useless_since
        if self._restarts is RestartedIds.OVERWRITE and since is not None and now - since >= SECOND_LOOK:
            self._restart_ids(product, trades, trades.seen, builder, now)
            return True
        what = f"restUrl returns another trade {trades.row} of {product} than was stored: its ids began again, or it is another exchange."
        self._disregard(trades, f"{what} {CHOICES}.", builder, now)
        return True

    @staticmethod
    def _lost(trades: ProductTrades, missing: tuple[int, int], newer_known: bool, now: float) -> int | None:
        """The last id, from `missing[0]` on, that is given up now; None: none yet."""
        if trades.doubt is None or trades.doubt[0] != missing[0]:
            trades.doubt = (*missing, now)
            return None
        _, last, since = trades.doubt
        if newer_known:
            return min(last, missing[1]) if now - since >= SECOND_LOOK else None
        if now - since < STALE:
            return None
        exists = max(trades.beats.vouched(now, STALE / 2), min(trades.waiting, default=1) - 1)
        end = min(last, missing[1], exists)
        return end if end >= missing[0] else None

    def _let_go(self) -> None:
        """Drops the waiting rows of the product that has the most."""
        trades = max(self._products.values(), key=lambda trades: len(trades.waiting))
        self.counts["rows_left_to_rest"] += len(trades.waiting)
        self._waiting -= len(trades.waiting)
        trades.waiting.clear()

    def _gap(self, product: str, trades: ProductTrades, ids: tuple[int, int], builder: BatchBuilder) -> None:
        first, last = ids
        self.counts["gaps"] += 1
        trades.gaps.append(ids)
        count = last - first + 1
        builder.add_incident(
            "gap",
            product,
            f"{product}: {count} trade(s), {first} to {last}, came neither from the feed nor from REST",
            {"product_id": product, "from": first, "to": last, "count": count},
        )
