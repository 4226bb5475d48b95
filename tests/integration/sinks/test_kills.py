"""SIGKILL at any moment, and at each step of a commit: afterwards the dataset is exactly the script at its checkpoint."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from pathlib import Path

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.manifest import MANIFEST_VARIABLE, DatasetTarget, RunnerManifest, encode_manifest
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.truth import HistoryTruth, Truth, assert_true, committed_position
from tests.kit.datasets import Dataset
from tests.kit.waiting import wait_until
from tests.scripted.killing import Environment, KillAtStatement
from tests.scripted.process import Hook, Runner, start_runner, write_manifest
from tests.scripted.script import Script

KILLS = 100  # in each write mode
SEED = int(os.environ.get("KILL_SEED", "0")) or secrets.randbelow(10**9) + 1


def truth_of(script: Script, mode: WriteMode) -> Truth:
    return HistoryTruth(script) if mode is WriteMode.APPEND else Truth(script)


@pytest.mark.parametrize("mode", list(WriteMode))
def test_two_hundred_kills_at_random_moments(dataset: Dataset, tmp_path: Path, mode: WriteMode) -> None:
    print(f"seed {SEED} (repeat with KILL_SEED={SEED})")
    random_ = random.Random(SEED)
    script = Script(seed=SEED, batches=1_000_000, rows=8)  # without end, as far as this test goes
    config = {"seed": SEED, "batches": script.batches, "rows": script.rows, "pauseMs": 0.5}
    truth = truth_of(script, mode)
    path, moved, last = tmp_path / "run.yaml", 0, 0
    for kill in range(KILLS):
        runner = start_runner(write_manifest(path, dataset.url, config, wait=kill % 4 < 2, write_mode=mode.value))
        if kill % 2:  # while it writes
            runner.wait_for("is claimed")
        # Else while it starts, or soon after.
        time.sleep(random_.uniform(0.0, 0.15))
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


@pytest.mark.parametrize(
    ("mode", "stream", "rows"),
    [(WriteMode.UPSERT, "mixed", 8), (WriteMode.APPEND, "mixed", 8), (WriteMode.APPEND, "upserts", 1200)],
    ids=["by key", "history", "history in thousands"],
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_every_statement(
    dataset: Dataset, tmp_path: Path, after: bool, mode: WriteMode, stream: str, rows: int
) -> None:
    """The claim, the making of the tables and the commits: each of their steps is the last of some runner."""
    script = Script(seed=5, batches=10_000, rows=rows, stream=stream)
    config = {"seed": 5, "batches": script.batches, "rows": rows, "pauseMs": 1}
    truth, path = truth_of(script, mode), tmp_path / "run.yaml"
    for number in range(1, 41):
        wait = number % 2 == 0
        write_manifest(path, dataset.url, config, stream=stream, wait=wait, write_mode=mode.value)
        runner = start_runner(path, hook=KillAtStatement(number, after))
        assert runner.wait() == -signal.SIGKILL, runner.text()[-2000:]
        assert_true(dataset, truth)
    assert 0 < committed_position(dataset) < script.batches


def start_pod(
    folder: Path, dataset: Dataset, mode: WriteMode, script: Script, uid: str, run: int, hook: Hook | None = None
) -> Runner:
    """As the operator starts it, with an identity."""
    config = {"seed": script.seed, "batches": script.batches, "rows": script.rows, "pauseMs": 1}
    orders = RunnerManifest(
        namespace="default", name="test", uid=uid, run=run, connector_type="SCRIPTED", config=config, wait=run % 2 == 0,
        stream="mixed",
        dataset=DatasetTarget(
            name="rows", url=dataset.url, table="rows", write_mode=mode.value, options=getattr(dataset, "options", {})
        ),
    )  # fmt: skip
    environment = Environment({MANIFEST_VARIABLE: encode_manifest(orders), "CONNECTOR_DATA_DIR": str(folder)}, hook)
    return start_runner(None, log=folder / f"{uid}-{run}.log", hook=environment)


@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.parametrize(
    ("second", "winner"),
    [(("uid-a", 3), "second"), (("uid-b", 1), "second"), (("uid-a", 2), "first"), (("uid-a", 1), "first")],
    ids=["a later run", "another object", "the same run", "an older run"],
)
def test_two_processes_at_once(
    dataset: Dataset, tmp_path: Path, mode: WriteMode, second: tuple[str, int], winner: str
) -> None:
    """The last to claim writes on and the other one ends; but a run that was there before, or an older one, is not let in."""
    script = Script(seed=33, batches=1_000_000, rows=6)
    (one, two) = folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        folder.mkdir()
    first = start_pod(one, dataset, mode, script, "uid-a", 2)
    wait_until(lambda: committed_position(dataset) > 0, "the first one commits")
    other = start_pod(two, dataset, mode, script, *second)
    loser, winning = (first, other) if winner == "second" else (other, first)
    assert loser.wait() == ExitCode.ACTION_REQUIRED, loser.text()[-2000:]
    assert "FenceLost" in loser.text()
    before = committed_position(dataset)
    wait_until(lambda: committed_position(dataset) > before, "the other one goes on")
    winning.signal(signal.SIGTERM)
    assert winning.wait() == ExitCode.TERMINATED, winning.text()[-2000:]
    assert 0 < assert_true(dataset, truth_of(script, mode)) < script.batches
