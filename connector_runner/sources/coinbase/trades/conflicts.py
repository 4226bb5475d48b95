"""Trades whose ids are not newer: repeated, late, contradicting, or with ids that began again. Pure.

A trade that contradicts one that was handed over is kept until heartbeats decide: if they report lower ids too, the ids began
again (a product relisted, a sandbox reset); if not, the contradiction is reported. `MatchesReader` adds holes and REST.
"""

from __future__ import annotations

from typing import Any

from connector_runner.protocols.batch import Position, Row
from connector_runner.sources.coinbase.position import position_of
from connector_runner.sources.coinbase.readers.batch_builder import REST_ROW_BYTES, BatchBuilder
from connector_runner.sources.coinbase.readers.reader import CHOICES, REPORT_AGAIN_SECONDS, Reader
from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.streams import StreamSpec
from connector_runner.sources.coinbase.trades.product_trades import ProductTrades
from connector_runner.sources.coinbase.trades.rows import describe_trade, is_same_trade, pack_trade, unpack_trade

CONFLICT_SECONDS = 10.0
"""Seconds for heartbeats to show whether ids began again, after a trade that contradicts another."""
STALLED_SECONDS = 300.0
"""A product without progress for this many seconds is reported if newer trades are known."""
MAX_SUSPECTS = 1000
"""How many rows of one product are kept until heartbeats show what they are; more come from REST."""
KEPT_SUSPECTS = 32
"""How many of them, those with the lowest ids, are kept in a position, so that a restarted runner can check them too."""


class TradeReader(Reader):
    """Trades of all products, with what is known about each."""

    def __init__(
        self, spec: StreamSpec, position: Position | None, restarts: RestartedIds = RestartedIds.STAND_ASIDE
    ) -> None:
        super().__init__(spec, position, restarts)
        kept: Position = position or {}
        self._aside = dict(self._marks.aside)
        self._last = self._marks.last | {product: last for product, (last, _) in self._aside.items()}
        self._products = {name: ProductTrades(last, last, last) for name, last in self._last.items()}
        self._overwritten: dict[str, int] = dict(kept.get("_overwritten", {}))
        self._packed: dict[str, list[Any]] = dict(kept.get("_rows", {}))
        for product, packed in self._packed.items():
            row = unpack_trade(product, packed)
            self._products[product].recent.append(row)
            self._products[product].row = row[1]
        for product in kept.get("_floors", {}):
            self._products[product].is_floor, self._products[product].row = True, 0
        for product, packed_rows in kept.get("_suspects", {}).items():
            rows = [unpack_trade(product, packed) for packed in packed_rows]
            self._products[product].suspects = {row[1]: row for row in rows}
        self._changed: set[str] = set()
        self._waiting = 0

    def position(self) -> Position:
        """The newest contiguous id of each product, and its trade, to be compared with what is received later."""
        for product in self._changed:
            self._packed[product] = pack_trade(self._products[product].recent[-1])
        self._changed.clear()
        aside = {product: list(pair) for product, pair in self._aside.items()}
        suspects = {
            product: [pack_trade(trades.suspects[n]) for n in sorted(trades.suspects)[:KEPT_SUSPECTS]]
            for product, trades in self._products.items()
            if trades.suspects
        }
        return position_of(
            self._last.copy(),
            rows=self._packed,
            aside=aside,
            overwritten=self._overwritten,
            suspects=suspects,
            floors={product: self._last[product] for product, trades in self._products.items() if trades.is_floor},
        )

    def _of(self, product: str) -> ProductTrades:
        trades = self._products.get(product)
        if trades is None:
            trades = self._products[product] = ProductTrades()
        return trades

    def _reach(self, product: str, trades: ProductTrades, trade_id: int, now: float) -> None:
        trades.last = self._last[product] = trade_id
        trades.seen = max(trades.seen, trade_id)
        trades.doubt, trades.moved_at, trades.is_reported = None, now, False

    def _hand_over(self, product: str, trades: ProductTrades, row: Row, now: float) -> None:
        """Records that a row, which is already in the builder, is handed over."""
        self._reach(product, trades, row[1], now)
        trades.row, trades.is_floor = row[1], False
        trades.recent.append(row)
        self._changed.add(product)

    def _release(self, product: str, trades: ProductTrades, builder: BatchBuilder, now: float) -> None:
        """Hands over the waiting rows that are next now."""
        last = -1 if trades.last is None else trades.last
        rows = []
        while (row := trades.waiting.pop(last + 1, None)) is not None:
            rows.append(row)
            last += 1
        if rows:
            builder.extend(rows)
            builder.size += REST_ROW_BYTES * len(rows)
            self._waiting -= len(rows)
            for row in rows:
                self._hand_over(product, trades, row, now)

    def _older(self, product: str, trades: ProductTrades, row: Row, builder: BatchBuilder, now: float) -> None:
        """Handles a trade whose id is not newer than what was handed over."""
        is_same = trades.weigh(row)
        if is_same:
            self.counts["duplicates"] += 1
        elif is_same is None:
            self.counts["late_messages"] += 1
            trades.take_late(row)
            builder.extend([row])
            self._report_again(
                "late", product, row, "was given up as a gap and arrived later; it is stored", builder, now
            )
        elif row[1] not in trades.suspects and len(trades.suspects) < MAX_SUSPECTS:
            if not trades.suspects:
                trades.suspected_at = now
            trades.suspects[row[1]] = row

    def _repeated(self, product: str, known: Row, row: Row, builder: BatchBuilder, now: float) -> None:
        """Handles a trade that is already waiting."""
        if is_same_trade(known, row):
            self.counts["duplicates"] += 1
        else:
            self._report_conflict(
                product, row, "arrived twice with different content; the first one is kept", builder, now
            )

    def _refuse_outdated(
        self, product: str, trades: ProductTrades, row: Row, builder: BatchBuilder, now: float
    ) -> None:
        """Refuses waiting trades that would follow a newer one: the ids began again below them. REST is asked for theirs."""
        for older in trades.outdated(row):
            self._waiting -= 1
            what = f"is older than trade {row[1]}, so that its id belongs to earlier numbers; it is not stored"
            self._report_conflict(product, older, what, builder, now)

    def _settle_suspects(
        self, product: str, trades: ProductTrades, newest: int, builder: BatchBuilder, now: float
    ) -> None:
        """Decides about trades that contradict others, now that a heartbeat has come."""
        if not trades.suspects:
            return
        if trades.suspected_at is None:  # they come from a position, and each process has its own clock
            trades.suspected_at = now
        if trades.below > 1:
            self._restart_ids(product, trades, newest, builder, now)
        elif now - trades.suspected_at >= CONFLICT_SECONDS:
            suspects, trades.suspects = trades.suspects, {}
            if trades.newest_time is None:  # nothing to compare with: what the feed repeats after a start
                self.counts["duplicates"] += len(suspects)
                return
            for row in suspects.values():
                self._report_conflict(product, row, "differs from the stored one; it is not stored", builder, now)

    def _restart_ids(self, product: str, trades: ProductTrades, newest: int, builder: BatchBuilder, now: float) -> None:
        """The ids of a product began again: it is paused, or continues if a person has chosen that."""
        last = trades.last or 0
        self.counts["restarts"] += 1
        self._waiting -= len(trades.waiting)
        if self._restarts is RestartedIds.STAND_ASIDE:
            self._aside[product] = (last, newest)
            self._changed.discard(product)
            self._products[product] = ProductTrades(last, trades.row, last, is_void=trades.asked)
            what = f"it is paused, because rows with the same ids would be overwritten. {CHOICES}"
        else:
            suspects = trades.suspects
            first = min((*suspects, *trades.waiting), default=newest + 1)
            begun = self._products[product] = ProductTrades(first - 1, first - 1, first - 1, is_void=trades.asked)
            begun.is_floor = True
            # Those from a position are not complete: REST brings them, and also what was lost before them.
            begun.waiting = trades.waiting | {n: row for n, row in suspects.items() if row[2] is not None}
            self._waiting += len(begun.waiting)
            self._forget(product, last)
            self._reach(product, begun, first - 1, now)
            begun.notice(max((newest, *begun.waiting)), now)
            self._release(product, begun, builder, now)
            what = f"it continues with the new ids from {first}"
        text = f"{product}: the trade ids began again ({last} was the newest, heartbeats now say {newest}); {what}"
        builder.add_incident("restart", product, text, {"product_id": product, "last": last, "now": newest})

    def _forget(self, product: str, last: int) -> None:
        """What was handed over up to `last` has old numbers; rows with the same ids are to be overwritten."""
        self._overwritten[product] = max(last, self._overwritten.get(product, 0))
        self._packed.pop(product, None)
        self._last.pop(product, None)
        self._changed.discard(product)

    def _go_on(self, builder: BatchBuilder) -> None:
        """Continues paused products from the next trade on, now that a person has chosen to overwrite."""
        for product, (last, now_at) in self._aside.items():
            self._forget(product, last)
            self._products[product] = ProductTrades()
            text = f"{product}: continues after its trade ids began again ({last} was the newest, then heartbeats said {now_at})"
            detail = {"product_id": product, "last": last, "now": now_at}
            builder.add_incident("restart", product, f"{text}; trades in between are not fetched", detail)
        self._aside.clear()

    def _aside_text(self, product: str) -> str:
        last, now_at = self._aside[product]
        return f"{product} is paused since its trade ids began again ({last} was the newest, then {now_at}). {CHOICES}"

    def _report_conflict(self, product: str, row: Row, what: str, builder: BatchBuilder, now: float) -> None:
        self.counts["conflicts"] += 1
        self._report_again("conflict", product, row, what, builder, now)

    def _report_again(self, kind: str, product: str, row: Row, what: str, builder: BatchBuilder, now: float) -> None:
        """Adds an incident; the next ones of the same kind and product are only counted for a while."""
        at = f"{kind}:{product}"
        if now - self._reported_at.get(at, float("-inf")) >= REPORT_AGAIN_SECONDS:
            self._reported_at[at] = now
            text = f"{product}: trade {row[1]} {what}; more of this kind are only counted for a while"
            builder.add_incident(kind, product, text, {"product_id": product} | describe_trade(row))

    def _report_stalled(self, product: str, trades: ProductTrades, builder: BatchBuilder, now: float) -> None:
        """Reports a hole that is not filled and does not become a gap."""
        if trades.has_hole and not trades.is_reported and now - trades.moved_at >= STALLED_SECONDS:
            trades.is_reported = True
            first, last = trades.hole()
            text = f"{product}: for {STALLED_SECONDS / 60:.0f} minutes trades {first} to {last} are known to exist that neither the feed"
            builder.add_incident(
                "stalled",
                product,
                f"{text} nor restUrl brings; the product waits for them. The log says what restUrl answers",
                {"product_id": product, "from": first, "to": last},
            )
