"""Order books: a snapshot replaces a product's book, changes follow; each new connection brings a new snapshot.

The feed does not number the changes of `level2_batch`, so a lost one can't be detected. Any doubt (an unreadable message, a
new connection) therefore leads to a new snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec import Struct

from connector_runner.protocols.batch import Operation, Position
from connector_runner.sources.coinbase.decode.decoder import MalformedError, price_key
from connector_runner.sources.coinbase.decode.messages import Level2Update, Snapshot
from connector_runner.sources.coinbase.position import position_of
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.streams import StreamSpec

# The side in a row, by the side in a message.
SIDES = {"buy": "buy", "sell": "sell", "bid": "buy", "offer": "sell", "ask": "sell"}


class BookReader(Reader):
    """`level2` and `level2_batch`."""

    def __init__(self, spec: StreamSpec, position: Position | None, products: Iterable[str]) -> None:
        """Args: products: The configured ones; books of others that the dataset still has are emptied."""
        super().__init__(spec, position)
        self._stored = set(self._marks.last)
        self._gone = sorted(self._stored.difference(products))
        self._current: set[str] = set()
        self._messages: Counter[str] = Counter()

    def activity(self, product: str) -> int:
        """The number of its messages so far."""
        return self._messages[product]

    def begin(self, products: Sequence[str], builder: BatchBuilder, now: float) -> None:
        """Books begin again: changes count only after the snapshot."""
        super().begin(products, builder, now)
        self._current.difference_update(products)
        for product in self._gone:
            builder.add((product,), Operation.REPLACE)
            self._stored.discard(product)
        self._gone = []

    def message(self, message: Struct, builder: BatchBuilder, now: float) -> None:
        """Handles a snapshot or changes."""
        try:
            if isinstance(message, Snapshot):
                self._snapshot(message, builder)
            elif isinstance(message, Level2Update):
                self._update(message, builder)
        except (InvalidOperation, ValueError, LookupError):
            raise MalformedError(f"a level of {type(message).__name__} is no side, price and size") from None

    def malformed(self, error: MalformedError, builder: BatchBuilder, now: float) -> None:
        """The content of the message is unknown, so the books of this connection can't be trusted any more."""
        super().malformed(error, builder, now)
        builder.distrust = f"an unreadable message: {error}"

    def _snapshot(self, message: Snapshot, builder: BatchBuilder) -> None:
        product, time = message.product_id, known_time(message.time)
        levels = [
            (product, side, price_key(level[0]), Decimal(level[1]), time, _extra(message.extra, level[2:]))
            for side, levels in (("buy", message.bids), ("sell", message.asks))
            for level in levels
        ]
        if product in self._stored:
            self.counts["resnapshots"] += 1
            builder.add_incident(
                "resnapshot",
                product,
                f"{product}: the book was replaced by a new snapshot of {len(levels)} levels; the single changes in between are not known",
                {"product_id": product, "levels": len(levels)},
            )
        self._messages[product] += 1
        self._current.add(product)
        self._stored.add(product)
        builder.add((product,), Operation.REPLACE)
        builder.extend(levels)

    def _update(self, message: Level2Update, builder: BatchBuilder) -> None:
        product, time = message.product_id, known_time(message.time)
        self._messages[product] += 1
        if product not in self._current:
            self.counts["updates_without_book"] += 1
            return
        rows = [
            (product, SIDES[side], price_key(price), Decimal(size), time, _extra(message.extra, more))
            for side, price, size, *more in message.changes
        ]
        for row in rows:
            builder.add(row, Operation.UPSERT if row[3] else Operation.DELETE)

    def position(self) -> Position:
        """The products whose books the dataset has; the books themselves are sent again."""
        return position_of(dict.fromkeys(sorted(self._stored), 0))


def _extra(extra: str | None, more: Sequence[str]) -> str | None:
    """The column `extra` of a level that has more values than documented."""
    if not more:
        return extra
    text = msgspec.json.encode({"level": list(more)}).decode()
    return text if extra is None else f"{text[:-1]},{extra[1:]}"


def known_time(time: datetime | None) -> datetime | None:
    """The time, or None: the exchange writes the year 1 if it knows no time."""
    return None if time is None or time.year == 1 else time
