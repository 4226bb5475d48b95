"""Delta tables on a disk that is full."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from connector_runner.protocols.source import WriteMode
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.test_kills import truth_of
from tests.integration.sinks.truth import assert_true
from tests.kit.lake_dataset import LakeDataset
from tests.scripted.process import start_runner, write_manifest
from tests.scripted.script import Script

LIMIT = 30_000


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))


@pytest.mark.fault
@pytest.mark.timeout(600)
def test_a_disk_that_is_full_is_reported_and_waited_for(tmp_path: Path) -> None:
    """No file of the runner may become larger than a limit, which is lifted later."""
    script, dataset = Script(seed=34, batches=200, rows=300), LakeDataset(tmp_path, "commitEvery=1")
    config = {"seed": script.seed, "batches": script.batches, "rows": script.rows, "pauseMs": 2}
    manifest = write_manifest(tmp_path / "run.yaml", dataset.url, config, write_mode="append")
    runner = start_runner(manifest, hook=_limited)
    runner.wait_for("File too large")
    resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    # An open file is lost: the next run, which the operator starts, reads its rows again.
    assert runner.wait(120) == ExitCode.TRANSIENT, runner.text()[-2000:]
    runner = start_runner(manifest)
    assert runner.wait(300) == ExitCode.END_OF_STREAM, runner.text()[-2000:]
    assert assert_true(dataset, truth_of(script, WriteMode.APPEND)) == script.batches
