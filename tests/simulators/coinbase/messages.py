"""The exchange's messages by their documentation, as JSON bytes; the shapes are in docs.cdp.coinbase.com/exchange."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tests.simulators.coinbase.market import SEQUENCES_A_TRADE, Book, Market, Trade, iso

Message = dict[str, Any]
ZERO_TIME = "0001-01-01T00:00:00.000000Z"
ACKNOWLEDGED_NAMES = {"level2_batch": "level2_50", "ticker_batch": "ticker_1000"}
PUBLIC_CHANNELS = frozenset(
    {"heartbeat", "status", "ticker", "ticker_batch", "matches", "level2_batch", "rfq_matches", "auctionfeed"}
)
PRIVATE_CHANNELS = frozenset({"full", "user", "level2", "balance"})
WITHOUT_PRODUCTS = frozenset({"status", "balance"})
USER = "5844eceecf7e803e259d0365"
ACCOUNTS = ("d50ec984-77a8-460a-b958-66f114b0de9b", "7d0f7d8e-dd34-4d9c-a846-06f431c381ba")


def encode(message: Message) -> bytes:
    return msgspec.json.encode(message)


def match(trade: Trade, kind: str = "match") -> Message:
    return {
        "type": kind,
        "trade_id": trade.trade_id,
        "maker_order_id": trade.maker_order_id,
        "taker_order_id": trade.taker_order_id,
        "side": trade.side,
        "size": trade.size,
        "price": trade.price,
        "product_id": trade.product_id,
        "sequence": trade.sequence,
        "time": trade.time,
    }


def ticker(trade: Trade) -> Message:
    whole, cents = trade.price.split(".")
    return {
        "type": "ticker",
        "sequence": trade.sequence,
        "product_id": trade.product_id,
        "price": trade.price,
        "open_24h": f"{int(whole) - 1}.{cents}",
        "volume_24h": f"{trade.trade_id}.67402156",
        "low_24h": f"{int(whole) - 9}.{cents}",
        "high_24h": f"{int(whole) + 9}.{cents}",
        "volume_30d": f"{trade.trade_id * 30}.13000000",
        "best_bid": f"{int(whole) - 1}.{cents}",
        "best_bid_size": "0.27100000",
        "best_ask": trade.price,
        "best_ask_size": "0.00870000",
        "side": "sell" if trade.side == "buy" else "buy",
        "time": trade.time,
        "trade_id": trade.trade_id,
        "last_size": trade.size,
    }


def heartbeat(market: Market, product: str, now: int) -> Message:
    last = market.ledgers[product].last_id
    return {
        "type": "heartbeat",
        "sequence": last * SEQUENCES_A_TRADE,
        "last_trade_id": last,
        "product_id": product,
        "time": iso(now),
    }


def snapshot(product: str, book: Book) -> Message:
    def levels(side: dict[int, int]) -> list[tuple[str, str]]:
        return [(f"{price // 100}.{price % 100:02}", amount(size)) for price, size in side.items()]

    return {"type": "snapshot", "product_id": product, "bids": levels(book.buy), "asks": levels(book.sell)}


def level2_update(product: str, changes: Iterable[tuple[str, int, int]], time: str) -> Message:
    """Changes write prices with eight digits where the snapshot has two, as the documentation's examples do."""
    return {
        "type": "l2update",
        "product_id": product,
        "changes": [
            (side, f"{price // 100}.{price % 100:02}000000", amount(size) if size else "0")
            for side, price, size in changes
        ],
        "time": time,
    }


def amount(size: int) -> str:
    return f"{size // 10**8}.{size % 10**8:08}"


def full(trade: Trade) -> list[Message]:
    """The messages of `full` around one trade: contiguous sequences, the fourth is the match; some trades change an order first."""
    first = trade.sequence - 3
    maker = {"product_id": trade.product_id, "time": trade.time, "order_id": trade.maker_order_id, "side": trade.side}
    taker_side = "sell" if trade.side == "buy" else "buy"
    taker = {**maker, "order_id": trade.taker_order_id, "side": taker_side}
    second: Message = {
        "type": "open",
        "sequence": first + 1,
        "price": trade.price,
        "remaining_size": trade.size,
        **maker,
    }
    if trade.trade_id % 10 == 0:
        sizes = {"new_size": trade.size, "old_size": "12.234412"}
        second = {"type": "change", "reason": "STP", "sequence": first + 1, "price": trade.price, **sizes, **maker}
    limit = {"size": trade.size, "price": trade.price, "order_type": "limit"}
    return [
        {"type": "received", "sequence": first, **limit, "client_oid": "d50ec974-76a2-454b-66f135b1ea8c", **maker},
        second,
        {"type": "received", "sequence": first + 2, "funds": "3000.234", "order_type": "market", **taker},
        match(trade),
        {"type": "done", "sequence": first + 4, "reason": "filled", "remaining_size": "0", **taker},
    ]


def activate(trade: Trade) -> Message:
    """A stop order of the user's own; the one message without a sequence, with its time as text of seconds."""
    return {
        "type": "activate",
        "product_id": trade.product_id,
        "timestamp": "1483736448.299000",
        "user_id": USER,
        "profile_id": "30000727-d308-cf50-7b1c-c06deb1934fc",
        "order_id": trade.maker_order_id,
        "stop_type": "entry",
        "side": trade.side,
        "stop_price": trade.price,
        "size": trade.size,
        "funds": "50",
        "private": True,
    }


def rfq_match(trade: Trade) -> Message:
    return {
        "type": "rfq_match",
        "maker_order_id": trade.maker_order_id,
        "taker_order_id": trade.taker_order_id,
        "time": trade.time,
        "trade_id": trade.trade_id,
        "product_id": trade.product_id,
        "size": trade.size,
        "price": trade.price,
        "side": trade.side.upper(),
    }


def auction(market: Market, product: str, now: int) -> Message:
    return {
        "type": "auction",
        "product_id": product,
        "sequence": market.ledgers[product].last_id * SEQUENCES_A_TRADE,
        "auction_state": "collection",
        "best_bid_price": "333.98",
        "best_bid_size": "4.39088265",
        "best_ask_price": "333.99",
        "best_ask_size": "25.23542881",
        "open_price": "333.99",
        "open_size": "0.193",
        "can_open": "yes",
        "timestamp": iso(now),
    }


def balance(account: str, now: int, number: int) -> Message:
    return {
        "type": "balance",
        "account_id": account,
        "currency": "USD",
        "holds": "1000.23",
        "available": f"{102030 + number}.99",
        "updated": iso(now),
        "timestamp": iso(now),
    }


def product(name: str, state: str = "online") -> Message:
    base, quote = name.split("-")
    return {
        "id": name,
        "base_currency": base,
        "quote_currency": quote,
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "display_name": f"{base}-{quote}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "trading_disabled": False,
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.02000000",
        "auction_mode": False,
        "status": state,
        "status_message": "",
    }


def currency(name: str) -> Message:
    return {
        "id": name,
        "name": name.title(),
        "display_name": name,
        "min_size": "0.00000001",
        "status": "online",
        "status_message": "",
        "max_precision": "0.00000001",
        "convertible_to": ["USDC"] if name == "USD" else [],
        "details": {"type": "crypto", "symbol": None, "sort_order": 10},
    }


def status(products: Sequence[str], states: dict[str, str]) -> Message:
    currencies = sorted({part for name in products for part in name.split("-")})
    return {
        "type": "status",
        "products": [product(name, states.get(name, "online")) | {"type": "spot"} for name in products],
        "currencies": [currency(name) for name in currencies],
    }


def acknowledgement(subscriptions: dict[str, set[str]]) -> Message:
    return {
        "type": "subscriptions",
        "channels": [
            {"name": ACKNOWLEDGED_NAMES.get(channel, channel), "product_ids": sorted(products), "account_ids": None}
            for channel, products in subscriptions.items()
        ],
    }


def error(reason: str, message: str = "Failed to subscribe") -> Message:
    return {"type": "error", "message": message, "reason": reason}
