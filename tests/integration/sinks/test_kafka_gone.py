"""Kafka's brokers or topics that are not there, or not there any more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connector_runner.protocols.batch import Incident, Operation
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.protocols.sink import Sink, Transaction
from connector_runner.registry import build_sink
from connector_runner.sinks.kafka import client as kafka
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.pipeline import SMALL, batch, context
from tests.kit.waiting import until
from tests.servers.kafka import KafkaServer
from tests.servers.ports import free_port

UPSERT = Operation.UPSERT


@pytest.fixture
def dataset(kafka_server: KafkaServer, tmp_path: Path) -> KafkaDataset:
    return KafkaDataset(kafka_server, tmp_path)


async def opened(sink: Sink) -> int:
    claim = await sink.claim()
    await sink.prepare(SMALL)
    return claim.number


async def test_a_topic_that_is_deleted_is_told(dataset: KafkaDataset) -> None:
    """The position says that rows are there which are gone: a run that writes ends, and the next start leaves an incident."""
    sink = build_sink(context(dataset))
    number = await opened(sink)
    await sink.write(Transaction(number + 1, (batch(SMALL, 1, (UPSERT, (1, "a"))),), "list"))
    assert dataset.topics.committed("rows_incidents") == []
    admin = dataset.server.admin()
    (answer,) = admin.delete_topics(["rows"]).values()
    answer.result(30)
    await until(lambda: "rows" not in dataset.topics.names(), "the topic is gone")
    with pytest.raises(
        ActionRequiredError, match=r"the topic rows at .* was deleted while the connector wrote"
    ) as caught:
        await sink.recover()
    assert caught.value.reason == "MissingTopic"
    await sink.close()

    later = build_sink(context(dataset, run=2))
    assert await opened(later) == number + 1
    await later.write(Transaction(number + 2, (batch(SMALL, 2, (UPSERT, (2, "b"))),), "list"))
    await later.close()
    assert dataset.read(SMALL, "rows") == [(2, "b")]
    (incident,) = [json.loads(message.value() or b"") for message in dataset.topics.committed("rows_incidents")]
    assert (incident["kind"], incident["subject"]) == ("table_lost", "rows")
    assert "was made again" in incident["message"]


async def test_brokers_that_are_not_there_are_waited_for(
    dataset: KafkaDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "SECONDS", 2.0)
    port = free_port()
    sink = build_sink(context(dataset, read_url=lambda: f"kafka://127.0.0.1:{port}"))
    with pytest.raises(TransientError, match=f"127.0.0.1:{port}.*Connection refused") as caught:
        await sink.claim()
    assert caught.value.reason == "DatasetUnavailable"
    await sink.close()


async def test_topics_beside_the_rows_that_are_deleted_are_made_again(dataset: KafkaDataset) -> None:
    """Else a dead letter would be sent for ever."""
    sink = build_sink(context(dataset))
    number = await opened(sink)
    admin = dataset.server.admin()
    for answer in admin.delete_topics(["rows_dead_letters", "rows_incidents"]).values():
        answer.result(30)
    await until(lambda: not {"rows_dead_letters", "rows_incidents"} & dataset.topics.names().keys(), "they are gone")
    assert await sink.recover() == number
    refused = batch(SMALL, 1, (UPSERT, (1, "\ud800")), incidents=(Incident("gap", "1", "a hole"),))
    assert (await sink.write(Transaction(number + 1, (refused,), "list"))).refused == 1
    await sink.close()
    assert [len(dataset.topics.committed(f"rows_{name}")) for name in ("dead_letters", "incidents")] == [1, 1]
