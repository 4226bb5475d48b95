"""A market that trades by itself, from a seed: the truth that every test compares with.

What a trade is follows from the seed, the product and the trade id alone, so a million trades cost eight bytes each (their
times) and a REST page of any age can be made again. Only the order in which products trade is drawn.
"""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SEQUENCES_A_TRADE = 5
"""received (maker), open, received (taker), match, done: how many numbers of `full` one trade uses up."""
QUOTES = ("USD", "EUR", "USDT", "BTC", "GBP")
BASES = (
    *("BTC", "ETH", "LINK", "SOL", "ADA", "DOGE", "XRP", "LTC", "DOT", "AVAX", "MATIC", "UNI", "ATOM", "XLM", "ALGO"),
    *("FIL", "ICP", "AAVE", "GRT", "MKR", "SNX", "CRV", "COMP", "YFI", "BAL", "ZRX", "BAT", "ENJ", "MANA", "SAND"),
)


def product_names(count: int) -> tuple[str, ...]:
    """The first `count` products: the well-known ones against USD first, then other quotes, then numbered ones."""
    named = [f"{base}-{quote}" for quote in QUOTES for base in BASES if base != quote]
    return tuple((named + [f"COIN{n}-USD" for n in range(max(0, count - len(named)))])[:count])


def iso(microseconds: int) -> str:
    """Microseconds since the epoch as the exchange writes them: `2026-11-24T01:02:03.456789Z`."""
    moment = EPOCH + timedelta(microseconds=microseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade, with everything that the feed says about it."""

    product_id: str
    trade_id: int
    sequence: int
    price: str
    size: str
    side: str
    time: str
    maker_order_id: str
    taker_order_id: str


@dataclass(slots=True)
class Ledger:
    """One product's trades: `history` old ones, one a second, then those that happened since the start."""

    history: int
    start: int
    times: array[int] = field(default_factory=lambda: array("q"))

    @property
    def last_id(self) -> int:
        return self.history + len(self.times)

    def time_of(self, trade_id: int) -> int:
        """Microseconds since the epoch."""
        if trade_id > self.history:
            return self.times[trade_id - self.history - 1]
        return self.start - (self.history - trade_id + 1) * 1_000_000


class Market:
    """All products and their trades so far; ids start at 1 and have no holes."""

    def __init__(self, seed: int, products: Sequence[str], *, history: int, start: int) -> None:
        self.seed = seed
        self.products = tuple(products)
        self.ledgers = {product: Ledger(history, start) for product in products}
        self.hidden: dict[str, set[int]] = {product: set() for product in products}
        """Trades that REST does not have and the feed never sent: holes that can't be filled."""
        self._random = random.Random(f"{seed}:order")

    def advance(self, now: int, count: int) -> list[Trade]:
        """`count` more trades at `now` (microseconds since the epoch), on products drawn from the seed."""
        trades = []
        for _ in range(count):
            product = self._random.choice(self.products)
            ledger = self.ledgers[product]
            ledger.times.append(now)
            trades.append(self.trade(product, ledger.last_id))
        return trades

    def trade(self, product: str, trade_id: int) -> Trade:
        """Any trade that has happened."""
        ledger = self.ledgers[product]
        if not 1 <= trade_id <= ledger.last_id:
            raise LookupError(f"{product} has no trade {trade_id}")
        digest = hashlib.blake2b(f"{self.seed}:{product}:{trade_id}".encode(), digest_size=40).digest()
        noise = int.from_bytes(digest[32:36], "big")
        cents = base_price(product) + noise % 2000 - 1000
        size = 1 + int.from_bytes(digest[36:], "big") % 999_999_999
        return Trade(
            product_id=product,
            trade_id=trade_id,
            sequence=trade_id * SEQUENCES_A_TRADE - 1,
            price=f"{cents // 100}.{cents % 100:02}",
            size=f"{size // 10**8}.{size % 10**8:08}",
            side="buy" if noise & 1 else "sell",
            time=iso(ledger.time_of(trade_id)),
            maker_order_id=_uuid(digest[:16]),
            taker_order_id=_uuid(digest[16:32]),
        )

    def page(self, product: str, limit: int, after: int | None, before: int | None, not_since: int) -> list[Trade]:
        """What REST answers: newest first, without the hidden ones.

        Args:
            product: Its id.
            limit: At most so many.
            after: Only ids below this one.
            before: Only ids above this one: the newest of them, not those that follow it.
            not_since: Trades newer than this (microseconds since the epoch) are not known yet.
        """
        ledger, hidden = self.ledgers[product], self.hidden[product]
        newest = ledger.last_id if after is None else min(ledger.last_id, after - 1)
        page: list[Trade] = []
        for trade_id in range(newest, before or 0, -1):
            if len(page) == limit:
                break
            if trade_id not in hidden and ledger.time_of(trade_id) <= not_since:
                page.append(self.trade(product, trade_id))
        return page

    def last_told(self, product: str) -> Trade | None:
        """The newest trade that is not hidden."""
        ledger, hidden = self.ledgers[product], self.hidden[product]
        return next((self.trade(product, n) for n in range(ledger.last_id, 0, -1) if n not in hidden), None)


class Book:
    """One product's order book: price → size by side, changing by itself; prices in cents, sizes in hundred-millionths."""

    def __init__(self, seed: int, product: str, depth: int) -> None:
        self._random = random.Random(f"{seed}:book:{product}")
        self._middle = base_price(product)
        self._depth = depth
        self.buy = {self._middle - 1 - n: self._random.randrange(1, 10**9) for n in range(depth)}
        self.sell = {self._middle + 1 + n: self._random.randrange(1, 10**9) for n in range(depth)}

    def step(self) -> Iterator[tuple[str, int, int]]:
        """A few changes as (side, price, new size); size 0 takes the level away. They are in the book when this returns."""
        for _ in range(self._random.randrange(1, 5)):
            side = self._random.choice(("buy", "sell"))
            offset = 1 + self._random.randrange(self._depth + 5)
            price = self._middle + (offset if side == "sell" else -offset)
            levels = self.buy if side == "buy" else self.sell
            size = 0 if price in levels and self._random.random() < 0.4 else self._random.randrange(1, 10**9)
            if size:
                levels[price] = size
            else:
                del levels[price]
            yield side, price, size


def base_price(product: str) -> int:
    """Around which a product trades, in cents; 100.00 … 99,999.99, by its name."""
    return 10_000 + int.from_bytes(hashlib.blake2b(product.encode(), digest_size=4).digest(), "big") % 9_990_000


def _uuid(digest: bytes) -> str:
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
