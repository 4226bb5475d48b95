"""Reading topics while others write into them: it waits for whoever holds it up, but not for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from connector_runner.protocols.errors import TransientError
from connector_runner.schemas.datasets.kafka import parse_address
from connector_runner.sinks.kafka import client as kafka
from connector_runner.sinks.kafka.reading import Reading
from tests.kit.kafka_dataset import KafkaDataset
from tests.servers.kafka import KafkaServer

LONG = 60.0


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path) -> KafkaDataset:
    found = KafkaDataset(kafka_server, tmp_path)
    admin = kafka_server.admin()
    for answer in admin.create_topics([NewTopic("busy", 2, 1)]).values():
        answer.result(30)
    return found


@contextmanager
def traffic(dataset: KafkaDataset, partition: int) -> Iterator[threading.Event]:
    """Somebody writes without a pause; sets the event when it has written for too long."""
    producer = Producer({"bootstrap.servers": dataset.server.address, "linger.ms": 0})
    stop, too_long, begun = threading.Event(), threading.Event(), time.monotonic()

    def write() -> None:
        while not stop.is_set():
            producer.produce("busy", b"x", partition=partition)
            if len(producer) > 100:
                producer.poll(0.01)
            if time.monotonic() > begun + LONG:
                too_long.set()
                return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield too_long
    finally:
        stop.set()
        thread.join()


@contextmanager
def connected(dataset: KafkaDataset) -> Iterator[kafka.Client]:
    client = kafka.Client(parse_address(dataset.url), {}, threading.Event())
    yield client
    client.close()


def test_who_waits_for_an_open_transaction_is_not_kept_waiting_by_others(
    dataset: KafkaDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "SECONDS", 6.0)
    holder = Producer({"bootstrap.servers": dataset.server.address, "transactional.id": "holder"})
    holder.init_transactions(30)
    holder.begin_transaction()
    holder.produce("busy", b"open", partition=0)
    holder.flush(30)
    with connected(dataset) as client, traffic(dataset, 1) as too_long:
        with pytest.raises(TransientError, match="a transaction of somebody else is open in topic busy"):
            list(client.read(kafka.whole({"busy": 2}), float("inf")))
        assert not too_long.is_set()
    holder.abort_transaction(30)


def test_aborted_records_are_progress(dataset: KafkaDataset) -> None:
    """There may be millions of a transaction that was late: nobody gets to see them, but to read them is no silence."""
    holder = Producer({"bootstrap.servers": dataset.server.address, "transactional.id": "holder"})
    holder.init_transactions(30)
    holder.begin_transaction()
    for _ in range(1000):
        holder.produce("busy", b"x", partition=0)
    holder.flush(30)
    holder.abort_transaction(30)
    holder.begin_transaction()
    holder.produce("busy", b"open", partition=0)
    holder.flush(30)
    reading = Reading({"bootstrap.servers": dataset.server.address}, {("busy", 0): 1002}, seconds=600.0, glance=0.1)
    ends, deadline = list[float](), time.monotonic() + 60

    def look(end: float, waits: str) -> None:
        ends.append(end)
        assert time.monotonic() < deadline, waits
        if end > ends[0]:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        list(reading.records([TopicPartition("busy", 0, 0)], float("inf"), look))
    holder.abort_transaction(30)
