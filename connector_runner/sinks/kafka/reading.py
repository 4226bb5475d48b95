"""Reads records from topics to the ends that they have when it begins."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

CONSUMED = 5000
SHOWN_EVERY_MS = 1000
SETTINGS: Mapping[str, Any] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",  # offset 0 may be gone
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 20,
    "statistics.interval.ms": SHOWN_EVERY_MS,
}
Place = tuple[str, int]


class Reading:
    """One reading of some partitions.

    Args:
        settings: Of the consumer, beside those of every reading.
        ends: The offsets at which it ends.
        seconds: How long to wait while nothing moves.
        glance: How long to wait for records before looking around.
    """

    def __init__(
        self, settings: Mapping[str, Any], ends: Mapping[Place, int], *, seconds: float, glance: float
    ) -> None:
        own = {"group.id": f"connector-runner-{uuid.uuid4()}", "stats_cb": self._look}
        self._consumer = Consumer({**settings, **SETTINGS, **own})
        self._ends = ends
        self._open = dict(ends)
        self._first = set(ends)
        self._seconds, self._glance = seconds, glance
        self._silent = time.monotonic() + seconds
        self._fetched = 0

    def records(
        self, starts: Sequence[TopicPartition], patience: float, pause: Callable[[float, str], None]
    ) -> Iterator[Message]:
        """The records from these offsets on.

        Args:
            starts: Partitions with offsets.
            patience: See `Client.read`.
            pause: Raises if this moment has passed, with these words.
        """
        until = float("inf")
        try:
            self._consumer.assign(list(starts))
            while self._open:
                yield from self._some()
                if not self._first:
                    until = min(until, time.monotonic() + patience)
                    if time.monotonic() >= until:
                        return
                pause(self._silent, self._waits())
        finally:
            self._consumer.close()

    def _some(self) -> Iterator[Message]:
        for message in self._consumer.consume(CONSUMED, self._glance):
            error, place = message.error(), (message.topic() or "", message.partition() or 0)
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            reached = message.offset() or 0
            if error is None:
                yield message
                reached += 1
                if place in self._open:  # what others write behind its end is no progress
                    self._moved()
            if error is not None or reached >= self._ends.get(place, 0):
                self._first.discard(place)
            if reached >= self._open.get(place, reached + 1):
                del self._open[place]

    def _moved(self) -> None:
        self._silent = time.monotonic() + self._seconds

    def _look(self, text: str) -> None:
        """What librdkafka has fetched: records of aborted transactions are read, too, but nobody gets to see them."""
        topics = msgspec.json.decode(text)["topics"]
        fetched = 0
        for (topic, partition), end in self._ends.items():
            found = topics.get(topic, {}).get("partitions", {}).get(str(partition), {})
            fetched += min(found.get("next_offset", 0), end)
        if fetched > self._fetched:
            self._fetched = fetched
            self._moved()

    def _waits(self) -> str:
        """What it waits for."""
        if self._first:
            return "records can't be read"
        names = ", ".join(sorted({f"topic {topic}" for topic, _ in self._open}))
        return f"a transaction of somebody else is open in {names}"
