"""What a dataset must hold after one seed of the net: computed from the messages by other means than the source's own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from connector_runner.sources.coinbase.streams import Proof
from tests.simulators.coinbase.relay import Told
from tests.unit.coinbase.net import PRODUCTS, World
from tests.unit.coinbase.net_rows import Values, expected, gaps_told, kinds_told, values
from tests.unit.coinbase.net_trades import trades


def problems(world: World) -> Iterator[str]:
    """What is wrong and was not told, one sentence each."""
    yield from world.untrue
    kind = world.spec.proof
    if kind is Proof.BOOK:
        yield from _books(world)
    elif kind is Proof.STATE:
        yield from _status(world)
    elif kind is Proof.TRADE_IDS:
        yield from trades(world)
    else:
        yield from _rows(world)


def _books(world: World) -> Iterator[str]:
    for product in PRODUCTS:
        book = world.exchange.books[product]
        truth = {("buy", p): s for p, s in book.buy.items()} | {("sell", p): s for p, s in book.sell.items()}
        found = {
            (row[1], int(row[2] * 100)): int(row[3] * 10**8) for row in world.stored.state.values() if row[0] == product
        }
        if found != truth:
            yield f"{product}: the book differs in {len(found.items() ^ truth.items())} levels"


def _status(world: World) -> Iterator[str]:
    truth = {name: world.exchange.states.get(name, "online") for name in PRODUCTS}
    found = {key[1]: row[3] for key, row in world.stored.state.items() if key[0] == "product"}
    if found != truth:
        yield f"status is {found}, should be {truth}"


EXCUSES = {"restart", "out_of_order"}


def _rows(world: World) -> Iterator[str]:
    own = [told for told in world.told if told.message and _is_of(world.stream, told.message)]
    written = {key: [values(world, row) for row in rows] for key, rows in world.stored.writes.items()}
    everything = [value for rows in written.values() for value in rows]
    for told in own:
        assert told.message is not None
        subject = told.message.get("product_id") or told.message["account_id"]
        kinds = kinds_told(world, subject)
        if expected(world.stream, told.raw) not in written.get(_key(world, told), []) and not kinds & EXCUSES:
            yield f"{world.stream}: {told.raw!r} is not stored, told: {sorted(kinds)}"
            return
    truths = [expected(world.stream, told.raw) for told in own]
    if any(value not in truths for value in everything):
        yield f"{world.stream}: {next(value for value in everything if value not in truths)} was never told"
    yield from _overwritten(world, written)
    if world.stream == "full":
        yield from _sequences(world)
    if world.stream == "balance":
        yield from _balances(world, own)


def _is_of(stream: str, message: dict[str, Any]) -> bool:
    kind = str(message["type"])
    return (kind == "heartbeat") == (stream == "heartbeat") and kind != "error"


def _key(world: World, told: Told) -> tuple[Any, ...]:
    row = expected(world.stream, told.raw)
    return tuple(row[name] for name in world.spec.schema.key)


def _overwritten(world: World, written: dict[tuple[Any, ...], list[Values]]) -> Iterator[str]:
    """A row that has another one's place, and rows that stand twice."""
    is_state = world.spec.order not in world.spec.schema.key or world.stream.startswith("ticker")
    may_repeat = {"kill", "disconnect", "repeat_later"} & set(world.draws.drawn)
    for key, rows in written.items():
        kinds = kinds_told(world, str(key[0]))
        differs = any(row != rows[0] for row in rows)
        goes_on = world.mode != "standAside" and "restart" in kinds
        if differs and not is_state and not goes_on and "conflict" not in kinds:
            yield f"{world.stream} {key}: {rows[0]} was overwritten by {rows[-1]}, told: {sorted(kinds)}"
        texts = Counter(json.dumps(row, default=str) for row in rows)
        is_numbered = rows[0].get("sequence") != 0
        if max(texts.values()) > 1 and not may_repeat and not goes_on and is_numbered:
            yield f"{world.stream} {key}: stands {max(texts.values())} times"


def _sequences(world: World) -> Iterator[str]:
    for product in PRODUCTS:
        kinds, gaps = kinds_told(world, product), gaps_told(world, product)
        found = sorted({key[1] for key in world.stored.writes if key[0] == product})
        if not found or product in world.restarts:
            continue
        for before, after in pairwise(found):
            if after > before + 1 and not any(first <= before + 1 <= after - 1 <= last for first, last in gaps):
                missing = set(range(before + 1, after)) if after - before < 10**5 else {before + 1}
                untold = {n for n in missing if not any(first <= n <= last for first, last in gaps)}
                if untold:
                    yield f"{product}: sequences {sorted(untold)[:5]} are missing, told: {sorted(kinds)}"


def _balances(world: World, own: list[Told]) -> Iterator[str]:
    newest: dict[str, Values] = {}
    for told in own:
        row = expected("balance", told.raw)
        before = newest.get(row["account_id"])
        if before is None or row["timestamp"] >= before["timestamp"]:
            newest[row["account_id"]] = row
    for account, row in newest.items():
        found = values(world, world.stored.state[account,])
        if found != row and found not in [expected("balance", t.raw) for t in own if expected("balance", t.raw)["timestamp"] == row["timestamp"] and t.raw != own[-1].raw and "repeat_later" in world.draws.active]:  # fmt: skip
            yield f"balance of {account} is {found}, should be {row}"
