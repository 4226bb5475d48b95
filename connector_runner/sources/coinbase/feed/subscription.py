"""What is requested from the feed, and what it confirms: subscriptions and acknowledgements. Pure.

Source: docs.cdp.coinbase.com/exchange, "WebSocket overview".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from connector_runner.sources.coinbase.decode.messages import Channel
from connector_runner.sources.coinbase.settings import Credentials
from connector_runner.sources.coinbase.streams import Proof, StreamSpec

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
        channels: Products (accounts, for `balance`) by channel; all channels have the same products.
        streams: The channels whose rows are wanted; others, such as heartbeats, only show that the connection works.
    """

    channels: Mapping[str, tuple[str, ...]]
    streams: tuple[str, ...] = ()

    @property
    def products(self) -> tuple[str, ...]:
        """All products of all channels, in order."""
        return tuple(dict.fromkeys(p for name, ids in self.channels.items() if name != "balance" for p in ids))

    def only(self, products: Sequence[str]) -> Subscription:
        """The same channels for only these products."""
        channels = {
            n: ids if n == "balance" else tuple(p for p in ids if p in products) for n, ids in self.channels.items()
        }
        return Subscription(channels, self.streams)

    def apart(self) -> tuple[Subscription, ...]:
        """The same with one connection for each stream."""
        return tuple(
            Subscription({n: ids for n, ids in self.channels.items() if n in {stream, "heartbeat"}}, (stream,))
            for stream in self.streams
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


def build_subscriptions(
    specs: Sequence[StreamSpec], products: Sequence[str], accounts: Sequence[str]
) -> tuple[Subscription, ...]:
    """One subscription per connection: the channels of streams that can share it, and heartbeats of the same products."""
    return tuple(
        subscription
        for group in share_connections(specs)
        for subscription in _build_for_group(group, products, accounts)
    )


def share_connections(specs: Sequence[StreamSpec]) -> list[list[StreamSpec]]:
    """Groups streams that can be read from the same connection.

    Streams of one group have different types of messages: a message does not say which channel it belongs to. Order books have
    connections of their own, because a book in doubt is replaced by dropping the connection.
    """
    groups: list[list[StreamSpec]] = []
    for spec in specs:
        group = next((group for group in groups if all(_can_share(spec, other) for other in group)), None)
        if group is None:
            groups.append([spec])
        else:
            group.append(spec)
    return groups


def _can_share(spec: StreamSpec, other: StreamSpec) -> bool:
    is_alike = (spec.id in WITHOUT_PRODUCTS, spec.products_a_connection) == (
        other.id in WITHOUT_PRODUCTS, other.products_a_connection
    )  # fmt: skip
    return is_alike and spec.proof is not Proof.BOOK and spec.tags.isdisjoint(other.tags)


def _build_for_group(
    specs: Sequence[StreamSpec], products: Sequence[str], accounts: Sequence[str]
) -> Iterable[Subscription]:
    streams = tuple(spec.channel for spec in specs)
    if specs[0].id in WITHOUT_PRODUCTS:
        channels = {name: tuple(accounts) if name == "balance" else () for name in streams}
        yield Subscription({**channels, "heartbeat": tuple(products[:1])}, streams)
        return
    size = specs[0].products_a_connection
    for start in range(0, len(products), size):
        chunk = tuple(products[start : start + size])
        yield Subscription(
            dict.fromkeys((*(name for name in streams if name != "heartbeat"), "heartbeat"), chunk), streams
        )
