"""Kafka: a kill at each call of the claim and of the first commits, before it, while it runs and after it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.test_kills import truth_of
from tests.integration.sinks.truth import assert_true, committed_position
from tests.kit.kafka_dataset import KafkaDataset
from tests.scripted.kafka_killing import CALLS, KillAtKafkaCall
from tests.scripted.process import start_runner, write_manifest
from tests.scripted.script import Script
from tests.servers.kafka import KafkaServer

pytestmark = pytest.mark.fault
LAST = 34  # a claim with its topics makes about twenty calls, a transaction four that count


@pytest.fixture(scope="module")
def server() -> Iterator[KafkaServer]:
    with KafkaServer() as own:
        yield own


@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.timeout(3600)
def test_a_kill_at_every_call(server: KafkaServer, tmp_path: Path, when: str, mode: WriteMode) -> None:
    """The next runner claims over whatever the killed one left open; every third time all is compared."""
    topics = KafkaDataset(server, tmp_path)
    script = Script(seed=5, batches=10_000, rows=4)
    config = {"seed": 5, "batches": script.batches, "rows": script.rows, "pauseMs": 1}
    truth, path, killed = truth_of(script, mode), tmp_path / "run.yaml", set[str]()
    for number in (1, 2, 2, *range(2, LAST + 1)):  # the ledger's topic is made by the first of them alone
        write_manifest(path, topics.url, config, wait=number % 2 == 0, write_mode=mode.value)
        runner = start_runner(path, hook=KillAtKafkaCall(number, when))
        assert runner.wait() == -signal.SIGKILL, runner.text()[-2000:]
        killed |= {line for line in runner.text().splitlines() if line.startswith("killed ")}
        assert "|GETPID|" not in runner.text(), "lines of librdkafka are not for standard error"
        runner.log.unlink()
        if number % 3 == 0:
            assert_true(topics, truth)
    assert killed == {f"killed {when} {name}" for name in (*CALLS, "create", "read")}
    before = committed_position(topics)
    assert 0 < before < script.batches
    runner = start_runner(write_manifest(path, topics.url, config | {"batches": before + 50}, write_mode=mode.value))
    assert runner.wait() == ExitCode.END_OF_STREAM, runner.text()[-2000:]
    assert assert_true(topics, truth) == before + 50
