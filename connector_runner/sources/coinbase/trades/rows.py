"""Trades as rows: which are the same, and how they are described, built from REST, and kept in a position. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from connector_runner.protocols.batch import Row
from connector_runner.sources.coinbase.decode.messages import RestTrade

ID, SIDE, PRICE, SIZE, TIME = 1, 3, 4, 5, 6
"""Columns of `matches`."""


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_same_trade(one: Row, other: Row) -> bool:
    """Whether two rows with one id are the same trade, by the values that both have; times may be less precise."""
    pairs = ((one[n], other[n]) for n in (SIDE, PRICE, SIZE))
    times = one[TIME], other[TIME]
    is_near = times[0] is None or times[1] is None or abs(times[0] - times[1]) < timedelta(seconds=1)
    return is_near and all(a is None or b is None or a == b for a, b in pairs)


def describe_trade(row: Row) -> dict[str, Any]:
    """A trade as details for an incident."""
    values = (row[SIDE], row[PRICE], row[SIZE], row[TIME])
    names = ("side", "price", "size", "time")
    return {"trade_id": row[ID]} | {
        name: None if value is None else str(value) for name, value in zip(names, values, strict=True)
    }


def pack_trade(row: Row) -> list[Any]:
    """The newest row as a position keeps it, to be compared with what the exchange sends later."""
    time = None if row[TIME] is None else (row[TIME] - EPOCH) // timedelta(microseconds=1)
    texts = [None if row[n] is None else str(row[n]) for n in (SIDE, PRICE, SIZE)]
    return [row[ID], *texts, time]


def unpack_trade(product: str, kept: list[Any]) -> Row:
    """A row from a position, as far as it was kept."""
    trade_id, side, price, size, time = kept
    numbers = [None if text is None else Decimal(text) for text in (price, size)]
    moment = None if time is None else EPOCH + timedelta(microseconds=time)
    return (product, trade_id, None, side, *numbers, moment, None, None, None)


def rest_row(product: str, trade: RestTrade) -> Row:
    """A trade from REST in the columns of `matches`; sequence and order ids are unknown."""
    return (
        product,
        trade.trade_id,
        None,
        trade.side,
        trade.price,
        trade.size,
        trade.time,
        None,
        None,
        trade.extra,
    )
