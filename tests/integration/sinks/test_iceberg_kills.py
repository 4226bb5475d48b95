"""Iceberg tables: runners killed, stopped and started over one another; what a reader of the tables sees stays exact."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.test_kills import start_pod, truth_of
from tests.integration.sinks.truth import assert_true, committed_position
from tests.kit.iceberg_dataset import IcebergDataset, RestIcebergDataset
from tests.kit.waiting import wait_until
from tests.scripted.iceberg_steps import STEPS, SignalAtIcebergStep
from tests.scripted.process import start_runner, write_manifest
from tests.scripted.script import Script
from tests.servers.iceberg_rest import IcebergRestServer

pytestmark = pytest.mark.fault
KILLS = int(os.environ.get("LAKE_KILLS", "100"))  # in each write mode
SEED = int(os.environ.get("KILL_SEED", "0")) or secrets.randbelow(10**9) + 1
LAST = 60  # a claim that makes everything has about 30 steps, a commit about 15
MODES = pytest.mark.parametrize("mode", list(WriteMode))
Build = Callable[[str], IcebergDataset]
PACES = pytest.mark.parametrize("options", ["commitEvery=0", "commitEvery=1", "commitEvery=0&compactEvery=1"])


@pytest.fixture(params=["a file", "a REST catalogue"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """Makes a dataset with these options of the URL."""
    if request.param == "a file":
        return lambda options: IcebergDataset(tmp_path, options)
    return lambda options: RestIcebergDataset(request.getfixturevalue("iceberg_server"), tmp_path, options)


@MODES
@PACES
@pytest.mark.timeout(3600)
def test_runners_killed_at_random_moments(tmp_path: Path, build: Build, mode: WriteMode, options: str) -> None:
    print(f"seed {SEED} (repeat with KILL_SEED={SEED})")
    random_, dataset = random.Random(SEED), build(options)
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
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.timeout(3600)
def test_a_kill_at_every_step(tmp_path: Path, build: Build, mode: WriteMode, when: str) -> None:
    """The claim, the making of the tables and the commits: each of their steps is the last of some runner."""
    script, dataset = Script(seed=5, batches=1_000_000, rows=8), build("commitEvery=0")
    config = {"seed": 5, "batches": script.batches, "rows": script.rows, "pauseMs": 1}
    truth, path, killed = truth_of(script, mode), tmp_path / "run.yaml", set[str]()
    for number in range(1, LAST + 1):
        write_manifest(path, dataset.url, config, wait=number % 2 == 0, write_mode=mode.value)
        runner = start_runner(path, hook=SignalAtIcebergStep(number, when, signal.SIGKILL))
        assert runner.wait() == -signal.SIGKILL, runner.text()[-2000:]
        killed |= {line for line in runner.text().splitlines() if line.startswith("signal ")}
        runner.log.unlink()
        assert_true(dataset, truth)
    other = (
        "sync_folder" if mode is WriteMode.UPSERT else "remove"
    )  # staged files of histories are moved, others removed
    assert killed >= {f"signal {when} {name}" for _, name in STEPS if name != other}
    before = committed_position(dataset)
    assert 0 < before < script.batches
    write_manifest(path, dataset.url, config | {"batches": before + 50}, write_mode=mode.value)
    runner = start_runner(path)
    assert runner.wait() == ExitCode.END_OF_STREAM, runner.text()[-2000:]
    assert assert_true(dataset, truth) == before + 50


@MODES
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.timeout(3600)
def test_a_runner_that_is_stopped_at_a_step_and_wakes_up_commits_nothing(
    tmp_path: Path, build: Build, mode: WriteMode, when: str
) -> None:
    script, dataset = Script(seed=32, batches=1_000_000, rows=6), build("commitEvery=0")
    truth = truth_of(script, mode)
    config = {"seed": script.seed, "batches": script.batches, "rows": script.rows, "pauseMs": 1}
    zombie_path, heir_path, stopped = tmp_path / "zombie.yaml", tmp_path / "heir.yaml", set[str]()
    for path in (zombie_path, heir_path):
        write_manifest(path, dataset.url, config, write_mode=mode.value)
    for number in range(1, LAST // 2 + 1):
        zombie = start_runner(zombie_path, hook=SignalAtIcebergStep(number, when, signal.SIGSTOP))
        wait_until(lambda log=zombie.log: log.exists() and "signal " in log.read_text(), "it has stopped", 120)  # type: ignore[misc]
        stopped |= {line for line in zombie.text().splitlines() if line.startswith("signal ")}
        heir = start_runner(heir_path)
        before = committed_position(dataset)
        wait_until(lambda before=before: committed_position(dataset) > before, "the heir commits", 120)  # type: ignore[misc]
        zombie.signal(signal.SIGCONT)
        if "is claimed" in zombie.text():
            assert zombie.wait() == ExitCode.ACTION_REQUIRED, zombie.text()[-2000:]
            assert "FenceLost" in zombie.text()
        else:  # it may claim over the heir, as any runner that is started by hand
            zombie.wait_for("is claimed", "FenceLost")
            zombie.kill()
        heir.signal(signal.SIGTERM)
        assert heir.wait() in {ExitCode.TERMINATED, ExitCode.ACTION_REQUIRED}, heir.text()[-2000:]
        for runner in (zombie, heir):
            runner.log.unlink()
        assert_true(dataset, truth)
    assert {f"signal {when} commit_table", f"signal {when} new_output", f"signal {when} sync"} <= stopped


@MODES
@PACES
@pytest.mark.timeout(900)
def test_a_stopped_runner_that_wakes_up_commits_nothing(
    tmp_path: Path, build: Build, mode: WriteMode, options: str
) -> None:
    script, dataset = Script(seed=32, batches=1_000_000, rows=6), build(options)
    zombie = start_pod(tmp_path, dataset, mode, script, "uid", 1)
    wait_until(lambda: committed_position(dataset) > 0, "the zombie commits", 120)
    zombie.signal(signal.SIGSTOP)  # most of the time in the midst of a commit
    heir = start_pod(tmp_path, dataset, mode, script, "uid", 2)
    # Who is stopped while SQLite commits keeps the catalogue's file locked: then the heir waits, until the zombie ends or goes on.
    wait_until(lambda: "is claimed" in heir.text() or "database is locked" in heir.text(), "the heir claims", 120)
    zombie.signal(signal.SIGCONT)
    assert zombie.wait() == ExitCode.ACTION_REQUIRED, zombie.text()[-2000:]
    assert "FenceLost" in zombie.text()
    assert "run 2" in zombie.text()
    before = committed_position(dataset)
    wait_until(lambda: committed_position(dataset) > before, "the heir commits", 120)
    heir.signal(signal.SIGTERM)
    assert heir.wait() == ExitCode.TERMINATED, heir.text()[-2000:]
    assert 0 < assert_true(dataset, truth_of(script, mode)) < script.batches


@MODES
@pytest.mark.timeout(900)
def test_a_catalogue_that_is_killed_and_started_again_under_load(tmp_path: Path, mode: WriteMode) -> None:
    script = Script(seed=33, batches=1_000_000, rows=8)
    config = {"seed": script.seed, "batches": script.batches, "rows": script.rows, "pauseMs": 5}
    with IcebergRestServer() as server:
        dataset = RestIcebergDataset(server, tmp_path, "commitEvery=1")
        runner = start_runner(write_manifest(tmp_path / "run.yaml", dataset.url, config, write_mode=mode.value))
        last = 0
        for restart in range(4):
            wait_until(lambda last=last: committed_position(dataset) > last, "it commits", 120)  # type: ignore[misc]
            last = committed_position(dataset)
            if restart < 3:
                server.kill()
                time.sleep(1)
                server.start()
        runner.signal(signal.SIGTERM)
        assert runner.wait() == ExitCode.TERMINATED, runner.text()[-2000:]
        assert assert_true(dataset, truth_of(script, mode)) >= last
        assert "Failed to delete" not in runner.text(), "what is in the log is ours"
