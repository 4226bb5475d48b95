"""Delta tables: commits by size, and what killed runners leave behind."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.delta.tables import STAGED, STAGED_SECONDS
from tests.kit.lake_dataset import LakeDataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until

UPSERT = Operation.UPSERT
MODES = pytest.mark.parametrize("mode", list(WriteMode))


def noise(position: int, rows: int, length: int) -> Batch:
    """Rows that can't be compressed."""
    random_ = random.Random(position)
    return batch(
        SMALL, position, *((UPSERT, (position * rows + at, random_.randbytes(length).hex())) for at in range(rows))
    )


@MODES
async def test_what_is_staged_is_committed_when_it_is_large_enough(tmp_path: Path, mode: WriteMode) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=3600&targetMiB=1")
    source = ListSource([noise(1, 10, 100)], endless=True)
    run = Run(lambda: source, context(dataset, write_mode=mode)).start()
    await until(lambda: source.read == 1, "the small batch was read")
    assert run.telemetry.totals.rows == 0
    source.add(noise(2, 3000, 1000))
    await until(lambda: run.telemetry.totals.rows == 3010, "the commit, long before an hour")
    assert len(dataset.read(SMALL, "rows", order="k")) == 3010
    await run.stop()


async def test_staged_files_of_killed_runners_are_removed_after_a_day(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path)
    await run_to_end([noise(1, 1, 10)], context(dataset))
    staged = dataset.root / "rows" / STAGED
    ages = {
        "connector-old.parquet": STAGED_SECONDS + 60,
        "connector-young.parquet": STAGED_SECONDS - 600,
        "theirs.parquet": 10**7,
    }
    for name, age in ages.items():
        (staged / name).write_bytes(b"")
        os.utime(staged / name, (time.time() - age,) * 2)
    await run_to_end([noise(1, 1, 10), noise(2, 1, 10)], context(dataset, run=2))
    left = {path.name for path in staged.iterdir()}
    assert ages.keys() & left == {"connector-young.parquet", "theirs.parquet"}
