"""What a dataset must hold after one seed of the net: computed from the messages by other means than the source's own."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from connector_runner.protocols.batch import Row
from connector_runner.protocols.types import Kind
from connector_runner.sources.coinbase.streams import STREAMS, Proof
from tests.simulators.coinbase.market import Trade
from tests.simulators.coinbase.relay import Told
from tests.unit.coinbase.net import PRODUCTS, World

Values = dict[str, Any]
MOST_QUESTIONS = 250


def problems(world: World) -> Iterator[str]:
    """What is wrong and was not told, one sentence each."""
    kind = world.spec.proof
    if kind is Proof.BOOK:
        yield from _books(world)
    elif kind is Proof.STATE:
        yield from _status(world)
    elif kind is Proof.TRADE_IDS:
        yield from _trades(world)
    else:
        yield from _rows(world)


def expected(stream: str, raw: bytes) -> Values:
    """A message as a row, by its schema."""
    message = json.loads(raw, parse_float=Decimal)
    found: Values = {}
    extra = {name: value for name, value in message.items() if name != "type"}
    for column in STREAMS[stream].schema.columns[:-1]:
        name = column.name
        value = message.get(name)
        read = None if value is None or value == "" else _value(value, column.type.kind)
        found[name] = read
        if read is not None or value is None or value == "":
            extra.pop(name, None)
        if isinstance(read, datetime) and re.search(r"\.\d{6}\d*[1-9]", str(value)):
            extra[name] = value
    if stream.startswith("ticker"):
        found["sequence"] = found["sequence"] or 0
    if "type" in found:
        extra.pop("type", None)
        found["order_id"] = found["order_id"] or ""
    found["extra"] = extra or None
    return found


def _value(value: Any, kind: Kind) -> Any:
    if kind is Kind.DECIMAL:
        return Decimal(str(value)) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    if kind is Kind.TIMESTAMPTZ:
        cut = re.sub(r"(\.\d{6})\d+", r"\1", value) if isinstance(value, str) else ""
        return datetime.fromisoformat(cut).astimezone(UTC) if cut else None
    wanted = {Kind.INT64: int, Kind.BOOL: bool}.get(kind, str)
    return value if isinstance(value, wanted) else None


def values(world: World, row: Row) -> Values:
    found = dict(zip(world.spec.schema.names, row, strict=True))
    found["extra"] = None if found["extra"] is None else json.loads(found["extra"], parse_float=Decimal)
    return found


def _kinds(world: World, product: str) -> set[str]:
    return {i.kind for i in world.incidents if i.subject in {product, world.stream}}


def _gaps(world: World, product: str) -> list[tuple[int, int]]:
    return [(i.detail["from"], i.detail["to"]) for i in world.incidents if i.kind == "gap" and i.subject == product]


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


def _trades(world: World) -> Iterator[str]:
    said: dict[tuple[str, int], list[Values]] = {}
    for told in world.told:
        if not told.is_lie and told.message and told.message["type"] in {"match", "last_match"}:
            key = (told.message["product_id"], told.message["trade_id"])
            said.setdefault(key, []).append(expected("matches", told.raw))
    for product in PRODUCTS:
        series = world.market.past[product]
        for number, one in enumerate(series):
            for trade_id, trade in one.known.items():
                said.setdefault((product, trade_id), []).append(from_rest(trade) | {"series": number})
        yield from _trades_of(world, product, said)
    if world.questions > MOST_QUESTIONS:
        yield f"REST was asked {world.questions} times"


def from_rest(trade: Trade) -> Values:
    """What a row holds that REST filled."""
    told = dict.fromkeys(("sequence", "maker_order_id", "taker_order_id", "extra"))
    row = asdict(trade) | told
    return row | {
        "price": Decimal(trade.price),
        "size": Decimal(trade.size),
        "time": datetime.fromisoformat(trade.time),
    }


def _trades_of(world: World, product: str, said: dict[tuple[str, int], list[Values]]) -> Iterator[str]:
    kinds, gaps = _kinds(world, product), _gaps(world, product)
    goes_on = world.mode != "standAside" and "restart" in kinds
    series = world.market.past[product]
    lies = [expected("matches", told.raw) for told in world.told if told.is_lie]
    written = {key[1]: rows for key, rows in world.stored.writes.items() if key[0] == product}
    for trade_id, rows in written.items():
        truths = [{n: v for n, v in truth.items() if n != "series"} for truth in said.get((product, trade_id), [])]
        for row in rows:
            if values(world, row) not in truths and not ("conflict" in kinds and values(world, row) in lies):
                yield f"{product} {trade_id}: {values(world, row)} was never told"
        if len(rows) > (len(series) if goes_on else 1):
            yield f"{product} {trade_id}: written {len(rows)} times"
    if (
        product in world.restarts
        and not kinds & {"restart", "conflict"}
        and world.market.series(product).known
        and written
    ):
        yield f"{product}: its ids began again, and nobody was told"
    for number, one in enumerate(series):
        ids = [n for n in one.known if any(belongs(world, row, one.known[n]) for row in written.get(n, ()))]
        excused = number > 0 and (not goes_on or "conflict" in kinds)
        if not ids or excused:
            continue
        known_to_rest = number == len(series) - 1
        for n, trade in one.known.items():
            if n < min(ids) or any(belongs(world, row, trade) for row in written.get(n, ())):
                continue
            hidden = n in world.market.hidden[product] or not known_to_rest
            if any(first <= n <= last for first, last in gaps) and hidden:
                continue
            if len(series) > 1 and kinds & {"restart", "conflict"}:
                continue
            if "conflict" in kinds and any(values(world, row) in lies for row in written.get(n, ())):
                continue
            yield f"{product} {n}: missing, told: {sorted(kinds)}"
            break
    trades = world.reader._products.get(product)  # type: ignore[attr-defined]
    if trades is not None and trades.has_hole and not kinds & {"restart", "stalled"} and product not in world.restarts:
        yield f"{product}: still waits for {trades.hole()}"


def belongs(world: World, row: Row, trade: Trade) -> bool:
    """Whether a row is this trade and no other of the same id, whatever was left out of it."""
    found = values(world, row)
    sure = {"maker_order_id": trade.maker_order_id, "size": Decimal(trade.size), "price": Decimal(trade.price)}
    known = {name: found[name] for name in sure if found[name] is not None}
    return all(sure[name] == value for name, value in known.items())


EXCUSES = {"restart", "out_of_order"}


def _rows(world: World) -> Iterator[str]:
    own = [told for told in world.told if told.message and _is_of(world.stream, told.message)]
    written = {key: [values(world, row) for row in rows] for key, rows in world.stored.writes.items()}
    everything = [value for rows in written.values() for value in rows]
    for told in own:
        assert told.message is not None
        subject = told.message.get("product_id") or told.message["account_id"]
        kinds = _kinds(world, subject)
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
        kinds = _kinds(world, str(key[0]))
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
        kinds, gaps = _kinds(world, product), _gaps(world, product)
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
