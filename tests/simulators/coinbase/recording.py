"""Replays a recording, one JSON message a line, at a chosen speed; its matches are also what REST knows."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tests.simulators.coinbase.market import EPOCH, Ledger, Market, Trade
from tests.simulators.coinbase.messages import ZERO_TIME

if TYPE_CHECKING:
    from tests.simulators.coinbase.exchange import Exchange

CHANNELS_OF_TYPE: dict[str, tuple[str, ...]] = {
    "match": ("matches", "full", "user"),
    "last_match": ("matches",),
    "ticker": ("ticker", "ticker_batch"),
    "snapshot": ("level2_batch", "level2"),
    "l2update": ("level2_batch", "level2"),
    "status": ("status",),
    "rfq_match": ("rfq_matches",),
    "auction": ("auctionfeed",),
    "balance": ("balance",),
} | dict.fromkeys(("received", "open", "done", "change", "activate"), ("full", "user"))
"""Heartbeats and acknowledgements of a recording are left out: the simulator makes its own."""


class RecordedMarket(Market):
    """A market whose trades are those of a recording that were replayed so far."""

    def __init__(self, products: Iterable[str]) -> None:
        super().__init__(0, tuple(products), history=0, start=0)
        self._trades: dict[str, dict[int, Trade]] = {product: {} for product in self.products}

    def add(self, trade: Trade) -> None:
        """Lets a recorded trade happen; ids that the recording left out count as hidden."""
        ledger = self.ledgers[trade.product_id]
        if not ledger.times:
            self.ledgers[trade.product_id] = ledger = Ledger(trade.trade_id - 1, 0)
        moment = round((datetime.fromisoformat(trade.time) - EPOCH).total_seconds() * 1_000_000)
        while ledger.last_id < trade.trade_id - 1:
            ledger.times.append(moment)
            self.hidden[trade.product_id].add(ledger.last_id)
        if ledger.last_id < trade.trade_id:
            ledger.times.extend(array("q", [moment]))
        self.hidden[trade.product_id].discard(trade.trade_id)
        self._trades[trade.product_id][trade.trade_id] = trade

    def trade(self, product: str, trade_id: int) -> Trade:
        return self._trades[product][trade_id]

    def page(self, product: str, limit: int, after: int | None, before: int | None, not_since: int) -> list[Trade]:
        known = self._trades[product]
        ids = [n for n in sorted(known, reverse=True) if (after is None or n < after) and n > (before or 0)]
        return [known[n] for n in ids[:limit]]

    def last_told(self, product: str) -> Trade | None:
        known = self._trades[product]
        return known[max(known)] if known else None


@dataclass(slots=True)
class Replay:
    """A recording and how fast it is played.

    Attributes:
        lines: (message as it came, decoded) in order.
        speed: 1: as it happened, by the messages' own times; 10: ten times as fast; 0: as fast as the listeners take it.
    """

    lines: list[tuple[bytes, dict[str, Any]]]
    speed: float

    @property
    def products(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m["product_id"] for _, m in self.lines if "product_id" in m))

    async def play(self, exchange: Exchange) -> None:
        """Waits for the first subscription, then plays the recording once."""
        await exchange.listened.wait()
        clock: datetime | None = None
        for payload, message in self.lines:
            moment = _time(message)
            if self.speed and moment and clock and moment > clock:
                await asyncio.sleep((moment - clock).total_seconds() / self.speed)
            clock = moment or clock
            self._tell(exchange, payload, message)
            for session in list(exchange.sessions):
                await session.drained(1000)

    def _tell(self, exchange: Exchange, payload: bytes, message: dict[str, Any]) -> None:
        market = exchange.market
        product = message.get("product_id", "")
        if message["type"] in {"match", "last_match"} and isinstance(market, RecordedMarket):
            names = Trade.__dataclass_fields__
            market.add(Trade(**{name: message.get(name, "") for name in names}))
        for channel in CHANNELS_OF_TYPE.get(message["type"], ()):
            for session in list(exchange.sessions):
                if channel in session.subscriptions and (not product or session.wants(channel, product)):
                    session.deliver(channel, product, payload)


def load(path: Path, speed: float) -> Replay:
    """Reads a recording.

    Raises:
        ValueError: A line is not a JSON object with a type, and which.
    """
    lines = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                lines.append((line, msgspec.json.decode(line, type=dict[str, Any])))
                lines[-1][1]["type"]
            except (msgspec.MsgspecError, KeyError) as error:
                raise ValueError(f"{path}, line {number}: not a message of the feed ({error})") from None
    return Replay(lines, speed)


def _time(message: dict[str, Any]) -> datetime | None:
    text = message.get("time")
    return datetime.fromisoformat(text) if isinstance(text, str) and text != ZERO_TIME else None
