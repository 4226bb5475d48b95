"""Kafka: a runner that is suspended at any call of its claim and first commits, and wakes up when another has gone on, or the broker is a new one."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.test_kills import start_pod, truth_of
from tests.integration.sinks.truth import assert_true, committed_position
from tests.kit.kafka_avro_dataset import AvroDataset
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.waiting import wait_until
from tests.scripted.kafka_killing import CALLS, StopAtKafkaCall
from tests.scripted.process import Runner
from tests.scripted.script import Script
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import SmallRegistry

pytestmark = pytest.mark.fault
LAST = 34  # see test_kafka_kill_points
WHEN = ("before", "during", "after")
EACH = [("json", WriteMode.UPSERT), ("avro", WriteMode.APPEND)]


@pytest.fixture(scope="module")
def server() -> Iterator[KafkaServer]:
    with KafkaServer() as own:
        yield own


@pytest.fixture
def topics(request: pytest.FixtureRequest, server: KafkaServer, tmp_path: Path) -> Iterator[KafkaDataset]:
    with SmallRegistry() as registry:
        yield KafkaDataset(server, tmp_path) if request.param == "json" else AvroDataset(server, tmp_path, registry)


def is_stopped(runner: Runner) -> bool:
    return Path(f"/proc/{runner.pid}/stat").read_text().rpartition(") ")[2].startswith("T")


def moves(topics: KafkaDataset, what: str) -> None:
    before = committed_position(topics)
    wait_until(lambda: committed_position(topics) > before, what, 180)


def stop_at(number: int) -> StopAtKafkaCall:
    return StopAtKafkaCall(number, WHEN[number % 3])


def end(runner: Runner) -> None:
    runner.signal(signal.SIGTERM)
    assert runner.wait() == ExitCode.TERMINATED, runner.text()[-2000:]


@pytest.mark.parametrize(("topics", "mode"), EACH, indirect=["topics"])
@pytest.mark.timeout(3600)
def test_one_that_wakes_up_after_another_has_gone_on(topics: KafkaDataset, tmp_path: Path, mode: WriteMode) -> None:
    script = Script(seed=38, batches=1_000_000, rows=6)
    truth, stopped = truth_of(script, mode), set[str]()
    for run, number in zip(itertools.count(1, 2), (1, 2, *range(2, LAST + 1)), strict=False):
        zombie = start_pod(tmp_path, topics, mode, script, "uid", run, stop_at(number))
        wait_until(lambda zombie=zombie: is_stopped(zombie), "it is suspended", 120)  # type: ignore[misc]
        heir = start_pod(tmp_path, topics, mode, script, "uid", run + 1)
        moves(topics, "the heir commits")
        zombie.signal(signal.SIGCONT)
        assert zombie.wait() == ExitCode.ACTION_REQUIRED, zombie.text()[-2000:]
        assert "FenceLost" in zombie.text()
        assert f"run {run + 1}" in zombie.text()
        moves(topics, "the heir goes on")
        end(heir)
        stopped |= {line for line in zombie.text().splitlines() if line.startswith("stopped ")}
        if number % 3 == 0:
            assert_true(topics, truth)
    assert 0 < assert_true(topics, truth) < script.batches
    assert {line.split(" ")[2] for line in stopped} >= {*CALLS, "read"}


@pytest.mark.parametrize(("topics", "mode"), EACH, indirect=["topics"])
@pytest.mark.timeout(3600)
def test_one_that_wakes_up_when_the_broker_has_been_killed(
    topics: KafkaDataset, tmp_path: Path, mode: WriteMode
) -> None:
    script = Script(seed=39, batches=1_000_000, rows=6)
    truth, stopped = truth_of(script, mode), set[str]()
    for run, number in enumerate((1, 2, *range(2, LAST + 1)), 1):
        runner = start_pod(tmp_path, topics, mode, script, "uid", run, stop_at(number))
        wait_until(lambda runner=runner: is_stopped(runner), "it is suspended", 120)  # type: ignore[misc]
        topics.server.kill()
        topics.server.start()
        runner.signal(signal.SIGCONT)
        moves(topics, "it goes on")
        end(runner)
        stopped |= {line for line in runner.text().splitlines() if line.startswith("stopped ")}
        if number % 3 == 0:
            assert_true(topics, truth)
    assert 0 < assert_true(topics, truth) < script.batches
    assert {line.split(" ")[2] for line in stopped} >= {*CALLS, "read"}
