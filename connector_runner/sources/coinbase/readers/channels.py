"""The readers of channels with rules of their own: tickers, heartbeats, orders. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from connector_runner.protocols.batch import Position, Row
from connector_runner.sources.coinbase.decode.decoder import DOT, UNREADABLE, MalformedError, colons
from connector_runner.sources.coinbase.decode.messages import Activate, Heartbeat, OrderMessage, Ticker
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.reader import EPOCH, Reader
from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.streams import Proof, StreamSpec


def moment_of(seconds: Decimal) -> datetime:
    """Seconds since the epoch as a time.

    Raises:
        MalformedError: There is no such time.
    """
    try:
        return EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
    except (ValueError, OverflowError, InvalidOperation):
        raise MalformedError("a timestamp that is no time") from None


class TickerReader(Reader):
    """`ticker`: one loop without calls for nearly every message; the others go through `Reader.read`."""

    keeps_late = False

    def __init__(
        self, spec: StreamSpec, position: Position | None, restarts: RestartedIds = RestartedIds.STAND_ASIDE
    ) -> None:
        super().__init__(spec, position, restarts)
        self._unnumbered: dict[str, Row] = {}

    def read(self, raws: Sequence[bytes], builder: BatchBuilder, now: float) -> None:
        """Like `Reader.read`, but faster."""
        shape: Any = self.spec.shapes[0]
        marks, fresh, expected = self._marks.last, self._marks.fresh, colons(shape)
        strict, tuple_of, slow = self._decoder.strict, astuple, 0
        append = builder.rows.append
        for raw in raws:
            try:
                message: Any = strict(raw)
                # Like `is_plain`, without the slower pattern.
                if (
                    message.__class__ is shape
                    and raw.count(b":") == expected
                    and raw[(end := raw.rfind(b"Z")) - 7] == DOT
                    and end > 0
                    and (number := message.sequence) > marks.get(product := message.product_id, 0)
                ):
                    marks[product] = number
                    fresh[product] = row = tuple_of(message)
                    append(row)
                    continue
            except UNREADABLE:
                pass
            super().read((raw,), builder, now)
            slow += len(raw)
        builder.size += sum(map(len, raws)) - slow

    def row(self, message: Struct, builder: BatchBuilder, now: float) -> None:
        """Also for a product that never traded: a ticker without a sequence is kept unless it equals the one before."""
        if isinstance(message, Ticker) and message.sequence <= 0:
            row = astuple(message)
            if self._unnumbered.get(row[0]) == row:
                self.counts["duplicates"] += 1
                return
            self._unnumbered[row[0]] = row
            builder.extend([row])
            return
        super().row(message, builder, now)


class HeartbeatReader(Reader):
    """`heartbeat`: the heartbeats are the rows."""

    def beat(self, beat: Heartbeat, builder: BatchBuilder, now: float) -> None:
        """Adds the heartbeat as a row."""
        self.row(beat, builder, now)


class OrderReader(Reader):
    """`full` and `user`: messages of several types in one table; `full` is proven complete by its sequences."""

    def message(self, message: Struct, builder: BatchBuilder, now: float) -> None:
        """Adds a row, and a gap if the sequence jumps."""
        if not isinstance(message, OrderMessage):
            return
        message.type = str(message.__struct_config__.tag)
        last = self._marks.real(message.product_id)
        if isinstance(message, Activate):
            message.sequence = max(last or 0, message.sequence)
            if message.timestamp is not None and message.time is None:
                message.time = moment_of(message.timestamp)
            builder.extend([astuple(message)])
            return
        if message.sequence < 0:
            raise MalformedError("an order message without a sequence")
        is_aside = message.product_id in self._marks.aside
        if self.spec.proof is Proof.SEQUENCE and last is not None and message.sequence > last + 1 and not is_aside:
            self._gap(message.product_id, last + 1, message.sequence - 1, builder)
        self.row(message, builder, now)

    def _gap(self, product: str, first: int, last: int, builder: BatchBuilder) -> None:
        self.counts["gaps"] += 1
        builder.add_incident(
            "gap",
            product,
            f"{product}: sequences {first} to {last} of {self.spec.channel} never arrived, and the exchange does not repeat them",
            {"product_id": product, "from": first, "to": last, "count": last - first + 1},
        )
