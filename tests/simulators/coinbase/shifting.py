"""A market whose ids begin again or jump: as `Market`, but each product's trades are kept, by the series they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.simulators.coinbase.market import SEQUENCES_A_TRADE, Market, Trade, iso


@dataclass
class Series:
    """One product's trades under one numbering; `last_id` and `known` are what the feed and REST go by."""

    number: int
    last_id: int
    known: dict[int, Trade] = field(default_factory=dict)


class ShiftingMarket(Market):
    """All series there were are in `past`; `ledgers` and REST know the newest only; the first one's ids begin after `first`.

    Attributes:
        open: The products that trade now.
    """

    def __init__(self, seed: int, products: Sequence[str], *, history: int, start: int, first: int = 0) -> None:
        super().__init__(seed, products, history=history, start=start)
        self.open: Sequence[str] = products
        self.past: dict[str, list[Series]] = {product: [] for product in products}
        for product in products:
            self._begin(product, first)
            for n in range(history):
                self._happen(product, start - (history - n) * 1_000_000)

    def series(self, product: str) -> Series:
        return self.past[product][-1]

    def restart(self, product: str, last_id: int) -> None:
        """The next trade's id is the one after `last_id`; REST forgets what was before."""
        self._begin(product, last_id)

    def jump(self, product: str, ids: int) -> None:
        """This many ids are never used."""
        self.series(product).last_id += ids

    def advance(self, now: int, count: int) -> list[Trade]:
        return [self._happen(self._random.choice(self.open), now) for _ in range(count)] if self.open else []

    def trade(self, product: str, trade_id: int) -> Trade:
        return self.series(product).known[trade_id]

    def page(self, product: str, limit: int, after: int | None, before: int | None, not_since: int) -> list[Trade]:
        del not_since
        found = [
            trade
            for n, trade in reversed(self.series(product).known.items())
            if (after is None or n < after) and n > (before or 0) and n not in self.hidden[product]
        ]
        return found[:limit]

    def last_told(self, product: str) -> Trade | None:
        told = (trade for n, trade in reversed(self.series(product).known.items()) if n not in self.hidden[product])
        return next(told, None)

    def _begin(self, product: str, last_id: int) -> None:
        number = len(self.past[product])
        self.past[product].append(Series(number, last_id))
        self.ledgers[product] = self.past[product][-1]  # type: ignore[assignment]
        self.hidden[product] = set()

    def _happen(self, product: str, now: int) -> Trade:
        series = self.series(product)
        series.last_id += 1
        trade_id = series.last_id
        world = Market(self.seed * 100 + series.number, (product,), history=trade_id, start=0)
        trade = replace(world.trade(product, trade_id), time=iso(now), sequence=trade_id * SEQUENCES_A_TRADE - 1)
        series.known[trade_id] = trade
        return trade
