"""Where the account of a product begins: at the first trade that comes, or where heartbeats say that it stands. Pure.

What only heartbeats told is a floor: from there on every trade is accounted for, but as no row has proved it, a trade at or below
it is handed over, and a heartbeat that tells less lowers it. The first row makes it a mark.
"""

from __future__ import annotations

from connector_runner.sources.coinbase.trades.conflicts import TradeReader
from connector_runner.sources.coinbase.trades.product_trades import PAGE, ProductTrades


class StartingReader(TradeReader):
    """Adds the start of each product; `MatchesReader` adds holes and REST."""

    def _begin_by_beats(self, product: str, trades: ProductTrades, newest: int, now: float) -> None:
        """No last_match came: from the second heartbeat on every trade is accounted for, from the lowest that was told."""
        if newest <= 0:
            trades.is_untraded = True
        elif trades.first_beat is None or newest < trades.first_beat:
            trades.first_beat = newest
        else:
            trades.is_floor = True
            self._reach(product, trades, trades.first_beat, now)
            trades.notice(newest, now)

    def _begin_by_trade(self, product: str, trades: ProductTrades, trade_id: int, now: float) -> None:
        """The first trade came, or one that a floor would leave out."""
        # A heartbeat's 0 is true of a product that never traded, and only then has it a small number.
        self._begin(product, trades, 0 if trades.is_untraded and trade_id <= PAGE else trade_id - 1, now)
        trades.is_floor = False
        trades.notice(trade_id - 1, now)

    def _begin(self, product: str, trades: ProductTrades, last: int, now: float) -> None:
        """The account begins behind `last`."""
        trades.ask_again(now)
        self._reach(product, trades, last, now)
