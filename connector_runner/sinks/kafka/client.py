"""Topics through librdkafka: describe, create, read to the end, write in transactions. Every call has a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType, TopicMetadata

from connector_runner.protocols.errors import TransientError
from connector_runner.schemas.datasets.kafka import Address
from connector_runner.sinks.kafka.client_log import LEVEL, build_logger
from connector_runner.sinks.kafka.errors import is_refusal
from connector_runner.sinks.kafka.reading import Reading
from connector_runner.sinks.kafka.records import Headers

T = TypeVar("T")
SECONDS = 20.0
"""How long one request may take."""
SLICE = 2.0
"""How soon somebody who waits for the first answer looks whether the brokers have refused the connection."""
TRANSACTION_SECONDS = 60.0
"""The broker aborts a transaction that is open for longer, and so long a suspended runner can hold readers up; see `transaction_time`."""
COMMIT_SECONDS = 60.0
"""How long to wait for the answer to a commit, at least; after that the ledger tells what became of it."""
REQUEST_SECONDS = 60.0
"""How long librdkafka waits for an answer on a connection; else it takes the time of a transaction for that."""
BATCH_BYTES = 512 * 1024
BATCH = "batch.size"
QUEUED_KILOBYTES = 64 * 1024
FAILED_BEFORE = {KafkaError._STATE, KafkaError._FATAL}
"""Said of a record for a transaction that has failed already, for a reason that this does not say."""
VAGUE = {KafkaError._ALL_BROKERS_DOWN}
"""Told after the error of each broker, which says more."""
# How soon somebody who waits looks whether the sink is closing.
GLANCE = 0.1


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that exists.

    Attributes:
        partitions: How many.
        policy: `cleanup.policy`: `compact`, `delete` or both.
        longest: `max.message.bytes`.
    """

    partitions: int
    policy: str
    longest: int


class Client:
    """Connections to one cluster; used by one thread, may be told to leave by any.

    Args:
        address: The brokers.
        settings: Settings of librdkafka from the dataset's options.
        leaving: Set when nobody waits for an answer any more.
    """

    def __init__(self, address: Address, settings: Mapping[str, str], leaving: threading.Event) -> None:
        self.where = ",".join(address.brokers)
        self.address = address
        self.said: list[KafkaError] = []
        self.leaving = leaving
        self._settings = settings
        self._common: dict[str, Any] = {
            "bootstrap.servers": self.where,
            "client.id": "connector-runner",
            "logger": build_logger(),  # else librdkafka writes to stderr as plain text
            "log_level": LEVEL,
            "error_cb": self._note,
            "reconnect.backoff.max.ms": 1000,
            "socket.connection.setup.timeout.ms": 5000,
            **settings,
        }
        self._admin: AdminClient | None = None

    def _note(self, error: KafkaError) -> None:
        if error.code() not in VAGUE or not self.said:
            self.said[:] = [error]

    @property
    def admin(self) -> AdminClient:
        """The client that manages topics."""
        if self._admin is None:
            self._admin = AdminClient(self._common)
        return self._admin

    @property
    def batch_bytes(self) -> int:
        """How large a batch of records may be, which the brokers treat as one message."""
        return int(self._settings.get(BATCH, BATCH_BYTES))

    def topics(self) -> dict[str, int]:
        """All topics with the number of their partitions."""
        found = self._metadata()
        return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}

    def describe(self, name: str) -> Topic | None:
        """A topic; None if it does not exist."""
        found = self._metadata(name)[name]
        if found.error is not None:
            if found.error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:
                return None
            raise KafkaException(found.error)
        resource = ConfigResource(ResourceType.TOPIC, name)
        (answer,) = self.admin.describe_configs([resource], request_timeout=SECONDS).values()
        settings = self._wait(answer)
        return Topic(len(found.partitions), settings["cleanup.policy"].value, int(settings["max.message.bytes"].value))

    def _metadata(self, *names: str) -> dict[str, TopicMetadata]:
        end = time.monotonic() + SECONDS
        while True:
            try:
                return self.admin.list_topics(*names, timeout=min(SLICE, SECONDS)).topics
            except KafkaException:
                self.admin.poll(0)  # else why it could not connect is not told
                if time.monotonic() >= end or any(is_refusal(error) for error in self.said):
                    raise
            self.pause(float("inf"), "", 0.0)

    def create(self, name: str, settings: Mapping[str, str], *, partitions: int = -1) -> bool:
        """Creates a topic; returns False for one that is there already, made by somebody else or not yet known to every broker."""
        new = NewTopic(name, partitions, self.address.replication, config=dict(settings))
        (answer,) = self.admin.create_topics([new], request_timeout=SECONDS, operation_timeout=SECONDS).values()
        is_new = True
        try:
            self._wait(answer)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            is_new = False
        end = time.monotonic() + SECONDS
        while name not in self.topics():
            self.pause(end, f"the topic {name} was created, but the brokers do not show it")
        return is_new

    def ends(self, partitions: Sequence[TopicPartition], *, is_stable: bool = False) -> dict[tuple[str, int], int]:
        """The offsets after everything that was written, transactions that are open included; or where the first of those begins."""
        if not partitions:
            return {}
        newest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(each.topic, each.partition): newest for each in partitions}
        isolation = IsolationLevel.READ_COMMITTED if is_stable else IsolationLevel.READ_UNCOMMITTED
        answers = self.admin.list_offsets(wanted, isolation_level=isolation, request_timeout=SECONDS)
        return {(each.topic, each.partition): self._wait(answer).offset for each, answer in answers.items()}

    def read(
        self, starts: Sequence[TopicPartition], patience: float, *, isolation: str = "read_committed"
    ) -> Iterator[Message]:
        """Committed records from these offsets to the end that the partitions have now.

        Args:
            starts: Partitions with offsets.
            patience: How many seconds to wait for transactions that are open; after that the records before them are all.
            isolation: `read_uncommitted` for the records of those too, and of transactions that were taken back.

        Raises:
            TransientError: Nothing moved for a while, and the patience lasts longer.
        """
        if not (ends := self.ends(starts)):
            return
        settings = {**self._common, "queued.max.messages.kbytes": QUEUED_KILOBYTES, "isolation.level": isolation}
        reading = Reading(settings, ends, seconds=SECONDS, glance=GLANCE)
        yield from reading.records(starts, patience, lambda end, waits: self.pause(end, waits, 0.0))

    def longest_transaction(self) -> float | None:
        """How many seconds a transaction may be open at most, as the brokers say; None if an ACL does not allow to ask."""
        broker = next(iter(self.admin.list_topics(timeout=SECONDS).brokers))
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        (answer,) = self.admin.describe_configs([resource], request_timeout=SECONDS).values()
        try:
            return int(self._wait(answer)["transaction.max.timeout.ms"].value) / 1000
        except KafkaException as error:
            if error.args[0].code() != KafkaError.CLUSTER_AUTHORIZATION_FAILED:
                raise
            return None

    def producer(self, transactional_id: str, seconds: float) -> Producer:
        """A producer of transactions that may take so long; it does nothing before `init_transactions`."""
        return Producer(
            {
                **self._common,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(seconds * 1000),
                "socket.timeout.ms": int(min(seconds, REQUEST_SECONDS) * 1000),
                "message.max.bytes": 100_000_000,
                BATCH: BATCH_BYTES,
                "linger.ms": 5,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": QUEUED_KILOBYTES,
                **self._settings,
            }
        )

    def send(
        self, producer: Producer, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None,
        partition: int = -1,
    ) -> None:  # fmt: skip
        """Adds a record to the producer's transaction."""
        self.send_all(producer, topic, [(key, value)], headers, partition)

    def send_all(
        self, producer: Producer, topic: str, records: Iterable[tuple[bytes | None, bytes | None]],
        headers: Headers | None, partition: int,
    ) -> None:  # fmt: skip
        """Adds records with the same headers, given as key and value."""
        produce = producer.produce
        try:
            for key, value in records:
                while True:
                    try:
                        produce(topic, value, key, partition, headers=headers)
                    except BufferError:  # the queue is full: the brokers are slower than the source
                        producer.poll(GLANCE)
                        self.pause(float("inf"), "", 0.0)
                    else:
                        break
        except KafkaException as error:
            if error.args[0].code() in FAILED_BEFORE:
                producer.begin_transaction()  # which is not possible, and says what has failed
            raise

    def commit(self, producer: Producer, seconds: float = COMMIT_SECONDS) -> None:
        """Commits what may take so long to send; tries again what librdkafka says may be tried again."""
        self.admin.poll(0)  # else what it has to say piles up
        self._patiently(producer.commit_transaction, seconds)

    def initialise(self, producer: Producer) -> None:
        """Fences every other producer of the transactional id, and waits until its transaction has ended."""
        self._patiently(producer.init_transactions)

    def _patiently(self, call: Callable[[float], Any], seconds: float = COMMIT_SECONDS) -> None:
        end = time.monotonic() + max(seconds, COMMIT_SECONDS)
        while True:
            try:
                call(1.0)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() >= end:
                    raise
                self.pause(float("inf"), "", 0.0)
            else:
                return

    def pause(self, end: float, what: str, seconds: float = GLANCE) -> None:
        """Waits a little.

        Raises:
            TransientError: The time is over, or the sink is closing.
        """
        if self.leaving.wait(seconds) if seconds else self.leaving.is_set():
            raise TransientError("the runner is leaving", reason="DatasetUnavailable")
        if time.monotonic() >= end:
            last = f"; the last connection: {self.said[-1].str()}" if self.said else ""
            raise TransientError(f"Kafka at {self.where}: {what}{last}", reason="DatasetUnavailable")

    def _wait(self, answer: Future[T]) -> T:
        return answer.result(SECONDS + 5)

    def close(self) -> None:
        """Closes the connections."""
        self._admin = None


def whole(topics: Mapping[str, int]) -> list[TopicPartition]:
    """All partitions of topics, from their beginnings."""
    return [TopicPartition(name, each, 0) for name, count in topics.items() for each in range(count)]
