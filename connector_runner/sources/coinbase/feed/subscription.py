"""What is requested from the feed, and what it confirms: subscriptions and acknowledgements. Pure.

Source: docs.cdp.coinbase.com/exchange, "WebSocket overview".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from connector_runner.sources.coinbase.decode.messages import Channel
from connector_runner.sources.coinbase.settings import Credentials
from connector_runner.sources.coinbase.streams import StreamSpec

# The exchange acknowledges these channels under other names than the requested ones.
ACKNOWLEDGED_NAMES: Mapping[str, tuple[str, ...]] = {
    "level2_batch": ("level2_50", "level2_batch"),
    "ticker_batch": ("ticker_1000", "ticker_batch"),
}
# Channels that are not requested by product; one product's heartbeat is requested with them, as a sign of life.
WITHOUT_PRODUCTS = frozenset({"status", "balance"})


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one connection subscribes to.

    Attributes:
        channels: Products (accounts, for `balance`) by channel.
    """

    channels: Mapping[str, tuple[str, ...]]

    @property
    def products(self) -> tuple[str, ...]:
        """All products of all channels, in order."""
        return tuple(dict.fromkeys(p for name, ids in self.channels.items() if name != "balance" for p in ids))

    def only(self, products: Sequence[str]) -> Subscription:
        """The same channels for only these products."""
        return Subscription(
            {n: ids if n == "balance" else tuple(p for p in ids if p in products) for n, ids in self.channels.items()}
        )

    def request(self, credentials: Credentials | None, timestamp: str) -> bytes:
        """The subscribe message, signed if there is a key."""
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
        """What was requested but not confirmed, as `channel` or `channel:product`; empty if all was confirmed."""
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
    """One subscription per connection: the stream's channel, and heartbeats of the same products."""
    if spec.id in WITHOUT_PRODUCTS:
        return (Subscription({spec.channel: tuple(accounts), "heartbeat": tuple(products[:1])}),)
    size = spec.products_a_connection
    chunks = [tuple(products[start : start + size]) for start in range(0, len(products), size)]
    if spec.id == "heartbeat":
        return tuple(Subscription({"heartbeat": chunk}) for chunk in chunks)
    return tuple(Subscription({spec.channel: chunk, "heartbeat": chunk}) for chunk in chunks)
