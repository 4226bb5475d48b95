"""Iceberg tables on S3: runners and the store killed under load, and a runner that wakes up after it was overtaken."""

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
from tests.integration.sinks.test_kills import truth_of
from tests.integration.sinks.truth import assert_true, committed_position
from tests.kit.iceberg_dataset import S3IcebergDataset
from tests.kit.waiting import wait_until
from tests.scripted.process import Runner, start_runner, write_manifest
from tests.scripted.script import Script
from tests.servers.iceberg_s3 import IcebergS3Server
from tests.servers.s3 import SECRET_KEY, SeaweedServer

pytestmark = pytest.mark.fault
KILLS = int(os.environ.get("LAKE_S3_KILLS", "40"))  # in each write mode
SEED = int(os.environ.get("KILL_SEED", "0")) or secrets.randbelow(10**9) + 1
MODES = pytest.mark.parametrize("mode", list(WriteMode))


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[S3IcebergDataset]:
    with SeaweedServer() as store, IcebergS3Server(store) as server:
        yield S3IcebergDataset(server, tmp_path, "commitEvery=1")


def start(path: Path, dataset: S3IcebergDataset, script: Script, mode: WriteMode, pause: float = 5) -> Runner:
    config = {"seed": script.seed, "batches": script.batches, "rows": script.rows, "pauseMs": pause}
    return start_runner(write_manifest(path, dataset.url, config, write_mode=mode.value, options=dataset.options))


@MODES
@pytest.mark.timeout(3600)
def test_runners_killed_at_random_moments_on_s3(tmp_path: Path, mode: WriteMode, dataset: S3IcebergDataset) -> None:
    print(f"seed {SEED} (repeat with KILL_SEED={SEED})")
    random_, script = random.Random(SEED), Script(seed=SEED, batches=1_000_000, rows=8)
    truth, moved, last = truth_of(script, mode), 0, 0
    for kill in range(KILLS):
        runner = start(tmp_path / "run.yaml", dataset, script, mode)
        if kill % 2:  # while it writes; else while it starts and claims
            wait_until(lambda last=last: committed_position(dataset) > last, "it commits", 120)  # type: ignore[misc]
        time.sleep(random_.uniform(0.0, 0.5 if kill % 2 else 3.0))
        runner.kill()
        assert SECRET_KEY not in runner.text()
        runner.log.unlink(missing_ok=True)
        position = assert_true(dataset, truth)
        moved += position > last
        last = position
    script = Script(seed=SEED, batches=last + 200, rows=8)
    runner = start(tmp_path / "run.yaml", dataset, script, mode, 0)
    assert runner.wait(300) == ExitCode.END_OF_STREAM, runner.text()[-2000:]
    assert assert_true(dataset, truth) == last + 200
    print(f"{KILLS} kills, progress after {moved}, {last} batches before the last run")
    assert moved >= KILLS // 10, "the runners were killed before they could write anything; the test proved nothing"


@MODES
@pytest.mark.timeout(900)
def test_a_store_that_is_killed_and_started_again_under_load(
    tmp_path: Path, mode: WriteMode, dataset: S3IcebergDataset
) -> None:
    script = Script(seed=33, batches=1_000_000, rows=8)
    runner = start(tmp_path / "run.yaml", dataset, script, mode)
    last = 0
    for restart in range(4):
        wait_until(lambda last=last: committed_position(dataset) > last, "it commits", 240)  # type: ignore[misc]
        if restart < 3:
            dataset.store.kill()
            time.sleep(1)
            dataset.store.start()
            last = committed_position(dataset)
    runner.signal(signal.SIGTERM)
    assert runner.wait(300) == ExitCode.TERMINATED, runner.text()[-2000:]
    assert assert_true(dataset, truth_of(script, mode)) >= last


@MODES
@pytest.mark.timeout(900)
def test_a_stopped_runner_that_wakes_up_commits_nothing_on_s3(
    tmp_path: Path, mode: WriteMode, dataset: S3IcebergDataset
) -> None:
    script = Script(seed=32, batches=1_000_000, rows=6)
    zombie = start(tmp_path / "zombie.yaml", dataset, script, mode)
    wait_until(lambda: committed_position(dataset) > 0, "the zombie commits", 120)
    zombie.signal(signal.SIGSTOP)
    heir = start(tmp_path / "heir.yaml", dataset, script, mode)
    heir.wait_for("is claimed")
    zombie.signal(signal.SIGCONT)
    assert zombie.wait() == ExitCode.ACTION_REQUIRED, zombie.text()[-2000:]
    assert "FenceLost" in zombie.text()
    before = committed_position(dataset)
    wait_until(lambda: committed_position(dataset) > before, "the heir commits", 120)
    heir.signal(signal.SIGTERM)
    assert heir.wait() == ExitCode.TERMINATED, heir.text()[-2000:]
    assert 0 < assert_true(dataset, truth_of(script, mode)) < script.batches
