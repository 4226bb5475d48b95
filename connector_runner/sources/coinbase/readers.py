"""Readers turn messages into rows, each by its stream's proof of completeness. They are pure: bytes and a clock in, a draft out.

A reader skips what was handed over before (the feed repeats the newest message after each subscription), so that a position
resumes exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from connector_runner.protocols.batch import Position
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.coinbase.decode import Decoder, MalformedError
from connector_runner.sources.coinbase.draft import Draft
from connector_runner.sources.coinbase.messages import Activate, FeedError, Heartbeat, OrderMessage, Subscriptions
from connector_runner.sources.coinbase.streams import Proof, StreamSpec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
POSITION_FORMAT = 1


class Reader:
    """What all readers share: decoding, heartbeats, errors, marks.

    Attributes:
        spec: The stream.
        counts: What is to be counted, by name; taken away by the source.
        beats: When (by the clock that is passed in) each product was heard of last.
    """

    def __init__(self, spec: StreamSpec, position: Position | None) -> None:
        if position is not None and position.get("format") != POSITION_FORMAT:
            raise ActionRequiredError(
                f"the position {dict(position)!r} was not made by this version of the COINBASE source; "
                "use the version that made it, or start over with `connector-runner checkpoint reset`"
            )
        self.spec = spec
        self.counts: Counter[str] = Counter()
        self.beats: dict[str, float] = {}
        shapes: tuple[type[Struct], ...] = spec.shapes if Heartbeat in spec.shapes else (*spec.shapes, Heartbeat)
        self._decoder = Decoder(shapes)
        self._marks: dict[str, int] = dict(position["last"]) if position is not None else {}
        self._is_resumed = position is not None

    def begin(self, products: Sequence[str], draft: Draft, now: float) -> None:
        """A connection for these products has been acknowledged; its messages follow."""
        for product in products:
            self.beats[product] = now
        if self._is_resumed and self.spec.proof is Proof.NONE:
            draft.tell(
                "interruption",
                self.spec.channel,
                f"the connection for {len(products)} product(s) was made anew; what {self.spec.channel} told in between "
                "is not known",
                {"products": list(products[:100]), "last": {p: self._marks[p] for p in products if p in self._marks}},
            )
        self._is_resumed = True

    def read(self, raws: Iterable[bytes], draft: Draft, now: float) -> None:
        """Reads messages in their order."""
        decode = self._decoder.decode
        for raw in raws:
            draft.size += len(raw)
            try:
                message = decode(raw)
            except MalformedError as error:
                self.malformed(error, draft)
                continue
            if message is not None:
                self.dispatch(message, draft, now)
        self.counts.update(self._decoder.counts)
        self._decoder.counts.clear()

    def dispatch(self, message: Struct, draft: Draft, now: float) -> None:
        """Sorts a message."""
        if isinstance(message, FeedError):
            draft.errors.append(message)
        elif isinstance(message, Heartbeat):
            self.beats[message.product_id] = now
            self.beat(message, draft, now)
        elif not isinstance(message, Subscriptions):
            self.message(message, draft, now)

    def message(self, message: Struct, draft: Draft, now: float) -> None:
        """One message of the stream."""
        self.row(message, draft)

    def beat(self, beat: Heartbeat, draft: Draft, now: float) -> None:
        """A heartbeat, already noted as a sign of life."""

    def malformed(self, error: MalformedError, draft: Draft) -> None:
        """A message that can't be read."""
        self.counts["malformed_messages"] += 1

    def row(self, message: Struct, draft: Draft) -> None:
        """A message as a row, unless it is not newer than the last one of its product."""
        row = astuple(message)
        mark = getattr(message, self.spec.order)
        mark = mark if isinstance(mark, int) else (mark - EPOCH) // MICROSECOND
        if mark <= self._marks.get(row[0], -1):
            self.counts["duplicates"] += 1
            return
        self._marks[row[0]] = mark
        draft.extend([row])

    def position(self) -> Position:
        """After all that was read."""
        return {"format": POSITION_FORMAT, "last": self._marks.copy()}


class TickerReader(Reader):
    """`ticker`: one loop without calls for what nearly every message is."""

    def read(self, raws: Iterable[bytes], draft: Draft, now: float) -> None:
        """As `Reader.read`, faster."""
        shape: Any = self.spec.shapes[0]
        marks = self._marks
        decode, tuple_of, size = self._decoder.decode, astuple, 0
        append, duplicates = draft.rows.append, 0
        for raw in raws:
            size += len(raw)
            try:
                message: Any = decode(raw)
            except MalformedError as error:
                self.malformed(error, draft)
                continue
            if message.__class__ is shape:
                product = message.product_id
                if message.sequence > marks.get(product, -1):
                    marks[product] = message.sequence
                    append(tuple_of(message))
                else:
                    duplicates += 1
            elif message is not None:
                self.dispatch(message, draft, now)
        draft.size += size
        self.counts["duplicates"] += duplicates
        self.counts.update(self._decoder.counts)
        self._decoder.counts.clear()


class HeartbeatReader(Reader):
    """`heartbeat`: the beats are the rows."""

    def beat(self, beat: Heartbeat, draft: Draft, now: float) -> None:
        """A row."""
        self.row(beat, draft)


class OrderReader(Reader):
    """`full` and `user`: messages of several types in one table; `full` proves its sequences."""

    def message(self, message: Struct, draft: Draft, now: float) -> None:
        """A row, and a gap where the sequence jumps."""
        if not isinstance(message, OrderMessage):
            return
        message.type = str(message.__struct_config__.tag)
        last = self._marks.get(message.product_id)
        if isinstance(message, Activate):
            message.sequence = max(last or 0, message.sequence)
            if message.timestamp is not None and message.time is None:
                message.time = EPOCH + timedelta(microseconds=int(message.timestamp * 1_000_000))
            draft.extend([astuple(message)])
            return
        if message.sequence < 0:
            self.malformed(MalformedError("an order message without a sequence"), draft)
            return
        if self.spec.proof is Proof.SEQUENCE and last is not None and message.sequence > last + 1:
            self._gap(message.product_id, last + 1, message.sequence - 1, draft)
        self.row(message, draft)

    def _gap(self, product: str, first: int, last: int, draft: Draft) -> None:
        self.counts["gaps"] += 1
        draft.tell(
            "gap",
            product,
            f"{product}: sequences {first} to {last} of {self.spec.channel} never came, and the exchange does not repeat them",
            {"product_id": product, "from": first, "to": last, "count": last - first + 1},
        )
