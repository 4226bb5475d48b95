"""The feed's messages as the exchange documents them: one struct per shape, its fields in the order of the stream's columns.

These structs are the only definition of the columns: their types, their order and their descriptions (the schemas in
`streams` are derived from them). Sources: docs.cdp.coinbase.com/exchange, "WebSocket channels" and "REST: get product trades".
All documented fields are required here, so that strict decoding is fast and exact; other messages are decoded leniently.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

# The exchange is unlikely to use this name for a field: only lenient decoding fills the column.
EXTRA_WIRE_NAME = "(extra)"

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Uuid = Annotated[str, Meta(min_length=36, max_length=36)]
Product = Annotated[str, Meta(description="The product, such as BTC-USD.")]
Sequence = Annotated[Integer, Meta(description="The product's sequence number; it only grows.")]
TradeId = Annotated[Integer, Meta(description="The trade's number; contiguous per product.")]
Price = Annotated[Decimal, Meta(description="In units of the quote currency.")]
Size = Annotated[Decimal, Meta(description="In units of the base currency.")]
# A time without a time zone does not count as a time: it is kept in `extra`.
Moment = Annotated[datetime, Meta(tz=True)]
Time = Annotated[Moment, Meta(description="When it happened, by the exchange's clock.")]
Maker = Annotated[Uuid, Meta(description="The resting order.")]
Taker = Annotated[Uuid, Meta(description="The order that took it.")]
Extra = Annotated[
    str | None,
    Meta(
        description="Fields of the message that have no column of their own, or not its type, and the text of times finer than a "
        "microsecond, as JSON."
    ),
]


class Ticker(Struct, tag="ticker", gc=False):
    """`ticker`, `ticker_batch`: the latest price; conflated in bursts."""

    product_id: Product
    sequence: Annotated[
        Integer,
        Meta(description="The product's sequence number; it only grows. 0 where a product that never traded has none."),
    ]
    price: Price
    open_24h: Annotated[Decimal, Meta(description="The price 24 hours ago.")]
    volume_24h: Annotated[Decimal, Meta(description="Traded in the last 24 hours.")]
    low_24h: Annotated[Decimal, Meta(description="The lowest price of the last 24 hours.")]
    high_24h: Annotated[Decimal, Meta(description="The highest price of the last 24 hours.")]
    volume_30d: Annotated[Decimal, Meta(description="Traded in the last 30 days.")]
    best_bid: Annotated[Decimal, Meta(description="The highest price that is bid.")]
    best_bid_size: Annotated[Decimal, Meta(description="How much is bid at it.")]
    best_ask: Annotated[Decimal, Meta(description="The lowest price that is asked.")]
    best_ask_size: Annotated[Decimal, Meta(description="How much is asked at it.")]
    side: Annotated[str, Meta(description="The taker's: buy or sell.")]
    time: Time
    trade_id: Annotated[Integer, Meta(description="The trade that made this ticker; not every trade makes one.")]
    last_size: Annotated[Decimal, Meta(description="The size of that trade.")]
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class Match(Struct, tag="match", gc=False):
    """`matches`: one trade."""

    product_id: Product
    trade_id: TradeId
    sequence: Annotated[Integer, Meta(description="The product's sequence number; null where REST filled the row.")]
    side: Annotated[str, Meta(description="The maker's: buy or sell.")]
    price: Price
    size: Size
    time: Time
    maker_order_id: Annotated[Uuid, Meta(description="The resting order; null where REST filled the row.")]
    taker_order_id: Annotated[Uuid, Meta(description="The order that took it; null where REST filled the row.")]
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class LastMatch(Match, tag="last_match", gc=False):
    """`matches`: the newest trade before the subscription."""


class RfqMatch(Struct, tag="rfq_match", gc=False):
    """`rfq_matches`: a trade that was agreed on request; the ids are a series of their own."""

    product_id: Product
    trade_id: Annotated[Integer, Meta(description="The trade's number in the series of requests for quotes.")]
    side: Annotated[str, Meta(description="The maker's, as the exchange writes it: BUY or SELL.")]
    price: Price
    size: Size
    time: Time
    maker_order_id: Maker
    taker_order_id: Taker
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class Heartbeat(Struct, tag="heartbeat", gc=False):
    """`heartbeat`: one per second for each product."""

    product_id: Product
    time: Time
    sequence: Sequence
    last_trade_id: Annotated[
        Integer, Meta(description="The newest trade; the check for missed ones; null or 0 if it has none.")
    ]
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class Auction(Struct, tag="auction", gc=False):
    """`auctionfeed`: the state of an auction, about once a second while it lasts."""

    product_id: Product
    timestamp: Time
    sequence: Sequence
    auction_state: Annotated[str, Meta(description="collection, opening, complete …")]
    best_bid_price: Annotated[Decimal, Meta(description="The highest price that is bid.")]
    best_bid_size: Annotated[Decimal, Meta(description="How much is bid at it.")]
    best_ask_price: Annotated[Decimal, Meta(description="The lowest price that is asked.")]
    best_ask_size: Annotated[Decimal, Meta(description="How much is asked at it.")]
    open_price: Annotated[Decimal, Meta(description="The price the auction would open at now.")]
    open_size: Annotated[Decimal, Meta(description="How much would trade at it.")]
    can_open: Annotated[str, Meta(description="yes or no.")]
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class Balance(Struct, tag="balance", gc=False):
    """`balance`: an account of the API key's profile."""

    account_id: Annotated[Uuid, Meta(description="The account.")]
    currency: Annotated[str, Meta(description="Its currency.")]
    holds: Annotated[Decimal, Meta(description="Not available because of open orders and withdrawals.")]
    available: Annotated[Decimal, Meta(description="Free to trade or withdraw.")]
    updated: Annotated[Moment, Meta(description="When the balance changed.")]
    timestamp: Annotated[Moment, Meta(description="When the message was made.")]
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class OrderMessage(Struct, gc=False, kw_only=True):
    """`full` and `user`: what happened to an order; which fields a message has depends on its type."""

    product_id: Product
    sequence: Annotated[
        Integer, Meta(description="The product's sequence number; `activate` has none and takes the last one seen.")
    ] = -1
    type: Annotated[str, Meta(description="received, open, done, match, change or activate.")] = field(
        default="", name="(type)"
    )
    order_id: Annotated[str, Meta(description="The order; empty for a match, which has a maker's and a taker's.")] = ""
    time: Time | None = None
    side: Annotated[str, Meta(description="Of the order, or of the maker: buy or sell.")] | None = None
    price: Price | None = None
    size: Size | None = None
    remaining_size: Annotated[Decimal, Meta(description="What is left of the order.")] | None = None
    funds: Annotated[Decimal, Meta(description="What a market order may spend, in the quote currency.")] | None = None
    order_type: Annotated[str, Meta(description="limit, market …")] | None = None
    reason: Annotated[str, Meta(description="Of done: filled or canceled; of change: STP or modify_order.")] | None = (
        None
    )
    client_oid: Annotated[str, Meta(description="The client's own id of the order.")] | None = None
    trade_id: Annotated[Integer, Meta(description="Of a match: the trade.")] | None = None
    maker_order_id: Maker | None = None
    taker_order_id: Taker | None = None
    new_size: Annotated[Decimal, Meta(description="Of change: the size from now on.")] | None = None
    old_size: Annotated[Decimal, Meta(description="Of change: the size before.")] | None = None
    new_price: Annotated[Decimal, Meta(description="Of change: the price from now on.")] | None = None
    old_price: Annotated[Decimal, Meta(description="Of change: the price before.")] | None = None
    new_funds: Annotated[Decimal, Meta(description="Of change: the funds from now on.")] | None = None
    old_funds: Annotated[Decimal, Meta(description="Of change: the funds before.")] | None = None
    stop_type: Annotated[str, Meta(description="Of activate: entry or loss.")] | None = None
    stop_price: Annotated[Decimal, Meta(description="Of activate: the price that triggers.")] | None = None
    timestamp: Annotated[Decimal, Meta(description="Of activate: seconds since the epoch.")] | None = None
    user_id: Annotated[str, Meta(description="The user, in messages about the API key's own orders.")] | None = None
    profile_id: Annotated[str, Meta(description="The profile, in messages about own orders.")] | None = None
    private: Annotated[bool, Meta(description="Of activate: only sent to the order's owner.")] | None = None
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class Received(OrderMessage, tag="received", gc=False):
    """A valid order was received."""


class Open(OrderMessage, tag="open", gc=False):
    """The order is on the book now."""


class Done(OrderMessage, tag="done", gc=False):
    """The order is no longer on the book."""


class OrderMatch(OrderMessage, tag="match", gc=False):
    """A trade between two orders."""


class Change(OrderMessage, tag="change", gc=False):
    """An order has changed."""


class Activate(OrderMessage, tag="activate", gc=False):
    """One of the user's own stop orders was placed; the message has no sequence."""


class Snapshot(Struct, tag="snapshot"):
    """`level2`, `level2_batch`: the whole book, once after subscribing; levels are (price, size)."""

    product_id: str
    bids: list[tuple[str, ...]]
    asks: list[tuple[str, ...]]
    time: Moment | None = None
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class Level2Update(Struct, tag="l2update"):
    """`level2`, `level2_batch`: changes as (side, price, new size); size 0 removes the level."""

    product_id: str
    changes: list[tuple[str, ...]]
    time: Moment | None = None
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class Status(Struct, tag="status"):
    """`status`: all products and currencies, in every message; a list that is missing says nothing about its kind."""

    products: list[msgspec.Raw] | None = None
    currencies: list[msgspec.Raw] | None = None
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class Channel(Struct):
    """One entry of an acknowledgement."""

    name: str
    product_ids: list[str] | None = None
    account_ids: list[str] | None = None


class Subscriptions(Struct, tag="subscriptions"):
    """The response to subscribe: all current subscriptions."""

    channels: list[Channel]


class FeedError(Struct, tag="error"):
    """An error, in the exchange's words."""

    message: str = ""
    reason: str = ""


class Item(Struct, gc=False):
    """One product or currency in `status`; most fields belong to one kind only."""

    kind: Annotated[
        str, Meta(description="product, currency, or message: what the message says beside them, in `extra`.")
    ]
    id: Annotated[str, Meta(description="Such as BTC-USD, or BTC; empty for the message itself.")]
    display_name: Annotated[str, Meta(description="For people.")] | None = None
    status: Annotated[str, Meta(description="online, delisted …")] | None = None
    status_message: Annotated[str, Meta(description="More about it.")] | None = None
    base_currency: Annotated[str, Meta(description="Of a product.")] | None = None
    quote_currency: Annotated[str, Meta(description="Of a product.")] | None = None
    base_increment: Annotated[Decimal, Meta(description="The smallest step of sizes.")] | None = None
    quote_increment: Annotated[Decimal, Meta(description="The smallest step of prices.")] | None = None
    min_market_funds: Annotated[Decimal, Meta(description="The smallest market order.")] | None = None
    max_slippage_percentage: Annotated[Decimal, Meta(description="How far a market order may slip.")] | None = None
    post_only: Annotated[bool, Meta(description="Only resting orders are taken.")] | None = None
    limit_only: Annotated[bool, Meta(description="Only limit orders are taken.")] | None = None
    cancel_only: Annotated[bool, Meta(description="Orders can only be cancelled.")] | None = None
    auction_mode: Annotated[bool, Meta(description="An auction is going on.")] | None = None
    fx_stablecoin: Annotated[bool, Meta(description="A pair of stable currencies.")] | None = None
    name: Annotated[str, Meta(description="Of a currency.")] | None = None
    min_size: Annotated[Decimal, Meta(description="Of a currency: the smallest amount.")] | None = None
    max_precision: Annotated[Decimal, Meta(description="Of a currency: the smallest step.")] | None = None
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


class RestTrade(Struct, gc=False):
    """A trade as REST returns it: without sequence and order ids."""

    trade_id: Integer
    side: str
    price: Decimal
    size: Decimal
    time: Moment
    extra: Extra = field(default=None, name=EXTRA_WIRE_NAME)


ORDER_MESSAGES = (Received, Open, Done, OrderMatch, Change, Activate)
CONTROL = (Subscriptions, FeedError)
