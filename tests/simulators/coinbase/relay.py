"""Is between the simulated exchange and a reader, and does to each message, by seed, what feeds are known to do.

What a message then says (its fields) is the truth that a dataset is held against; whether, when and how often it comes is not.
`KINDS` are all misbehaviours, also those of the exchange itself and of REST, which `net.py` acts out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.simulators.draws import Draws

Message = dict[str, Any]

WORLD = {"restart": 0.04, "jump": 0.04, "unfillable": 0.05, "told_late": 0.1, "no_greeting": 0.9}
SAID = {
    "fine_time": 0.2,
    "coarse_time": 0.2,
    "offset_time": 0.2,
    "missing_field": 0.1,
    "null_field": 0.1,
    "odd_type": 0.1,
    "new_field": 0.2,
    "number": 0.1,
}
TOLD = {
    "repeat": 0.1,
    "repeat_later": 0.06,
    "reorder": 0.05,
    "lose": 0.08,
    "garbage": 0.04,
    "new_channel": 0.1,
    "contradict": 0.03,
    "far_id": 0.04,
    "lose_first": 0.6,
    "high_start": 1.0,
    "same_time": 0.2,
    "untraded": 0.1,
}
BEATS = {"high_beat": 0.3, "low_beat": 0.2, "zero_beat": 0.4, "no_beat": 0.4}
LIFE = {"disconnect": 0.02, "kill": 0.02}
REST = {"rest_fails": 0.4, "rest_stale": 0.4, "rest_short": 0.7, "rest_shuffled": 0.7}
KINDS = WORLD | SAID | TOLD | BEATS | LIFE | REST

NEEDED = {"type", "product_id", "account_id", "trade_id", "sequence", "order_id", "time", "timestamp", "changes", "bids", "asks", "last_trade_id"}  # fmt: skip
"""Fields whose loss makes a message unreadable, or its place unknown; they are never taken away."""
CONTROL = {"subscriptions", "error", "heartbeat", "status", "snapshot", "l2update"}
TIMES = ("time", "timestamp", "updated")


@dataclass
class Told:
    """One message as it reached the reader.

    Attributes:
        raw: Its bytes.
        message: Their content; None if they are not a message of the stream.
        is_lie: Whether it contradicts earlier messages.
    """

    raw: bytes
    message: Message | None
    is_lie: bool = False


@dataclass
class Relay:
    """The relay of one stream.

    Attributes:
        draws: What happens.
        stream: Whose messages go through.
        lost: Whether a loss of this stream's messages can be seen by anyone.
    """

    draws: Draws
    stream: str
    lost: bool
    _late: list[tuple[int, Told]] = field(default_factory=list)
    _held: list[Told] = field(default_factory=list)
    _count: int = 0
    _traded: set[str] = field(default_factory=set)
    _ahead: dict[str, list[int]] = field(default_factory=dict)

    def carry(self, raws: Iterable[bytes]) -> list[Told]:
        """Messages on their way, as they reach the reader."""
        out: list[Told] = []
        for raw in raws:
            message: Message = msgspec.json.decode(raw)
            if message["type"] == "heartbeat" and self.stream != "heartbeat":
                out += self._beat(message)
            elif message["type"] in CONTROL and self.stream != "heartbeat":
                out += self._around(Told(raw, message))
            else:
                out += self._deliver(self._say(message))
        return out

    def flush(self) -> list[Told]:
        """What was held back comes at last."""
        held, self._held = self._held, []
        late, self._late = [told for _, told in self._late], []
        return held + late

    def forget(self) -> None:
        """The connection is gone, and what was on its way."""
        self._held, self._late = [], []

    def _say(self, message: Message) -> Told:
        """What a message says, changed."""
        strikes, chance = self.draws.strikes, self.draws.random
        message = dict(message)
        for name in TIMES:
            text = message.get(name)
            if isinstance(text, str) and text.endswith("Z"):
                if strikes("fine_time"):
                    message[name] = text[:-1] + chance.choice(["999", "5", "0001", "000", "123456"]) + "Z"
                elif strikes("coarse_time") and message["type"] != "balance":
                    message[name] = text[:-4] + "Z" if chance.random() < 0.7 else re.sub(r"\.\d+", "", text)
                elif strikes("offset_time"):
                    message[name] = text[:-1] + "+00:00"
        spare = sorted(message.keys() - NEEDED)
        if spare and strikes("missing_field"):
            del message[chance.choice(spare)]
        elif spare and strikes("null_field"):
            message[chance.choice(spare)] = None
        elif spare and strikes("odd_type"):
            message[chance.choice(spare)] = {"amount": [1, "x"]}
        if strikes("new_field"):
            message["novelty"] = chance.choice(["x", 5, None, {"a": "b:c"}, [1.50]])
        raw = msgspec.json.encode(message)
        if strikes("number"):
            raw = re.sub(rb'"(price|size|best_bid|holds)":"([\d.]+)"', rb'"\1":\2', raw)
        return Told(raw, message)

    def _deliver(self, told: Told) -> list[Told]:
        """When and how often a message comes."""
        strikes, chance = self.draws.strikes, self.draws.random
        self._count += 1
        due = [late for at, late in self._late if at <= self._count]
        self._late = [(at, late) for at, late in self._late if at > self._count]
        assert told.message is not None
        product = told.message.get("product_id", "")
        if self.lost and (strikes("lose") or (product not in self._traded and strikes("lose_first"))):
            return due
        self._traded.add(product)
        out = self._around(told)
        if strikes("repeat"):
            out.append(told)
        if strikes("repeat_later"):
            self._late.append((self._count + chance.randint(1, 12), told))
        if self.stream == "matches" and "price" in told.message and strikes("contradict"):
            lie = told.message | {"price": "0.01234567"}
            self._late.append((self._count + chance.randint(1, 9), Told(msgspec.json.encode(lie), lie, is_lie=True)))
        if self.stream == "matches" and strikes("far_id"):
            lie = told.message | {"trade_id": told.message["trade_id"] + chance.choice([7, 4000, 10**6])}
            out.append(Told(msgspec.json.encode(lie), lie, is_lie=True))
        if self.stream == "balance" and strikes("same_time"):
            again = told.message | {"available": f"{chance.randrange(10**6)}.17"}
            out.append(Told(msgspec.json.encode(again), again))
        if strikes("untraded"):
            bid = {"best_bid": f"{chance.randrange(100)}.5", "best_bid_size": "1", "best_ask": "101", "price": ""}
            quiet = {"type": "ticker", "product_id": "NEW-USD", **bid} | chance.choice([{}, {"sequence": None}])
            out.append(Told(msgspec.json.encode(quiet), quiet))
        if strikes("reorder"):
            self._held += out
            return due
        held, self._held = self._held, []
        return due + out + held

    def _around(self, told: Told) -> list[Told]:
        """What comes before a message."""
        out = []
        if self.draws.strikes("garbage"):
            raw = self.draws.random.choice([b"", b"{", b"\xc3\x28", b"[1]", b'"x"', told.raw[:-3]])
            out.append(Told(raw, None))
        if self.draws.strikes("new_channel"):
            out.append(Told(b'{"type":"novelty","product_id":"BTC-USD","trade_id":5,"sequence":1}', None))
        return [*out, told]

    def _beat(self, message: Message) -> list[Told]:
        strikes, chance = self.draws.strikes, self.draws.random
        if strikes("no_beat"):
            return []
        if strikes("zero_beat"):
            message["last_trade_id"] = chance.choice([0, None])
        elif self._is_ahead(message["product_id"]):
            message["last_trade_id"] += self._ahead[message["product_id"]][1]
        elif strikes("high_beat"):
            message["last_trade_id"] += chance.choice([1, 30, 5000, 10**7])
        elif strikes("low_beat"):
            message["last_trade_id"] = max(1, message["last_trade_id"] - chance.choice([1, 3]))
        return self._around(Told(msgspec.json.encode(message), message))

    def _is_ahead(self, product: str) -> bool:
        """Whether heartbeats before the first trade have too high ids: two of them, or all."""
        chance = self.draws.random
        if product in self._traded or not self.draws.strikes("high_start"):
            return False
        ahead = self._ahead.setdefault(product, [chance.choice([2, 2, 10**6]), chance.choice([1, 1, 2, 30, 5000])])
        ahead[0] -= 1
        return ahead[0] >= 0
