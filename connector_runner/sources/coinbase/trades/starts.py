"""Where the record of a product begins: at the first trade that comes, or at the id that heartbeats report. Pure.

An id that only heartbeats reported is a floor: from there on every trade is accounted for. But as no row has proven it, a trade
at or below it is handed over, and a heartbeat that reports less lowers it. The first row makes it a mark.
"""

from __future__ import annotations

from connector_runner.sources.coinbase.trades.conflicts import TradeReader
from connector_runner.sources.coinbase.trades.product_trades import PAGE, ProductTrades


class StartingReader(TradeReader):
    """Adds the start of each product; `MatchesReader` adds holes and REST."""

    def _begin_by_beats(self, product: str, trades: ProductTrades, newest: int, now: float) -> None:
        """No last_match came: from the second heartbeat on, every trade after the lowest reported id is accounted for."""
        if newest <= 0:
            trades.is_untraded = True
        elif trades.first_beat is None or newest < trades.first_beat:
            trades.first_beat = newest
        else:
            trades.is_floor = True
            self._reach(product, trades, trades.first_beat, now)
            trades.notice(newest, now)

    def _begin_by_trade(self, product: str, trades: ProductTrades, trade_id: int, now: float) -> None:
        """The first trade came, or one that the floor would leave out."""
        # A heartbeat's 0 is true only for a product that never traded, and only then is the first id small.
        self._begin(product, trades, 0 if trades.is_untraded and trade_id <= PAGE else trade_id - 1, now)
        trades.is_floor = False
        trades.notice(trade_id - 1, now)

    def _begin(self, product: str, trades: ProductTrades, last: int, now: float) -> None:
        """The record begins after `last`."""
        trades.ask_again(now)
        self._reach(product, trades, last, now)
