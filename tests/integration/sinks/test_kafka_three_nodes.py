"""Three brokers: leaders and coordinators killed under load, a rolling restart, too few copies; nothing is lost or doubled."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.test_kafka_readers import Record, read_by_java
from tests.integration.sinks.test_kills import start_pod, truth_of
from tests.integration.sinks.truth import assert_true, committed_position
from tests.kit.kafka_avro_dataset import AvroDataset
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.waiting import wait_until
from tests.scripted.script import Script
from tests.servers.kafka import KafkaServer
from tests.servers.kafka_three import KafkaCluster
from tests.servers.schema_registry import SmallRegistry

pytestmark = pytest.mark.fault
OURS = "connector-runner.default.test"


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster() as own:
        yield own


@pytest.fixture
def topics(request: pytest.FixtureRequest, cluster: KafkaCluster, tmp_path: Path) -> Iterator[KafkaDataset]:
    """Topics of that cluster, as JSON or, if the test asks for it, as Avro."""
    server = cast("KafkaServer", cluster)
    with SmallRegistry() as registry:
        is_avro = getattr(request, "param", "json") == "avro"
        yield AvroDataset(server, tmp_path, registry) if is_avro else KafkaDataset(server, tmp_path)


def records(topics: KafkaDataset) -> list[Record]:
    found = topics.topics.committed("rows")
    return [(each.partition() or 0, each.offset() or 0, each.key(), each.value()) for each in found]


def moves(topics: KafkaDataset, what: str) -> None:
    before = committed_position(topics)
    wait_until(lambda: committed_position(topics) > before, what, 180)


@pytest.mark.parametrize("topics", ["json", "avro"], indirect=True)
@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.timeout(1800)
def test_leaders_and_coordinators_that_die_and_a_rolling_restart(
    cluster: KafkaCluster, topics: KafkaDataset, tmp_path: Path, mode: WriteMode
) -> None:
    """At the end a consumer in Java sees the same records as one in Python."""
    script = Script(seed=36, batches=1_000_000, rows=8)
    runner = start_pod(tmp_path, topics, mode, script, "uid", 1)
    moves(topics, "it commits")
    wait_until(cluster.in_sync, "each partition has three copies", 120)
    for what in ("the leader of the rows", "the coordinator", "the leader of the ledger"):
        node = {
            "the leader of the rows": lambda: cluster.leader("rows", 0),
            "the coordinator": lambda: cluster.coordinator(OURS),
            "the leader of the ledger": lambda: cluster.leader("_connector_checkpoints.default.test", 0),
        }[what]()
        node.kill()
        moves(topics, f"it commits without {what}")
        node.start()
        wait_until(cluster.in_sync, "each partition has three copies again", 180)
    for node in cluster:
        node.stop()
        moves(topics, f"it commits while node {node.number} restarts")
        node.start()
        wait_until(cluster.in_sync, "each partition has three copies again", 180)
    moves(topics, "it commits after the rolling restart")
    runner.signal(signal.SIGTERM)
    assert runner.wait() == ExitCode.TERMINATED, runner.text()[-2000:]
    assert 0 < assert_true(topics, truth_of(script, mode)) < script.batches
    assert read_by_java(topics.server, "rows") == records(topics)


@pytest.mark.timeout(1800)
def test_too_few_copies_are_waited_for_and_told(cluster: KafkaCluster, topics: KafkaDataset, tmp_path: Path) -> None:
    script = Script(seed=37, batches=1_000_000, rows=8)
    runner = start_pod(tmp_path, topics, WriteMode.UPSERT, script, "uid", 1)
    moves(topics, "it commits")
    stopped = [node for node in cluster if node is not cluster.coordinator(OURS)]
    for node in stopped:
        node.kill()
    runner.wait_for("DatasetUnavailable")
    for node in stopped:
        node.start()
    moves(topics, "it commits again")
    runner.signal(signal.SIGTERM)
    assert runner.wait() == ExitCode.TERMINATED, runner.text()[-2000:]
    assert 0 < assert_true(topics, truth_of(script, WriteMode.UPSERT)) < script.batches
