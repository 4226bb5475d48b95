"""Delta tables: runners killed, stopped and started over one another; what a reader of the tables sees stays exact."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from pathlib import Path

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.test_kills import start_pod, truth_of
from tests.integration.sinks.truth import assert_true, committed_position
from tests.kit.lake_dataset import LakeDataset
from tests.kit.waiting import wait_until
from tests.scripted.process import start_runner, write_manifest
from tests.scripted.script import Script

pytestmark = pytest.mark.fault
KILLS = int(os.environ.get("LAKE_KILLS", "100"))  # in each write mode
SEED = int(os.environ.get("KILL_SEED", "0")) or secrets.randbelow(10**9) + 1
MODES = pytest.mark.parametrize("mode", list(WriteMode))


@MODES
@pytest.mark.parametrize("options", ["commitEvery=0", "commitEvery=1"])
@pytest.mark.timeout(3600)
def test_runners_killed_at_random_moments(tmp_path: Path, mode: WriteMode, options: str) -> None:
    print(f"seed {SEED} (repeat with KILL_SEED={SEED})")
    random_, dataset = random.Random(SEED), LakeDataset(tmp_path, options)
    script = Script(seed=SEED, batches=1_000_000, rows=8)
    config = {"seed": SEED, "batches": script.batches, "rows": script.rows, "pauseMs": 5}
    truth = truth_of(script, mode)
    path, moved, last = tmp_path / "run.yaml", 0, 0
    for kill in range(KILLS):
        runner = start_runner(write_manifest(path, dataset.url, config, wait=kill % 4 < 2, write_mode=mode.value))
        if kill % 2:  # while it writes; else while it starts and claims
            wait_until(lambda last=last: committed_position(dataset) > last, "it commits", 120)  # type: ignore[misc]
        time.sleep(random_.uniform(0.0, 0.3 if kill % 2 else 2.0))
        runner.kill()
        runner.log.unlink(missing_ok=True)
        position = assert_true(dataset, truth)
        moved += position > last
        last = position
    config |= {"batches": last + 200, "pauseMs": 0}
    runner = start_runner(write_manifest(path, dataset.url, config, write_mode=mode.value))
    assert runner.wait() == ExitCode.END_OF_STREAM, runner.text()[-2000:]
    assert assert_true(dataset, truth) == last + 200
    print(f"{KILLS} kills, progress after {moved}, {last} batches before the last run")
    assert moved >= KILLS // 10, "the runners were killed before they could write anything; the test proved nothing"


@MODES
@pytest.mark.parametrize("options", ["commitEvery=0", "commitEvery=1"])
@pytest.mark.timeout(900)
def test_a_stopped_runner_that_wakes_up_commits_nothing(tmp_path: Path, mode: WriteMode, options: str) -> None:
    script, dataset = Script(seed=32, batches=1_000_000, rows=6), LakeDataset(tmp_path, options)
    zombie = start_pod(tmp_path, dataset, mode, script, "uid", 1)
    wait_until(lambda: committed_position(dataset) > 0, "the zombie commits", 120)
    zombie.signal(signal.SIGSTOP)  # most of the time in the midst of a commit
    heir = start_pod(tmp_path, dataset, mode, script, "uid", 2)
    heir.wait_for("is claimed")
    zombie.signal(signal.SIGCONT)
    assert zombie.wait() == ExitCode.ACTION_REQUIRED, zombie.text()[-2000:]
    assert "FenceLost" in zombie.text()
    assert "run 2" in zombie.text()
    before = committed_position(dataset)
    wait_until(lambda: committed_position(dataset) > before, "the heir commits", 120)
    heir.signal(signal.SIGTERM)
    assert heir.wait() == ExitCode.TERMINATED, heir.text()[-2000:]
    assert 0 < assert_true(dataset, truth_of(script, mode)) < script.batches
