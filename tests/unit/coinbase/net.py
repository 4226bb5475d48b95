"""One seed of the net: the simulated exchange, a relay that misbehaves, a reader with a clock, REST, and a dataset in memory.

Everything follows from the seed. What is true is known (`net_truth` compares): each stream's dataset equals it, or a person is told.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from connector_runner.protocols.batch import Incident, Operation, Row
from connector_runner.sources.coinbase.decode.rest import decode_page
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.building import build_reader
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.streams import STREAMS, Proof
from connector_runner.sources.coinbase.trades.reader import MatchesReader, Request
from tests.simulators.coinbase import messages
from tests.simulators.coinbase.exchange import Exchange
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.limits import Credentials
from tests.simulators.coinbase.market import SEQUENCES_A_TRADE
from tests.simulators.coinbase.relay import BEATS, KINDS, LIFE, REST, SAID, Relay, Told
from tests.simulators.coinbase.session import Session
from tests.simulators.coinbase.shifting import ShiftingMarket
from tests.simulators.draws import Draws

START = 1_780_000_000_000_000
STEP = 0.25
ACTIVE_SECONDS, TRADING_SECONDS = 30.0, 10.0
QUIET_SECONDS = {"matches": 32.0}
"""Long enough for REST to be given up; others need only what is on its way."""
LAST_TRADES_SECONDS, LAST_SECONDS = 3.0, 4.0
"""After the quiet it trades once more: what was believed wrongly by then shows; and then what is on its way comes."""
PRODUCTS = ("BTC-USD", "ETH-USD")
WEIGHTS = {"matches": 12, "full": 3, "balance": 3, "ticker": 3}
COUNTED = {"ticker", "ticker_batch", "full", "user", "rfq_matches", "matches"}
TOGETHER = {
    "matches": [
        ("restart", "kill"),
        ("restart", "kill"),
        ("restart", "lose"),
        ("no_greeting", "zero_beat"),
        ("no_greeting", "high_beat"),
        ("no_greeting", "high_start", "kill"),
        ("no_greeting", "high_start", "kill"),
        ("no_greeting", "high_start", "lose_first"),
        ("no_greeting", "high_start", "lose_first"),
        ("unfillable", "told_late"),
    ]
}
"""Kinds that only together show what a reader makes of them."""
ALSO = {"matches": [("restart", "lose"), ("contradict", "kill"), ("restart", "kill"), ("no_greeting", "zero_beat")]}
"""As `TOGETHER`, for every third seed and whatever else it draws: what awaits judgement, and what REST brings of new numbers."""
NEEDS = dict.fromkeys(REST, "lose") | {"told_late": "unfillable"}
MODES = ("standAside", "overwrite", "append")


def kinds_of(stream: str) -> dict[str, float]:
    """The misbehaviours that mean something to a stream."""
    whole = {"garbage", "new_channel", *LIFE}
    if STREAMS[stream].proof in {Proof.BOOK, Proof.STATE}:
        return {kind: KINDS[kind] for kind in whole}
    wanted = whole | SAID.keys() | {"repeat", "repeat_later", "reorder"}
    if stream in COUNTED:
        wanted |= {"restart", "jump"}
        wanted |= BEATS.keys()
    if stream == "matches":
        wanted |= {"unfillable", "told_late", "no_greeting", "contradict", "far_id", "lose_first", "high_start", *REST}
    if stream in {"matches", "full"}:
        wanted.add("lose")
    if stream == "balance":
        wanted.add("same_time")
    if stream.startswith("ticker"):
        wanted.add("untraded")
    return {kind: KINDS[kind] for kind in wanted}


@dataclass
class Stored:
    """The dataset: what was written to each key, in order, and the state by key."""

    key: tuple[int, ...]
    width: int
    writes: dict[tuple[Any, ...], list[Row]] = field(default_factory=lambda: defaultdict(list))
    state: dict[tuple[Any, ...], Row] = field(default_factory=dict)

    def apply(self, builder: BatchBuilder) -> None:
        operations = builder.operations or bytes(len(builder.rows))
        for row, operation in zip(builder.rows, operations, strict=True):
            if operation == Operation.REPLACE:
                self.state = {key: kept for key, kept in self.state.items() if key[: len(row)] != row}
                continue
            key = tuple(row[index] for index in self.key)
            if operation == Operation.DELETE:
                self.state.pop(key, None)
            elif operation != Operation.INSERT or key not in self.state:
                self.state[key] = row
                self.writes[key].append(row)


class World:
    """One seed, from its start to its end.

    Attributes:
        told: The messages of the stream as they reached the reader, in order.
        restarts: Products whose ids began again, each with how many messages had reached the reader by then.
        incidents: What was told, with notes beside them.
        begun_at: How many messages had reached the reader when it last began without a position.
        untrue: What was told or written though it can't be so, by what was known at that moment.
        questions: How many pages REST was asked for.
        kills: When the reader was built again: how many messages had reached it, and how many of them when a position was last kept.
        first_rows: How many messages had reached the reader when the first row of a product was stored.
    """

    def __init__(self, seed: int) -> None:
        chance = random.Random(f"stream:{seed}")
        names = list(STREAMS)
        self.stream = chance.choices(names, [WEIGHTS.get(name, 1) for name in names])[0]
        self.mode = chance.choice(MODES)
        third = random.Random(f"also:{seed}")
        also = third.choice(ALSO[self.stream]) if self.stream in ALSO and third.random() < 1 / 3 else ()
        together = TOGETHER.get(self.stream, ())
        self.draws = Draws(seed, kinds_of(self.stream), needs=NEEDS, together=together, also=also)
        self.spec = STREAMS[self.stream]
        history = chance.choice([0, 1, 60, 300])
        first = chance.choice([0, 5000, 10**8]) if history else 0
        self.market = ShiftingMarket(seed, PRODUCTS, history=history, start=START, first=first)
        self.exchange = Exchange(self.market, Credentials(), depth=8)
        self.relay = Relay(self.draws, self.stream, self.stream in {"matches", "full"})
        self.stored = Stored(self.spec.schema.key_indices, len(self.spec.schema.columns))
        self.told: list[Told] = []
        self.incidents: list[Incident] = []
        self.notes: list[str] = []
        self.restarts: dict[str, int] = {}
        self.begun_at = 0
        self.kills: list[tuple[int, int]] = []
        self.first_rows: dict[str, int] = {}
        self._kept_at = 0
        self.untrue: list[str] = []
        self.aside: set[str] = set()
        self.questions = 0
        self.seconds = 0.0
        self._asked: list[tuple[float, Request]] = []
        self._position: dict[str, Any] | None = None
        is_quiet = "no_greeting" in self.draws.active
        self._opens = {product: chance.choice([0.0, 5.0, 5.0, 15.0]) if is_quiet else 0.0 for product in PRODUCTS}
        self.reader = self._build()
        self.session = self._connect()

    @property
    def now(self) -> int:
        return START + round(self.seconds * 1e6)

    def run(self) -> None:
        """Misbehaves for a while, then comes to an end that must be right."""
        again = ACTIVE_SECONDS + TRADING_SECONDS + QUIET_SECONDS.get(self.stream, 6.0)
        hours = ((0.0, ACTIVE_SECONDS + TRADING_SECONDS), (again, again + LAST_TRADES_SECONDS))
        while self.seconds < again + LAST_TRADES_SECONDS + LAST_SECONDS:
            if self.seconds == ACTIVE_SECONDS:
                self.draws.calm()
                self._read(self.relay.flush())
            self._step(is_trading=any(first <= self.seconds < last for first, last in hours))
            self.seconds += STEP

    def _step(self, *, is_trading: bool) -> None:
        chance = self.draws.random
        self._shift()
        if is_trading:
            self.market.open = [product for product in PRODUCTS if self._opens[product] <= self.seconds]
            self.exchange.trade(self.now, chance.choice([0, 0, 1, 2]))
            self.exchange.move_books(self.now, 2)
        if self.seconds % 1 == 0:
            self.exchange.beat(self.now)
        raws = [raw for raw in self.session.outgoing if isinstance(raw, bytes)]
        self.session.outgoing.clear()
        self._read(self.relay.carry(raw for raw in raws if b'"subscriptions"' not in raw and b'"activate"' not in raw))
        if isinstance(self.reader, MatchesReader):
            self._fill(self.reader)
        if self.draws.strikes("kill"):
            self.begun_at = len(self.told) if self._position is None else self.begun_at
            self.kills.append((len(self.told), self._kept_at))
            self.reader = self._build()
            self._asked.clear()
            self.session = self._connect()
        elif self.draws.strikes("disconnect"):
            self.session = self._connect()

    def _shift(self) -> None:
        """What the exchange itself does."""
        chance = self.draws.random
        product = chance.choice(PRODUCTS)
        is_begun = self.seconds > 3 and self.market.series(product).known
        if is_begun and product not in self.restarts and self.draws.strikes("restart"):
            self.restarts[product] = len(self.told)
            last = self.market.series(product).last_id
            self.market.restart(
                product, max(0, chance.choice([0, last - chance.randint(4, 30), last - chance.randint(1, 300)]))
            )
        if self.draws.strikes("jump"):
            self.market.jump(product, chance.choice([1, 50, 948, 5000, 70_000, 3_000_000]))
        if self.draws.strikes("unfillable"):
            self.exchange.arm(Fault.UNFILLABLE)
        if (hidden := self.market.hidden[product]) and self.draws.strikes("told_late"):
            trade = self.market.trade(product, chance.choice(sorted(hidden)))
            self.session.deliver("matches", product, messages.encode(messages.match(trade)))
        if self.stream == "status" and self.seconds < ACTIVE_SECONDS and chance.random() < 0.05:
            self.exchange.states[product] = chance.choice(["online", "offline", "delisted"])

    def _build(self) -> Reader:
        restarts = RestartedIds.STAND_ASIDE if self.mode == "standAside" else RestartedIds.OVERWRITE
        position = None if self._position is None else json.loads(json.dumps(self._position))
        return build_reader(self.spec, position, PRODUCTS, restarts)

    def _connect(self) -> Session:
        """A new connection: what was on its way on the old one is lost, and the exchange greets."""
        self.exchange.sessions.clear()
        self.relay.forget()
        session = Session(self.exchange.faults)
        self.exchange.sessions.add(session)
        asked = list(messages.ACCOUNTS) if self.stream == "balance" else list(PRODUCTS)
        channels = [{"name": self.stream, "product_ids": [] if self.stream == "status" else asked}]
        if self.stream != "heartbeat":
            channels.append({"name": "heartbeat", "product_ids": list(PRODUCTS)})
        known = self.exchange.credentials
        self.exchange.credentials = Anyone()
        states, self.exchange.states = self.exchange.states, {}
        self.exchange.receive(session, {"type": "subscribe", "channels": channels, "signature": "x"}, self.now)
        self.exchange.credentials, self.exchange.states = known, states
        if self.stream == "status" or self.draws.strikes("no_greeting"):
            session.outgoing.clear()
        builder = BatchBuilder()
        self.reader.begin(PRODUCTS, builder, self.seconds)
        self._keep(builder)
        return session

    def _read(self, told: list[Told]) -> None:
        for one in told:
            if one.message is not None:
                self.told.append(one)
        builder = BatchBuilder()
        self.reader.read([one.raw for one in told], builder, self.seconds)
        self._keep(builder)
        if builder.distrust:
            self.session = self._connect()

    def _fill(self, reader: MatchesReader) -> None:
        for request in reader.due(self.seconds, 4):
            self.questions += 1
            self._asked.append((self.seconds + STEP, request))
        due = [request for at, request in self._asked if at <= self.seconds]
        self._asked = [(at, request) for at, request in self._asked if at > self.seconds]
        for request in due:
            if self.draws.strikes("rest_fails"):
                reader.failed(request, self.seconds + 1)
                continue
            builder = BatchBuilder()
            reader.fill(request, decode_page(self._page(request)), builder, self.seconds)
            self._keep(builder)

    def _page(self, request: Request) -> bytes:
        """What REST answers."""
        page = self.market.page(request.product, request.limit, request.after, None, 0)
        if self.draws.strikes("rest_stale"):
            page = page[self.draws.random.randint(1, 4) :]
        if self.draws.strikes("rest_short"):
            page = page[: self.draws.random.randint(2, 40)]
        if self.draws.strikes("rest_shuffled"):
            self.draws.random.shuffle(page)
        keys = ("time", "trade_id", "price", "size", "side")
        return messages.encode([{key: getattr(trade, key) for key in keys} for trade in page])  # type: ignore[arg-type]

    def _keep(self, builder: BatchBuilder) -> None:
        """Commits: rows, incidents and the position together."""
        self._watch(builder)
        self.stored.apply(builder)
        for row in builder.rows:
            self.first_rows.setdefault(row[0] if row else "", len(self.told))
        self.incidents += builder.incidents
        self.notes += builder.notes
        if builder.rows or builder.incidents:
            self._position = dict(self.reader.position())
            self._kept_at = len(self.told)

    def _watch(self, builder: BatchBuilder) -> None:
        """What is wrong by what there is at this moment."""
        if self.stream not in COUNTED:
            return
        self.untrue += [
            f"{row} was written, but its product stands aside" for row in builder.rows if self.aside & set(row)
        ]
        for incident in builder.incidents:
            product = incident.subject
            if incident.kind == "gap":
                newest = max(series.last_id for series in self.market.past[product])
                if incident.detail["to"] > newest * (1 if self.stream == "matches" else SEQUENCES_A_TRADE):
                    self.untrue.append(f"{incident.message}; the newest there is has the id {newest}")
            elif incident.kind == "restart":
                if product not in self.restarts and not self._was_lied_to(product):
                    self.untrue.append(f"{incident.message}; but they go on")
                if product in self.aside:
                    self.untrue.append(f"{incident.message}; but it stands aside already")
                if self.mode == "standAside":
                    self.aside.add(product)

    def _was_lied_to(self, product: str) -> bool:
        return any(told.is_lie and told.message and told.message["product_id"] == product for told in self.told)


class Anyone(Credentials):
    """Accepts every signature: signing is not what this is about."""

    def refusal(self, request: dict[str, object], path: str = "/users/self/verify") -> str | None:
        del request, path
        return None
