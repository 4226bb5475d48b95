"""What a dataset of `matches` must hold after one seed of the net: every trade once, from the first that was told, or it is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector_runner.protocols.batch import Row
from connector_runner.sources.coinbase.trades.reader import PAGE
from tests.simulators.coinbase.market import Trade
from tests.simulators.coinbase.relay import Told
from tests.simulators.coinbase.shifting import Series
from tests.unit.coinbase.net import PRODUCTS, World
from tests.unit.coinbase.net_rows import Values, expected, gaps_told, kinds_told, values

MOST_QUESTIONS = 250


@dataclass
class Account:
    """What there is to say about one product.

    Attributes:
        kinds: Of the incidents that were told of it.
        gaps: Ids that were told to be lost.
        written: The rows by id, in the order they were written.
        past: The numberings there were, from the first one of which anything was told or stored.
        told: The ids that the feed told of truly, in their order.
        floor: What heartbeats told before the first trade, where they start the account; None where they don't.
        lies: Rows that contradict what was told before.
        truths: What a row of an id may say.
        goes_on: It began again, and a person has chosen that it goes on.
    """

    world: World
    product: str
    kinds: set[str]
    gaps: list[tuple[int, int]]
    written: dict[int, list[Row]]
    past: Sequence[Series] = ()
    told: list[int] = field(default_factory=list)
    floor: int | None = None
    lies: list[Values] = field(default_factory=list)
    truths: dict[int, list[Values]] = field(default_factory=lambda: defaultdict(list))
    goes_on: bool = False

    @classmethod
    def of(cls, world: World, product: str) -> Account:
        written = {key[1]: rows for key, rows in world.stored.writes.items() if key[0] == product}
        account = cls(world, product, kinds_told(world, product), gaps_told(world, product), written)
        account.goes_on = world.mode != "standAside" and "restart" in account.kinds
        for place, told in enumerate(world.told):
            if not is_trade(told, product):
                continue
            row = expected("matches", told.raw)
            if told.is_lie:
                account.lies.append(row)
            else:
                account.told += [row["trade_id"]] if place >= world.begun_at else []
                account.truths[row["trade_id"]].append(row)
        account.floor = told_by_beats(world, product)
        past = world.market.past[product]
        before = world.told[: world.restarts.get(product, 0)]
        is_known = any(is_trade(one, product) for one in before) or any(map(account.has, past[0].known.values()))
        account.past = past if is_known else past[1:] or past
        for series in past:
            for trade_id, trade in series.known.items():
                account.truths[trade_id].append(from_rest(trade))
        return account

    def has(self, trade: Trade) -> bool:
        return any(belongs(self.world, row, trade) for row in self.written.get(trade.trade_id, ()))

    def waits(self) -> tuple[int, int] | None:
        """For which ids the product still waits at the end."""
        trades = self.world.reader._products.get(self.product)  # type: ignore[attr-defined]
        return trades.hole() if trades is not None and trades.has_hole else None

    def is_lied_about(self, trade_id: int) -> bool:
        """Whether a lie has a trade's place, and that was told."""
        return bool(self.kinds & {"conflict", "restart"}) and any(
            values(self.world, row) in self.lies for row in self.written.get(trade_id, ())
        )


def is_trade(told: Told, product: str) -> bool:
    """Whether a message is a trade of a product."""
    message = told.message or {}
    return message.get("product_id") == product and message["type"] in {"match", "last_match"}


def told_by_beats(world: World, product: str) -> int | None:
    """The lowest id that heartbeats told before the first trade, where two start the account; None: the first trade does.

    A row from REST is a first trade, too: what heartbeats tell after it is no start.
    """
    if product in world.restarts or world.draws.drawn["kill"]:
        return None  # what a position keeps of it depends on other products
    beats: list[int] = []
    is_begun = False
    for told in world.told[: world.first_rows.get(product)]:
        if is_trade(told, product):
            break
        if told.message and told.message.get("product_id") == product and (newest := told.message["last_trade_id"]):
            is_begun |= bool(beats) and newest >= min(beats)
            beats.append(newest)
    return min(beats) if is_begun and max(beats) - min(beats) <= PAGE else None


def trades(world: World) -> Iterator[str]:
    """What is wrong and was not told, one sentence each."""
    for product in PRODUCTS:
        account = Account.of(world, product)
        yield from _invented(account)
        yield from _begun_too_low(account)
        yield from _missing(account)
        yield from _waiting(account)
        yield from _contradicted(account)
    if world.questions > MOST_QUESTIONS:
        yield f"REST was asked {world.questions} times"


def from_rest(trade: Trade) -> Values:
    """What a row holds that REST filled."""
    told: dict[str, Any] = dict.fromkeys(("sequence", "maker_order_id", "taker_order_id", "extra"))
    row = asdict(trade) | told
    return row | {
        "price": Decimal(trade.price),
        "size": Decimal(trade.size),
        "time": datetime.fromisoformat(trade.time),
    }


def belongs(world: World, row: Row, trade: Trade) -> bool:
    """Whether a row is this trade and no other of the same id, whatever was left out of it."""
    found = values(world, row)
    sure = {"maker_order_id": trade.maker_order_id, "size": Decimal(trade.size), "price": Decimal(trade.price)}
    known = {name: found[name] for name in sure if found[name] is not None}
    return all(sure[name] == value for name, value in known.items())


def _invented(account: Account) -> Iterator[str]:
    """Rows that nobody told, or that stand more often than there are such trades; numbers that began again unnoticed."""
    world, product = account.world, account.product
    series = account.past
    for trade_id, rows in account.written.items():
        for row in rows:
            if values(world, row) not in account.truths[trade_id] and not account.is_lied_about(trade_id):
                yield f"{product} {trade_id}: {values(world, row)} was never told"
        if len(rows) > (len(series) if account.goes_on else 1):
            yield f"{product} {trade_id}: written {len(rows)} times"
    is_noticeable = len(account.past) > 1 and bool(account.past[-1].known and account.written)
    if (
        world.kills and is_noticeable
    ):  # what a killed reader had not kept yet can't be noticed: new numbers may go on just behind the old ones
        first = _first_told(account, account.past[-1])
        is_noticeable &= first is not None and first <= account.past[-2].last_id
    if (
        is_noticeable and not account.kinds & {"restart", "conflict", "late"} and not account.waits()
    ):  # "stalled" comes later
        yield f"{product}: its ids began again, and nobody was told"


def _begun_too_low(account: Account) -> Iterator[str]:
    """History is read that came before all that was told: only a product that never traded begins with trade 1."""
    beats = [
        told.message["last_trade_id"]
        for told in account.world.told
        if told.message and told.message["type"] == "heartbeat" and told.message["product_id"] == account.product
    ]
    everything = [*account.told, *(row["trade_id"] for row in account.lies), *(beat + 1 for beat in beats if beat)]
    if not everything or (min(everything) <= PAGE and not all(beats)):
        return
    lowest = min([*account.written, *(first for first, _ in account.gaps)], default=min(everything))
    if lowest < min(everything):
        yield f"{account.product}: begins with {lowest}, though {min(everything)} was the lowest that was told"


def _missing(account: Account) -> Iterator[str]:
    """From the first trade on that was told, each is there, or a gap is told that nobody could fill."""
    past = account.past
    for series in past:
        if series is not past[0] and (not account.goes_on or "conflict" in account.kinds):
            continue
        is_last = series is past[-1]
        if not is_last and account.kinds & {"restart", "conflict"}:
            continue  # what was on its way when the numbers began again is gone
        begins = min((n for n, trade in series.known.items() if account.has(trade)), default=None)
        if is_last and series is not past[0] and (first := _first_told(account, series)) is not None:
            begins = min(first, first if begins is None else begins)
        if len(past) == 1:
            told = [*account.told[:1], *([] if account.floor is None else [account.floor + 1])]
            begins = min([*told, *([] if begins is None else [begins])], default=None)
        for trade_id, trade in series.known.items():
            if begins is not None and trade_id >= begins and not _is_right(account, series, trade):
                yield f"{account.product} {trade_id}: missing, told: {sorted(account.kinds)}"
                break


def _first_told(account: Account, series: Series) -> int | None:
    """The first trade of new numbers that was told and that no kill of the reader could lose."""
    for place, told in enumerate(account.world.told):
        if place >= account.world.restarts[account.product] and is_trade(told, account.product) and not told.is_lie:
            row = expected("matches", told.raw)
            trade = series.known.get(row["trade_id"])
            if trade is not None and row["maker_order_id"] == trade.maker_order_id and is_kept(account.world, place):
                return trade.trade_id
    return None


def is_kept(world: World, place: int) -> bool:
    """Whether what the message at a place told outlived the next kill."""
    return all(place < kept or place >= at for at, kept in world.kills)


def _contradicted(account: Account) -> Iterator[str]:
    """A lie about one of the trades that were told just before: a person is told, whoever was killed meanwhile."""
    world = account.world
    if account.kinds & {"conflict", "restart"} or account.product in world.restarts:
        return
    newest: list[int] = []
    for place, told in enumerate(world.told):
        if any(at == place for at, _ in world.kills):
            newest = []
        if not is_trade(told, account.product):
            continue
        own = expected("matches", told.raw)["trade_id"]
        if (
            told.is_lie
            and own in newest[-8:]
            and own > max(newest) - 8
            and account.has(account.past[-1].known[own])
            and is_kept(world, place)
        ):
            yield f"{account.product} {own}: told twice and not the same, and nobody was told"
            return
        newest += [] if told.is_lie else [own]


def _is_right(account: Account, series: Series, trade: Trade) -> bool:
    """Whether a trade is there, or could not be."""
    world, trade_id = account.world, trade.trade_id
    rows = account.written.get(trade_id, [])
    if account.has(trade):
        return series is account.past[0] or belongs(world, rows[-1], trade)
    if account.is_lied_about(trade_id):
        return True
    if (hole := account.waits()) and account.product in world.restarts and trade_id >= hole[0]:
        return bool(
            world.notes or account.kinds & {"restart", "stalled"}
        )  # it waits, says so, and "stalled" comes later
    is_hidden = trade_id in world.market.hidden[account.product] or series is not account.past[-1]
    # A runner that is made anew knows of no gaps before it; that the trade is lost was told.
    was_late = trade_id in account.told and not world.draws.drawn["kill"] and account.product not in world.restarts
    return is_hidden and not was_late and any(first <= trade_id <= last for first, last in account.gaps)


def _waiting(account: Account) -> Iterator[str]:
    """A product that still waits at the end."""
    is_excused = account.kinds & {"restart", "stalled"} or account.product in account.world.restarts
    if (hole := account.waits()) and not is_excused:
        yield f"{account.product}: still waits for {hole}"
