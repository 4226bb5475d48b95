"""SIGKILL at any moment, and at each step of a commit: afterwards the dataset is exactly the script at its checkpoint."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from pathlib import Path

import pytest

from connector_runner.schemas.outcome import ExitCode
from tests.contract.datasets import Dataset, SqliteDataset
from tests.integration.sinks.truth import Truth, assert_true, committed_position
from tests.scripted.killing import KillAtStatement
from tests.scripted.process import start_runner, write_manifest
from tests.scripted.script import Script

KILLS = 200
SEED = int(os.environ.get("KILL_SEED", "0")) or secrets.randbelow(10**9) + 1


def test_two_hundred_kills_at_random_moments(dataset: Dataset, tmp_path: Path) -> None:
    print(f"seed {SEED} (repeat with KILL_SEED={SEED})")
    random_ = random.Random(SEED)
    script = Script(seed=SEED, batches=12000, rows=8)
    config = {"seed": SEED, "batches": script.batches, "rows": script.rows, "pauseMs": 0.5}
    truth = Truth(script)
    moved = last = 0
    for kill in range(KILLS):
        manifest = write_manifest(tmp_path / "run.yaml", dataset.url, config, wait=kill % 2 == 0)
        runner = start_runner(manifest)
        # Some die while they start, most while they write.
        time.sleep(random_.uniform(0.0, 0.15))
        runner.kill()
        if kill % 10 == 9:
            position = assert_true(dataset, truth)
            moved += position > last
            last = position
    runner = start_runner(write_manifest(tmp_path / "run.yaml", dataset.url, {**config, "pauseMs": 0}))
    assert runner.wait() == ExitCode.END_OF_STREAM, runner.text()[-2000:]
    assert assert_true(dataset, truth) == script.batches
    print(f"{KILLS} kills, progress seen between {moved} of {KILLS // 10} looks, {last} batches before the last run")
    assert moved > 5, "the runners were killed before they could write anything; the test proved nothing"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_every_statement_of_sqlite(tmp_path: Path, after: bool) -> None:
    dataset = SqliteDataset(tmp_path)
    script = Script(seed=5, batches=400, rows=8)
    config = {"seed": 5, "batches": script.batches, "rows": script.rows, "pauseMs": 1}
    truth = Truth(script)
    codes = set()
    for number in range(1, 46):
        manifest = write_manifest(tmp_path / "run.yaml", dataset.url, config)
        runner = start_runner(manifest, hook=KillAtStatement(number, after))
        codes.add(runner.wait())
        assert_true(dataset, truth)
    assert codes == {-signal.SIGKILL}
    assert 0 < committed_position(dataset) < script.batches
