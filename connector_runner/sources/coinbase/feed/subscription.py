"""What is said to the feed and what its answers mean: subscribing, signing, acknowledgements, errors. Pure.

Source: docs.cdp.coinbase.com/exchange, "WebSocket overview", "authentication", "errors".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import msgspec

from connector_runner.protocols.errors import InvalidConfigError
from connector_runner.sources.coinbase.decode.messages import Channel, FeedError
from connector_runner.sources.coinbase.streams import StreamSpec

# The exchange acknowledges these channels by other names than they were asked for by.
ACKNOWLEDGED_NAMES: Mapping[str, tuple[str, ...]] = {
    "level2_batch": ("level2_50", "level2_batch"),
    "ticker_batch": ("ticker_1000", "ticker_batch"),
}
# Channels that are not asked for by product; one product's heartbeat is asked for with them, as a sign of life.
WITHOUT_PRODUCTS = frozenset({"status", "balance"})
CREDENTIAL_NAMES = ("key", "secret", "passphrase")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key; the texts never show in a representation."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)

    def sign(self, timestamp: str, path: str = "/users/self/verify") -> str:
        """base64(HMAC-SHA256(base64decode(secret), timestamp + "GET" + path))."""
        digest = hmac.new(base64.b64decode(self.secret), f"{timestamp}GET{path}".encode(), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()


def read_credentials(config: Mapping[str, Any]) -> Credentials | None:
    """The API key of a configuration, None without one.

    Raises:
        InvalidConfigError: Only a part of it is there, or the secret is not base64.
    """
    values = {name: config[name] for name in CREDENTIAL_NAMES if config.get(name)}
    if not values:
        return None
    if missing := [name for name in CREDENTIAL_NAMES if name not in values]:
        raise InvalidConfigError(
            [f"config.{name}: is required with {', '.join(values)}: an API key has all three" for name in missing]
        )
    try:
        base64.b64decode(values["secret"], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidConfigError(["config.secret: must be base64, as the exchange showed it"]) from None
    return Credentials(**values)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one connection asks for.

    Attributes:
        channels: Products (accounts, for `balance`) by channel.
    """

    channels: Mapping[str, tuple[str, ...]]

    @property
    def products(self) -> tuple[str, ...]:
        """All products, in order, of whatever channel."""
        return tuple(dict.fromkeys(p for name, ids in self.channels.items() if name != "balance" for p in ids))

    def only(self, products: Sequence[str]) -> Subscription:
        """The same channels for these products alone."""
        return Subscription(
            {n: ids if n == "balance" else tuple(p for p in ids if p in products) for n, ids in self.channels.items()}
        )

    def request(self, credentials: Credentials | None, timestamp: str) -> bytes:
        """The subscribe message, signed where there is a key."""
        channels = [
            {"name": name, ("account_ids" if name == "balance" else "product_ids"): list(ids)}
            if ids
            else {"name": name}
            for name, ids in self.channels.items()
        ]
        message: dict[str, Any] = {"type": "subscribe", "channels": channels}
        if credentials is not None:
            message |= {
                "signature": credentials.sign(timestamp),
                "key": credentials.key,
                "passphrase": credentials.passphrase,
                "timestamp": timestamp,
            }
        return msgspec.json.encode(message)

    def unacknowledged(self, channels: Sequence[Channel]) -> tuple[str, ...]:
        """What was asked for and not confirmed, as `channel` or `channel:product`; empty when all is well."""
        confirmed = {channel.name: {*(channel.product_ids or ()), *(channel.account_ids or ())} for channel in channels}
        missing = []
        for name, ids in self.channels.items():
            found = [confirmed[known] for known in ACKNOWLEDGED_NAMES.get(name, (name,)) if known in confirmed]
            if not found:
                missing.append(name)
            elif name != "balance":  # the acknowledgement of balance lists no accounts
                missing += [f"{name}:{product}" for product in ids if not any(product in ids for ids in found)]
        return tuple(missing)


def build_subscriptions(spec: StreamSpec, products: Sequence[str], accounts: Sequence[str]) -> tuple[Subscription, ...]:
    """One subscription a connection: the stream's channel, and heartbeats of the same products."""
    if spec.id in WITHOUT_PRODUCTS:
        return (Subscription({spec.channel: tuple(accounts), "heartbeat": tuple(products[:1])}),)
    size = spec.products_a_connection
    chunks = [tuple(products[start : start + size]) for start in range(0, len(products), size)]
    if spec.id == "heartbeat":
        return tuple(Subscription({"heartbeat": chunk}) for chunk in chunks)
    return tuple(Subscription({spec.channel: chunk, "heartbeat": chunk}) for chunk in chunks)


class Trouble(Enum):
    """What an error of the exchange calls for."""

    UNKNOWN_PRODUCT = auto()
    UNKNOWN_CHANNEL = auto()
    CREDENTIALS = auto()
    TRANSIENT = auto()


# First match wins; whatever is not listed may pass.
ERRORS: tuple[tuple[re.Pattern[str], Trouble], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), trouble)
    for pattern, trouble in (
        (r"timestamp expired|slow|rate limit|too many|internal|unavailable|timeout", Trouble.TRANSIENT),
        (
            r"not a valid product|product not found|(unknown|invalid|no such) product|is delisted",
            Trouble.UNKNOWN_PRODUCT,
        ),
        (
            r"product\w*( ?ids?)?\W.{0,80}\b(invalid|unknown|not (known|found|supported))",
            Trouble.UNKNOWN_PRODUCT,
        ),
        (r"not a valid channel|(unknown|invalid|no such) channel", Trouble.UNKNOWN_CHANNEL),
        (r"auth|api.?key|signature|passphrase|permission|forbidden|not allowed", Trouble.CREDENTIALS),
    )
)


def judge(error: FeedError) -> Trouble:
    """What an error message calls for, by the table above."""
    text = f"{error.message} {error.reason}"
    return next((trouble for pattern, trouble in ERRORS if pattern.search(text)), Trouble.TRANSIENT)


def is_foreseen(error: FeedError) -> bool:
    """Whether the table above knows the words of an error message."""
    text = f"{error.message} {error.reason}"
    return any(pattern.search(text) for pattern, _ in ERRORS)


def named_products(text: str, asked: Sequence[str]) -> tuple[str, ...]:
    """Those of the products asked for that an error's text names, as whole words."""
    words = set(re.split(r"[^\w-]+", text.upper()))
    return tuple(product for product in asked if product.upper() in words)


def describe(error: FeedError) -> str:
    """An error message in one line."""
    return ": ".join(part for part in (error.message, error.reason) if part) or "an error without a text"
