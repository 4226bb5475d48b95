"""The available streams, as a table: channel, shapes, schema, key, and what is known about completeness."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct
from msgspec.structs import fields

from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import (
    BOOL,
    DECIMAL,
    INT64,
    JSON,
    STRING,
    TIMESTAMPTZ,
    UUID,
    LogicalType,
)
from connector_runner.schemas.catalogue import ColumnInfo, StreamInfo
from connector_runner.sources.coinbase.decode import messages
from connector_runner.sources.coinbase.decode.decoder import plain_type

PLAIN_TYPES: dict[Any, LogicalType] = {
    Decimal: DECIMAL,
    datetime: TIMESTAMPTZ,
    int: INT64,
    bool: BOOL,
    str: STRING,
}


class Proof(Enum):
    """What is known about lost messages of a stream; decides which reader reads it."""

    TRADE_IDS = "every trade by its id; holes are filled from REST"
    SEQUENCE = "every message by its sequence; holes are recorded as gaps"
    BOOK = "a fresh snapshot after every connection"
    STATE = "every message has the full state"
    NONE = "none: the feed sends the newest and skips what is older; interruptions are recorded"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream.

    Attributes:
        schema: The schema of its rows.
        shapes: The messages it consists of.
        proof: See `Proof`.
        order: The column that only grows within the first column (a product, an account); "" if there is none.
        is_private: Needs an API key.
        products_a_connection: The most products on one connection; more are spread over several.
        pulse: The number in a heartbeat that grows only when this stream also reports something of the product; "" if none.
        description: One sentence for people.
    """

    schema: StreamSchema
    shapes: tuple[type[Struct], ...]
    proof: Proof
    order: str
    is_private: bool = False
    products_a_connection: int = 50
    pulse: str = ""
    description: str = ""

    @property
    def id(self) -> str:
        """The stream's name, as in `selectedStream`."""
        return self.schema.stream

    @property
    def channel(self) -> str:
        """The channel to subscribe to; it has the stream's name."""
        return self.schema.stream

    @property
    def tags(self) -> frozenset[str]:
        """The types of its messages."""
        return frozenset(str(shape.__struct_config__.tag) for shape in self.shapes)

    @property
    def info(self) -> StreamInfo:
        """The stream as a catalogue lists it."""
        columns = tuple(ColumnInfo(c.name, str(c.type), c.nullable) for c in self.schema.columns)
        return StreamInfo(self.id, self.schema.key, ("live",), columns=columns, description=self.description)


def logical_type(annotation: Any) -> LogicalType:
    """The type of the column for a field's annotation."""
    if annotation == messages.Extra:
        return JSON
    parts = [annotation]
    while parts:
        part = parts.pop()
        if get_origin(part) is Annotated:
            if any(isinstance(note, Meta) and note.min_length == 36 for note in get_args(part)[1:]):
                return UUID
            parts.append(get_args(part)[0])
        elif get_origin(part) in {Union, types.UnionType}:
            parts += [member for member in get_args(part) if member is not type(None)]
    return PLAIN_TYPES[plain_type(annotation)]


def description_of(annotation: Any) -> str:
    """The outermost description of a field's annotation."""
    if get_origin(annotation) in {Union, types.UnionType}:
        return next((text for part in get_args(annotation) if (text := description_of(part))), "")
    if get_origin(annotation) is not Annotated:
        return ""
    inner, *notes = get_args(annotation)
    return next(
        (note.description for note in reversed(notes) if isinstance(note, Meta) and note.description),
        description_of(inner),
    )


def build_schema(stream: str, shape: type[Struct], key: Sequence[str]) -> StreamSchema:
    """The columns of a stream are the fields of its message, in their order; only the key is never null."""
    hints = get_type_hints(shape, include_extras=True)
    columns = tuple(
        Column(field.name, logical_type(hints[field.name]), field.name not in key, description_of(hints[field.name]))
        for field in fields(shape)
    )
    return StreamSchema(stream, columns, tuple(key))


def _book_schema(stream: str) -> StreamSchema:
    return StreamSchema(
        stream,
        (
            Column("product_id", STRING, nullable=False, description="The product, such as BTC-USD."),
            Column("side", STRING, nullable=False, description="buy (bids) or sell (asks)."),
            Column("price", DECIMAL, nullable=False, description="The level, without trailing zeros."),
            Column("size", DECIMAL, description="How much is bid or asked at it; 0 in a deletion."),
            Column("time", TIMESTAMPTZ, description="Of the change; null if the feed sends none."),
            Column("extra", JSON, description="Fields of the message that have no column of their own, as JSON."),
        ),
        ("product_id", "side", "price"),
    )


def _spec(
    schema: StreamSchema,
    shapes: Sequence[type[Struct]],
    proof: Proof,
    order: str,
    description: str,
    *,
    is_private: bool = False,
    pulse: str = "",
) -> StreamSpec:
    spread = 20 if proof is Proof.BOOK else 50
    return StreamSpec(schema, tuple(shapes), proof, order, is_private, spread, pulse, description)


_BOOK = (messages.Snapshot, messages.Level2Update)
_TICKER_KEY = ("product_id", "sequence")
_ORDER_KEY = ("product_id", "sequence", "type", "order_id")

_PUBLIC = (
    _spec(
        build_schema("ticker", messages.Ticker, _TICKER_KEY),
        [messages.Ticker],
        Proof.NONE,
        "sequence",
        "The latest price, with each trade; conflated in bursts.",
        pulse="last_trade_id",
    ),
    _spec(
        build_schema("ticker_batch", messages.Ticker, _TICKER_KEY),
        [messages.Ticker],
        Proof.NONE,
        "sequence",
        "The latest price, every five seconds.",
        pulse="last_trade_id",
    ),
    _spec(
        build_schema("matches", messages.Match, ("product_id", "trade_id")),
        [messages.Match, messages.LastMatch],
        Proof.TRADE_IDS,
        "trade_id",
        "Every trade, proven complete by its ids.",
    ),
    _spec(
        _book_schema("level2_batch"),
        _BOOK,
        Proof.BOOK,
        "",
        "The order book; changes every 50 ms.",
        pulse="last_trade_id",
    ),
    _spec(
        build_schema("heartbeat", messages.Heartbeat, ("product_id", "time")),
        [messages.Heartbeat],
        Proof.NONE,
        "time",
        "One beat a second and product.",
    ),
    _spec(
        build_schema("status", messages.Item, ("kind", "id")),
        [messages.Status],
        Proof.STATE,
        "",
        "All products and currencies with their state.",
    ),
    _spec(
        build_schema("rfq_matches", messages.RfqMatch, ("product_id", "trade_id")),
        [messages.RfqMatch],
        Proof.NONE,
        "trade_id",
        "Trades agreed on a request for quotes.",
    ),
    _spec(
        build_schema("auctionfeed", messages.Auction, ("product_id", "timestamp")),
        [messages.Auction],
        Proof.NONE,
        "timestamp",
        "The state of auctions.",
    ),
)
_PRIVATE = (
    _spec(
        _book_schema("level2"),
        _BOOK,
        Proof.BOOK,
        "",
        "The order book, each change.",
        is_private=True,
        pulse="last_trade_id",
    ),
    _spec(
        build_schema("full", messages.OrderMessage, _ORDER_KEY),
        messages.ORDER_MESSAGES,
        Proof.SEQUENCE,
        "sequence",
        "Every order and trade, each message by its sequence.",
        is_private=True,
        pulse="sequence",
    ),
    _spec(
        build_schema("user", messages.OrderMessage, _ORDER_KEY),
        messages.ORDER_MESSAGES,
        Proof.NONE,
        "sequence",
        "The API key's own orders and trades.",
        is_private=True,
    ),
    _spec(
        build_schema("balance", messages.Balance, ("account_id",)),
        [messages.Balance],
        Proof.NONE,
        "timestamp",
        "Balances of the API key's accounts.",
        is_private=True,
    ),
)

STREAMS: dict[str, StreamSpec] = {spec.id: spec for spec in (*_PUBLIC, *_PRIVATE)}


def available_streams(has_credentials: bool) -> tuple[StreamSpec, ...]:
    """The streams that a configuration can select."""
    return (*_PUBLIC, *_PRIVATE) if has_credentials else _PUBLIC
