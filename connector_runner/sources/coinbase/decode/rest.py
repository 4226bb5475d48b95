"""Responses of REST as values: products, pages of trades, accounts. Pure."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from connector_runner.protocols.errors import TransientError
from connector_runner.sources.coinbase.decode.decoder import (
    FINER,
    UNREADABLE,
    MalformedError,
    build,
    colons,
    read_fields,
    reason_of,
)
from connector_runner.sources.coinbase.decode.messages import RestTrade


class ListedProduct(msgspec.Struct):
    """One product of `GET /products`."""

    id: str
    status: str = "online"


def decode_products(raw: bytes) -> tuple[ListedProduct, ...]:
    """The response to `GET /products`.

    Raises:
        TransientError: It is not a list of products.
    """
    try:
        return tuple(msgspec.json.decode(raw, type=list[ListedProduct]))
    except UNREADABLE as error:
        raise TransientError(f"restUrl did not answer with a list of products: {reason_of(error)}") from None


def decode_page(raw: bytes) -> list[RestTrade]:
    """A page of trades from REST, newest first.

    Raises:
        MalformedError: It is not a list of trades.
    """
    try:
        page = _PAGE.decode(raw)
        if raw.count(b":") == len(page) * _PAGE_COLONS and not FINER.search(raw):
            return page
    except UNREADABLE:
        pass
    try:
        return [build(RestTrade, read_fields(bytes(item))) for item in msgspec.json.decode(raw, type=list[Raw])]
    except UNREADABLE as error:
        raise MalformedError(reason_of(error)) from None


_PAGE = msgspec.json.Decoder(list[RestTrade])


_PAGE_COLONS = colons(RestTrade) or 0


class _Account(msgspec.Struct):
    id: str


def decode_accounts(raw: bytes) -> tuple[str, ...]:
    """The ids in a response to `GET /accounts`.

    Raises:
        TransientError: It is not a list of accounts.
    """
    try:
        return tuple(account.id for account in msgspec.json.decode(raw, type=list[_Account]))
    except UNREADABLE as error:
        raise TransientError(f"restUrl did not answer with a list of accounts: {reason_of(error)}") from None
