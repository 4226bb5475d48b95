"""Readers turn messages into rows, each by its stream's proof of completeness. They are pure: bytes and a clock in, a draft out.

A reader skips what was handed over before (the feed repeats the newest message after each subscription), so that a position
resumes exactly.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
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
POSITION_FORMAT = 2
# Where each format keeps the marks; format 1 repeated them beside every row in append mode.
MARKS_OF_FORMAT: Mapping[object, str] = {1: "last", POSITION_FORMAT: "_last"}
TOLD_AGAIN_SECONDS = 60.0
"""After so long, an unreadable message is told again that looks like one before; in between it is counted."""


class Reader:
    """What all readers share: decoding, heartbeats, errors, marks.

    Attributes:
        spec: The stream.
        counts: What is to be counted, by name; taken away by the source.
        began: When (by the clock that is passed in) the present connection of each product began.
        beats: When each product's heartbeat came last.
        behind: Since when each product's heartbeats tell of something that the stream did not bring (see `StreamSpec.pulse`).
    """

    def __init__(self, spec: StreamSpec, position: Position | None) -> None:
        if position is not None and position.get("format") not in MARKS_OF_FORMAT:
            raise ActionRequiredError(
                f"the position {dict(position)!r} was not made by this version of the COINBASE source; "
                "use the version that made it, or start over with `connector-runner checkpoint reset`"
            )
        self.spec = spec
        self.counts: Counter[str] = Counter()
        self.began: dict[str, float] = {}
        self.beats: dict[str, float] = {}
        self.behind: dict[str, float] = {}
        self._pulses: dict[str, tuple[int, int]] = {}
        shapes: tuple[type[Struct], ...] = spec.shapes if Heartbeat in spec.shapes else (*spec.shapes, Heartbeat)
        self._decoder = Decoder(shapes)
        self._marks: dict[str, int] = dict(position[MARKS_OF_FORMAT[position["format"]]]) if position else {}
        self._is_resumed = position is not None
        self._told: dict[str, float] = {}

    def begin(self, products: Sequence[str], draft: Draft, now: float) -> None:
        """A connection with heartbeats of these products has been acknowledged; its messages follow."""
        is_first = self.began.keys().isdisjoint(products) and not self._is_resumed
        self.began.update(dict.fromkeys(products, now))
        self.behind.update(dict.fromkeys(self.behind.keys() & products, now))
        if not is_first and self.spec.proof is Proof.NONE:
            draft.tell(
                "interruption",
                self.spec.channel,
                f"the connection for {len(products)} product(s) was made anew; what {self.spec.channel} told in between "
                "is not known",
                {"products": list(products[:100]), "last": {p: self._marks[p] for p in products if p in self._marks}},
            )

    def read(self, raws: Iterable[bytes], draft: Draft, now: float) -> None:
        """Reads messages in their order."""
        decode = self._decoder.decode
        for raw in raws:
            draft.size += len(raw)
            try:
                message = decode(raw)
                if message is not None:
                    self.dispatch(message, draft, now)
            except MalformedError as error:
                self.malformed(error, draft, now)
        self.counts.update(self._decoder.counts)
        self._decoder.counts.clear()

    def dispatch(self, message: Struct, draft: Draft, now: float) -> None:
        """Sorts a message.

        Raises:
            MalformedError: It is well-formed but says nothing that can be understood.
        """
        if isinstance(message, FeedError):
            draft.errors.append(message)
        elif isinstance(message, Heartbeat):
            self.beats[message.product_id] = now
            if self.spec.pulse:
                self._compare_pulse(message, getattr(message, self.spec.pulse), now)
            self.beat(message, draft, now)
        elif not isinstance(message, Subscriptions):
            self.message(message, draft, now)

    def message(self, message: Struct, draft: Draft, now: float) -> None:
        """One message of the stream."""
        self.row(message, draft)

    def beat(self, beat: Heartbeat, draft: Draft, now: float) -> None:
        """A heartbeat, already noted as a sign of life."""

    def told(self, product: str) -> int:
        """A number that changes whenever the stream brings something of the product."""
        return self._marks.get(product, -1)

    def _compare_pulse(self, beat: Heartbeat, pulse: int | None, now: float) -> None:
        """Whether the exchange did something of which the stream brought nothing, though it had a beat's time for it."""
        product, told = beat.product_id, self.told(beat.product_id)
        known = self._pulses.get(product)
        if known is None or known[0] != told:
            self._pulses[product] = (told, pulse or 0)
            self.behind.pop(product, None)
        elif (pulse or 0) > known[1]:
            self.behind.setdefault(product, now)

    def malformed(self, error: MalformedError, draft: Draft, now: float) -> None:
        """A message that can't be read: counted, the first of its kind told; recorded where nothing else shows the loss."""
        self.counts["malformed_messages"] += 1
        kind = re.sub(r"\d+", "#", str(error))
        if now - self._told.get(kind, float("-inf")) < TOLD_AGAIN_SECONDS:
            return
        self._told[kind] = now
        text = (
            f"a message of {self.spec.channel} can't be read: {error}; more of this kind are only counted for a while"
        )
        if self.spec.proof is Proof.NONE:
            draft.tell("unreadable", self.spec.channel, text, {"reason": str(error)})
        else:
            draft.notes.append(text)

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
        return position_of(self._marks.copy())


def position_of(marks: Mapping[str, int]) -> Position:
    """The marks of all products, which only the checkpoint keeps (see `place_of`)."""
    return {"format": POSITION_FORMAT, "_last": marks}


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
                if message.__class__ is shape:
                    product = message.product_id
                    if message.sequence > marks.get(product, -1):
                        marks[product] = message.sequence
                        append(tuple_of(message))
                    else:
                        duplicates += 1
                elif message is not None:
                    self.dispatch(message, draft, now)
            except MalformedError as error:
                self.malformed(error, draft, now)
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
                message.time = moment_of(message.timestamp)
            draft.extend([astuple(message)])
            return
        if message.sequence < 0:
            raise MalformedError("an order message without a sequence")
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
