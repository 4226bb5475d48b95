"""Kafka: runners and the broker killed, stopped and started over one another; what a read_committed reader sees stays exact."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.test_kills import start_pod, truth_of
from tests.integration.sinks.truth import Truth, assert_true, committed_position
from tests.kit.kafka_avro_dataset import AvroDataset
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.waiting import wait_until
from tests.scripted.process import start_runner, write_manifest
from tests.scripted.script import Script
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import SmallRegistry

pytestmark = pytest.mark.fault
KILLS = int(os.environ.get("KAFKA_KILLS", "100"))  # in each write mode
SEED = int(os.environ.get("KILL_SEED", "0")) or secrets.randbelow(10**9) + 1


@pytest.fixture(scope="module")
def server() -> Iterator[KafkaServer]:
    """A broker of its own, which may be killed."""
    with KafkaServer() as own:
        yield own


@pytest.fixture(params=["json", "avro"])
def topics(request: pytest.FixtureRequest, server: KafkaServer, tmp_path: Path) -> Iterator[KafkaDataset]:
    """Topics of that server in each format; the registry is there all the time."""
    with SmallRegistry() as registry:
        yield KafkaDataset(server, tmp_path) if request.param == "json" else AvroDataset(server, tmp_path, registry)


def be_away(topics: KafkaDataset, random_: random.Random) -> None:
    """The registry, if there is one, is away for a moment; a runner that starts meanwhile waits for it."""
    if isinstance(topics, AvroDataset):
        topics.registry.stop()
        time.sleep(random_.uniform(0.0, 1.0))
        topics.registry.start()


def options_of(topics: KafkaDataset) -> dict[str, str]:
    return topics.options if isinstance(topics, AvroDataset) else {}


@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.timeout(3600)
def test_runners_killed_at_random_moments(topics: KafkaDataset, tmp_path: Path, mode: WriteMode) -> None:
    print(f"seed {SEED} (repeat with KILL_SEED={SEED})")
    random_ = random.Random(SEED)
    script = Script(seed=SEED, batches=1_000_000, rows=8)
    config = {"seed": SEED, "batches": script.batches, "rows": script.rows, "pauseMs": 0.5}
    truth = truth_of(script, mode)
    path, moved, last, options = tmp_path / "run.yaml", 0, 0, options_of(topics)
    for kill in range(KILLS):
        wait = kill % 4 < 2
        write_manifest(path, topics.url, config, wait=wait, write_mode=mode.value, options=options)
        runner = start_runner(path)
        if kill % 8 == 5:
            be_away(topics, random_)
        if kill % 2:  # while it writes; else while it starts and claims
            wait_until(lambda last=last: committed_position(topics) > last, "it commits", 120)  # type: ignore[misc]
        time.sleep(random_.uniform(0.0, 0.3 if kill % 2 else 2.0))
        runner.kill()
        runner.log.unlink(missing_ok=True)
        position = assert_true(topics, truth)
        moved += position > last
        last = position
        print(f"{kill + 1} kills, {position} batches", flush=True)  # a machine under load may not reach the last one
    config |= {"batches": last + 200, "pauseMs": 0}
    runner = start_runner(write_manifest(path, topics.url, config, write_mode=mode.value, options=options))
    assert runner.wait() == ExitCode.END_OF_STREAM, runner.text()[-2000:]
    assert assert_true(topics, truth) == last + 200
    print(f"{KILLS} kills, progress after {moved}, {last} batches before the last run")
    assert moved >= KILLS // 10, "the runners were killed before they could write anything; the test proved nothing"


@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.timeout(900)
def test_a_broker_that_is_killed_and_started_again_under_load(
    topics: KafkaDataset, tmp_path: Path, mode: WriteMode
) -> None:
    script = Script(seed=35, batches=1_000_000, rows=8)
    runner = start_pod(tmp_path, topics, mode, script, "uid", 1)
    for restart in (topics.server.kill, topics.server.stop, topics.server.kill):
        before = committed_position(topics)
        wait_until(lambda before=before: committed_position(topics) > before, "it commits", 120)  # type: ignore[misc]
        restart()
        topics.server.start()
    before = committed_position(topics)
    wait_until(lambda: committed_position(topics) > before, "it commits again", 120)
    runner.signal(signal.SIGTERM)
    assert runner.wait() == ExitCode.TERMINATED, runner.text()[-2000:]
    assert 0 < assert_true(topics, truth_of(script, mode)) < script.batches


@pytest.mark.timeout(900)
def test_a_stopped_runner_that_wakes_up_commits_nothing(topics: KafkaDataset, tmp_path: Path) -> None:
    script = Script(seed=32, batches=1_000_000, rows=6)
    truth = Truth(script)
    zombie = start_pod(tmp_path, topics, WriteMode.UPSERT, script, "uid", 1)
    wait_until(lambda: committed_position(topics) > 0, "the zombie commits", 120)
    zombie.signal(signal.SIGSTOP)  # most of the time with an open transaction
    heir = start_pod(tmp_path, topics, WriteMode.UPSERT, script, "uid", 2)
    heir.wait_for("is claimed")
    zombie.signal(signal.SIGCONT)
    assert zombie.wait() == ExitCode.ACTION_REQUIRED, zombie.text()[-2000:]
    assert "FenceLost" in zombie.text()
    assert "run 2" in zombie.text()
    before = committed_position(topics)
    wait_until(lambda: committed_position(topics) > before, "the heir commits", 120)
    heir.signal(signal.SIGTERM)
    assert heir.wait() == ExitCode.TERMINATED, heir.text()[-2000:]
    assert 0 < assert_true(topics, truth) < script.batches


@pytest.mark.parametrize(
    ("second", "winner"),
    [(("uid-a", 3), "second"), (("uid-b", 1), "second"), (("uid-a", 2), "first"), (("uid-a", 1), "first")],
    ids=["a later run", "another object", "the same run", "an older run"],
)
@pytest.mark.timeout(900)
def test_two_processes_at_once(topics: KafkaDataset, tmp_path: Path, second: tuple[str, int], winner: str) -> None:
    script = Script(seed=33, batches=1_000_000, rows=6)
    first = start_pod(tmp_path, topics, WriteMode.UPSERT, script, "uid-a", 2)
    wait_until(lambda: committed_position(topics) > 0, "the first one commits", 120)
    folder = tmp_path / "second"
    folder.mkdir()
    other = start_pod(folder, topics, WriteMode.UPSERT, script, *second)
    loser, winning = (first, other) if winner == "second" else (other, first)
    assert loser.wait() == ExitCode.ACTION_REQUIRED, loser.text()[-2000:]
    assert "FenceLost" in loser.text()
    before = committed_position(topics)
    wait_until(lambda: committed_position(topics) > before, "the other one goes on", 120)
    winning.signal(signal.SIGTERM)
    assert winning.wait() == ExitCode.TERMINATED, winning.text()[-2000:]
    assert 0 < assert_true(topics, Truth(script)) < script.batches
