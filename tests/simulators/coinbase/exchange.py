"""The exchange: sends the market's trades and books to every session according to its subscriptions. No sockets here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.simulators.coinbase import messages
from tests.simulators.coinbase.faults import ONCE_FOR_ALL, Fault, FaultBook
from tests.simulators.coinbase.limits import Credentials
from tests.simulators.coinbase.market import Book, Market, Trade, iso
from tests.simulators.coinbase.messages import Message, encode
from tests.simulators.coinbase.session import Session, refusal, wanted_channels

SUBSCRIPTIONS_A_PRODUCT = 10
BOOK_CHANNELS = ("level2_batch", "level2")
TRADE_CHANNELS: dict[str, Callable[[Trade], list[Message]]] = {
    "matches": lambda trade: [messages.match(trade)],
    "ticker": lambda trade: [messages.ticker(trade)],
    "full": messages.full,
    "user": lambda trade: (
        messages.full(trade) + ([messages.activate(trade)] if trade.trade_id % 20 == 0 else [])
        if trade.trade_id % 5 == 0
        else []
    ),
    "rfq_matches": lambda trade: [messages.rfq_match(trade)] if trade.trade_id % 5 == 0 else [],
}


@dataclass(slots=True)
class Exchange:
    """State of the simulated exchange.

    Attributes:
        market: The truth about trades.
        credentials: The API key it accepts.
        depth: Levels a side of a book at its start.
        products_a_connection: More in one subscription are refused.
        listened: Set by the first subscription.
        states: Products that are not online, with their status.
        refused: Products (or `channel:product`) that REST lists and the feed refuses all the same, each with the words for it.
    """

    market: Market
    credentials: Credentials
    depth: int = 50
    products_a_connection: int = 200
    states: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    faults: FaultBook = field(default_factory=FaultBook)
    sessions: set[Session] = field(default_factory=set)
    books: dict[str, Book] = field(default_factory=dict)
    beats: int = 0
    listened: asyncio.Event = field(default_factory=asyncio.Event)
    _chance: random.Random = field(default_factory=lambda: random.Random("exchange"))

    def book(self, product: str) -> Book:
        if product not in self.books:
            self.books[product] = Book(self.market.seed, product, self.depth)
        return self.books[product]

    def arm(self, fault: Fault, count: int = 1) -> None:
        """Arms a fault on every session that is open, or once for the whole exchange."""
        if fault in ONCE_FOR_ALL:
            self.faults.armed[fault] += count
            return
        for session in self.sessions:
            for _ in range(count):
                session.faults.arm(fault)

    def receive(self, session: Session, request: object, now: int) -> bool:
        """Handles a client's message; False: the exchange closes the connection."""
        if not isinstance(request, dict) or request.get("type") not in {"subscribe", "unsubscribe"}:
            session.answer(encode(messages.error("Type has to be either subscribe or unsubscribe", "Malformed JSON")))
            return True
        try:
            channels = list(wanted_channels(request))
        except ValueError as error:
            session.answer(encode(messages.error(str(error))))
            return True
        if request["type"] == "unsubscribe":
            for channel, products in channels:
                session.subscriptions.get(channel, set()).difference_update(products)
            session.answer(encode(messages.acknowledgement(session.subscriptions)))
            return True
        return self._subscribe(session, request, channels, now)

    def _subscribe(
        self, session: Session, request: dict[str, object], channels: list[tuple[str, list[str]]], now: int
    ) -> bool:
        signed = "signature" in request
        reason = self.credentials.refusal(request) if signed else None
        is_known = set(self.market.products).difference(
            name for name, state in self.states.items() if state == "delisted"
        )
        reason = reason or refusal(channels, is_known.__contains__, signed, self.products_a_connection)
        reason = reason or self._crowded(session, channels)
        asked = [
            name for channel, products in channels for product in products for name in (product, f"{channel}:{product}")
        ]
        reason = reason or next((self.refused[name] for name in asked if name in self.refused), None)
        if reason is not None:
            session.answer(encode(messages.error(reason)))
            return True
        for channel, products in channels:
            session.subscriptions.setdefault(channel, set()).update(products)
        self.listened.set()
        session.answer(encode(messages.acknowledgement(session.subscriptions)))
        for channel, products in channels:
            for greeting in self._greetings(channel, products, now):
                session.answer(greeting)
        return True

    def _crowded(self, session: Session, channels: list[tuple[str, list[str]]]) -> str | None:
        """Why there are too many subscriptions; those that a fault has killed do not count."""
        others = [other for other in self.sessions if other is not session and not other.is_frozen]
        for channel, products in channels:
            for product in products:
                if sum(other.wants(channel, product) for other in others) >= SUBSCRIPTIONS_A_PRODUCT:
                    return f"too many subscriptions to {channel} of {product}: at most {SUBSCRIPTIONS_A_PRODUCT}"
        return None

    def _greetings(self, channel: str, products: Iterable[str], now: int) -> Iterable[bytes]:
        """What a new subscription receives first."""
        if channel == "status":
            yield encode(messages.status(self.market.products, self.states))
        for product in () if channel in messages.WITHOUT_PRODUCTS else products:
            if channel in BOOK_CHANNELS:
                yield encode(messages.snapshot(product, self.book(product)))
            elif channel in {"matches", "ticker", "ticker_batch"} and (trade := self.market.last_told(product)):
                yield encode(messages.match(trade, "last_match") if channel == "matches" else messages.ticker(trade))

    def trade(self, now: int, count: int) -> None:
        """Makes `count` trades and sends them."""
        for trade in self.market.advance(now, count):
            hidden = self.faults.strike(Fault.UNFILLABLE)
            if hidden:
                self.market.hidden[trade.product_id].add(trade.trade_id)
            for channel, shapes in TRADE_CHANNELS.items():
                if hidden and channel == "matches":
                    continue
                self._tell(channel, trade.product_id, lambda shapes=shapes, trade=trade: shapes(trade))  # type: ignore[misc]

    def move_books(self, now: int, steps: int) -> None:
        """Changes `steps` of the books that anyone has asked for."""
        watched = list(self.books)
        for product in self._chance.choices(watched, k=steps) if watched else ():
            changes = list(self.books[product].step())
            time = messages.ZERO_TIME if self._chance.random() < 0.02 else iso(now)
            for channel in BOOK_CHANNELS:
                self._tell(channel, product, lambda c=changes, p=product, t=time: [messages.level2_update(p, c, t)])  # type: ignore[misc]

    def beat(self, now: int) -> None:
        """Once a second: heartbeats, auctions, balances; every fifth second the conflated tickers and the status."""
        self.beats += 1
        for product in self.market.products:
            self._tell("heartbeat", product, lambda p=product: [messages.heartbeat(self.market, p, now)])  # type: ignore[misc]
            self._tell("auctionfeed", product, lambda p=product: [messages.auction(self.market, p, now)])  # type: ignore[misc]
            if self.beats % 5 == 0 and (trade := self.market.last_told(product)):
                self._tell("ticker_batch", product, lambda t=trade: [messages.ticker(t)])  # type: ignore[misc]
        for account in messages.ACCOUNTS:
            self._tell("balance", account, lambda a=account: [messages.balance(a, now, self.beats)])  # type: ignore[misc]
        if self.beats % 5 == 0:
            payload = encode(messages.status(self.market.products, self.states))
            for session in self.sessions:
                if "status" in session.subscriptions:
                    session.deliver("status", "", payload)

    def _tell(self, channel: str, product: str, build: Callable[[], list[Message]]) -> None:
        """Sends to whom it may concern; the messages are built only if there is anyone."""
        listeners = [session for session in self.sessions if session.wants(channel, product)]
        if listeners:
            for payload in map(encode, build()):
                for session in listeners:
                    session.deliver(channel, product, payload)
