"""Readers turn messages into rows, each by its stream's proof of completeness. Pure: bytes and a clock in, a builder out.

A reader skips what was handed over before (the feed repeats the newest message after each subscription), so that it continues
exactly from a position. A row that is only *not newer* is checked by the watermarks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import astuple

from connector_runner.protocols.batch import Position, Row
from connector_runner.sources.coinbase.decode.decoder import Decoder, MalformedError
from connector_runner.sources.coinbase.decode.messages import (
    FeedError,
    Heartbeat,
    Subscriptions,
)
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.watermarks import NOTHING, Verdict, Watermarks
from connector_runner.sources.coinbase.settings import RestartedIds
from connector_runner.sources.coinbase.streams import Proof, StreamSpec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
REPORT_AGAIN_SECONDS = 60.0
"""Seconds after which an unreadable message like an earlier one is reported again; until then it is only counted."""
CHOICES = "Choose: another dataset or table, a dataset with writeMode append, or restartedIds: overwrite"


@dataclass(frozen=True, slots=True)
class Old:
    """A row whose number is not newer than its product's mark: product (or account), number, row, time, and when it arrived."""

    product: str
    mark: int
    row: Row
    time: datetime | None
    now: float


class Reader:
    """What all readers share: decoding, heartbeats, errors, marks.

    Attributes:
        spec: The stream.
        counts: Numbers to report, by name; the source reads and clears them.
        began: When (by the clock that is passed in) the current connection of each product began.
        beats: When each product's last heartbeat arrived.
        behind: Since when each product's heartbeats report something that the stream did not bring (see `StreamSpec.pulse`).
    """

    keeps_late = True
    """Whether a row that arrives late is kept; if not, it is reported."""

    def __init__(
        self, spec: StreamSpec, position: Position | None, restarts: RestartedIds = RestartedIds.STAND_ASIDE
    ) -> None:
        """Args: restarts: What happens to a product whose numbers begin again."""
        self.spec = spec
        self.counts: Counter[str] = Counter()
        self.began: dict[str, float] = {}
        self.beats: dict[str, float] = {}
        self.behind: dict[str, float] = {}
        self._pulses: dict[str, tuple[int, int]] = {}
        shapes: tuple[type[Struct], ...] = spec.shapes if Heartbeat in spec.shapes else (*spec.shapes, Heartbeat)
        self._decoder = Decoder(shapes)
        self._marks = Watermarks.of(position)
        self._restarts = restarts
        self._is_resumed = position is not None
        self._reported_at: dict[str, float] = {}

    def begin(self, products: Sequence[str], builder: BatchBuilder, now: float) -> None:
        """A connection with heartbeats of these products has been acknowledged; its messages follow."""
        is_first = self.began.keys().isdisjoint(products) and not self._is_resumed
        self.began.update(dict.fromkeys(products, now))
        self.behind.update(dict.fromkeys(self.behind.keys() & products, now))
        if self._restarts is RestartedIds.OVERWRITE:
            self._go_on(builder)
        if not is_first and self.spec.proof is Proof.NONE:
            builder.add_incident(
                "interruption",
                self.spec.channel,
                f"the connection for {len(products)} product(s) was made again; messages of {self.spec.channel} in between "
                "are missing",
                {"products": list(products[:100]), "last": self._last_of(products)},
            )

    def read(self, raws: Sequence[bytes], builder: BatchBuilder, now: float) -> None:
        """Reads messages in order."""
        decode = self._decoder.decode
        for raw in raws:
            builder.size += len(raw)
            try:
                message = decode(raw)
                if message is not None:
                    self.dispatch(message, builder, now)
            except MalformedError as error:
                self.malformed(error, builder, now)
        self.counts.update(self._decoder.counts)
        self._decoder.counts.clear()

    def dispatch(self, message: Struct, builder: BatchBuilder, now: float) -> None:
        """Handles a message by its type.

        Raises:
            MalformedError: It is well-formed, but its content has no meaning.
        """
        if isinstance(message, FeedError):
            builder.errors.append(message)
        elif isinstance(message, Heartbeat):
            self.beats[message.product_id] = now
            if self.spec.order == "sequence" and message.sequence:
                self._marks.beats[message.product_id] = message.sequence
            if self.spec.pulse:
                self._compare_pulse(message, getattr(message, self.spec.pulse), now)
            self.beat(message, builder, now)
        elif not isinstance(message, Subscriptions):
            self.message(message, builder, now)

    def message(self, message: Struct, builder: BatchBuilder, now: float) -> None:
        """Handles one message of the stream."""
        self.row(message, builder, now)

    def beat(self, beat: Heartbeat, builder: BatchBuilder, now: float) -> None:
        """Handles a heartbeat, which is already recorded as a sign of life."""

    def activity(self, product: str) -> int:
        """A number that changes whenever the stream brings something about the product."""
        return self._marks.last.get(product, -1)

    def _compare_pulse(self, beat: Heartbeat, pulse: int | None, now: float) -> None:
        """Finds out whether something happened that the stream did not bring, although it had until the next heartbeat."""
        product, activity = beat.product_id, self.activity(beat.product_id)
        known = self._pulses.get(product)
        if known is None or known[0] != activity:
            self._pulses[product] = (activity, pulse or 0)
            self.behind.pop(product, None)
        elif (pulse or 0) > known[1]:
            self.behind.setdefault(product, now)

    def malformed(self, error: MalformedError, builder: BatchBuilder, now: float) -> None:
        """Counts an unreadable message and reports the first of its kind, as an incident if nothing else shows the loss."""
        self.counts["malformed_messages"] += 1
        kind = re.sub(r"\d+", "#", str(error))
        if now - self._reported_at.get(kind, float("-inf")) < REPORT_AGAIN_SECONDS:
            return
        self._reported_at[kind] = now
        text = (
            f"a message of {self.spec.channel} can't be read: {error}; more of this kind are only counted for a while"
        )
        if self.spec.proof is Proof.NONE:
            builder.add_incident("unreadable", self.spec.channel, text, {"reason": str(error)})
        else:
            builder.notes.append(text)

    def row(self, message: Struct, builder: BatchBuilder, now: float) -> None:
        """Adds a message as a row, unless it was handed over before or contradicts an earlier row."""
        row = astuple(message)
        order = getattr(message, self.spec.order)
        mark = order if isinstance(order, int) else (order - EPOCH) // MICROSECOND
        time = order if isinstance(order, datetime) else getattr(message, "time", None)
        product = row[0]
        if mark > self._marks.last.get(product, NOTHING):
            self._marks.reach(product, mark, row, time)
            builder.extend([row])
        else:
            # A time that is older is late, whatever else: the numbers of a product can begin again, time does not.
            verdict = self._marks.weigh(product, mark, row, None if isinstance(order, datetime) else time)
            self._handle_verdict(verdict, Old(product, mark, row, time, now), builder)

    def _handle_verdict(self, verdict: Verdict, old: Old, builder: BatchBuilder) -> None:
        """Handles a row that is not newer than the last one of its product."""
        is_state = self.spec.order not in self.spec.schema.key
        match verdict:
            case Verdict.SAME:
                self.counts["duplicates"] += 1
            case Verdict.ASIDE:
                self.counts["rows_aside"] += 1
                builder.notes.append(self._aside_text(old.product))
            case Verdict.RESTART:
                self._restart(old, builder)
            case Verdict.CHANGED:
                self.counts["changed_messages"] += 1
                self._marks.reach(old.product, old.mark, old.row, old.time)
                builder.extend([old.row])
                if self.keeps_late and not is_state:
                    self._report_once(
                        "conflict", old, "arrived twice with different content; the later one is kept", builder
                    )
            case Verdict.LATE if self.keeps_late and not is_state:
                self.counts["late_messages"] += 1
                self._marks.remember(old.product, old.row, old.time)
                builder.extend([old.row])
                self._report_once("late", old, "arrived after newer ones; it is kept", builder)
            case Verdict.LATE | Verdict.SUSPICIOUS:
                self.counts["out_of_order"] += 1
                self._report_once("out_of_order", old, "arrived after newer ones; it is left out", builder)

    def _report_once(self, kind: str, old: Old, what: str, builder: BatchBuilder) -> None:
        """Adds an incident; the next ones of the same kind and product are only counted for a while."""
        at = f"{kind}:{old.product}"
        if old.now - self._reported_at.get(at, float("-inf")) < REPORT_AGAIN_SECONDS:
            return
        self._reported_at[at] = old.now
        last = self._marks.real(old.product)
        text = f"{old.product}: {self.spec.order} {old.mark} of {self.spec.channel} {what} (the newest is {last})"
        builder.add_incident(
            kind,
            old.product,
            f"{text}; more of this kind are only counted for a while",
            {"key": old.product, self.spec.order: old.mark, "last": last},
        )

    def _restart(self, old: Old, builder: BatchBuilder) -> None:
        """The numbers of a product began again: it is paused, or continues if a person has chosen that."""
        last = self._marks.last[old.product]
        self.counts["restarts"] += 1
        if self._restarts is RestartedIds.STAND_ASIDE:
            self._marks.stand_aside(old.product, last, old.mark)
            what = "it is paused, because rows with the same numbers would be overwritten. " + CHOICES
        else:
            self._marks.forget(old.product)
            self._marks.reach(old.product, old.mark, old.row, old.time)
            builder.extend([old.row])
            what = "it continues with the new numbers"
        text = f"{old.product}: the numbers of {self.spec.channel} began again ({last} was the newest, now it is {old.mark}); {what}"
        builder.add_incident("restart", old.product, text, {"product_id": old.product, "last": last, "now": old.mark})

    def _go_on(self, builder: BatchBuilder) -> None:
        """Continues paused products, now that a person has chosen to overwrite."""
        for product in list(self._marks.aside):
            last, first = self._marks.go_on(product)
            text = f"{product}: continues after its numbers began again ({last} was the newest, then came {first})"
            builder.add_incident(
                "restart",
                product,
                f"{text}; messages in between are missing",
                {"product_id": product, "last": last},
            )

    def _aside_text(self, product: str) -> str:
        last, first = self._marks.aside[product]
        return (
            f"{product} is paused since its numbers began again ({last} was the newest, then came {first}). {CHOICES}"
        )

    def _last_of(self, products: Sequence[str]) -> dict[str, int]:
        found = ((product, self._marks.real(product)) for product in products)
        return {product: last for product, last in found if last is not None}

    def position(self) -> Position:
        """The position after everything that was read."""
        return self._marks.position()
