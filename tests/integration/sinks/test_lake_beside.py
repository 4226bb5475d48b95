"""Delta and Iceberg tables: dead letters and incidents that a killed runner has staged, and nobody has decided to commit."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from connector_runner.datasets.columnar.beside import apps_of
from connector_runner.datasets.columnar.staging_folder import own_prefix
from connector_runner.protocols.batch import Batch, Incident, Operation
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.delta import ledger_table as delta
from connector_runner.sinks.delta.tables import STAGED, STAGED_SECONDS
from connector_runner.sinks.iceberg import ledger_table as iceberg
from tests.kit.iceberg_dataset import IcebergDataset
from tests.kit.lake_dataset import LakeDataset
from tests.kit.pipeline import SMALL, batch, context, run_to_end
from tests.scripted.process import fork

UPSERT = Operation.UPSERT
LEDGERS: dict[Any, Any] = {LakeDataset: delta.LedgerTable, IcebergDataset: iceberg.LedgerTable}
BESIDE = ("rows_dead_letters", "rows_incidents")


def batches() -> list[Batch]:
    """A good row, one that is refused, and an incident."""
    gap = (Incident("gap", "x", "something is missing", {}),)
    return [batch(SMALL, 1, (UPSERT, (1, "one"))), batch(SMALL, 2, (UPSERT, (2**63, "too large")), incidents=gap)]


def run_until_killed(kind: Any, folder: Path, mode: WriteMode) -> None:
    """Runs in a process of its own, which is killed when it would commit to the ledger what it has staged beside the rows."""
    ledger = LEDGERS[kind]
    commit = ledger.commit

    def die(self: Any, rows: Any, pending: Any) -> bool:
        if any(name in text for text in pending.values() for name in BESIDE):
            os.kill(os.getpid(), signal.SIGKILL)
        return bool(commit(self, rows, pending))

    ledger.commit = die
    asyncio.run(run_to_end(batches(), context(kind(folder), write_mode=mode)))


@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.parametrize("kind", list(LEDGERS))
def test_what_a_killed_runner_has_staged_beside_the_rows_is_removed_after_a_day(
    tmp_path: Path, kind: Any, mode: WriteMode
) -> None:
    runner = fork(run_until_killed, (kind, tmp_path, mode))
    runner.join(120)
    assert runner.exitcode == -signal.SIGKILL
    dataset = kind(tmp_path)
    staged = {file for name in BESIDE for file in dataset.root.rglob(f"{name}/{STAGED}/*")}
    assert {file.parent.parent.name for file in staged} == set(BESIDE)
    theirs = next(iter(staged)).parent / f"{own_prefix('default/other')}.parquet"
    theirs.write_bytes(b"")
    for file in (*staged, theirs):
        os.utime(file, (time.time() - STAGED_SECONDS - 60,) * 2)
    asyncio.run(run_to_end(batches(), context(dataset, run=2, write_mode=mode)))
    assert not any(file.exists() for file in staged)
    assert theirs.exists(), "whoever is not fenced off may still commit it"
    for name in BESIDE:
        assert dataset.query(f"SELECT count(*) FROM {name}") == [(1,)]


def test_what_a_run_with_a_fence_of_its_own_has_staged_beside_a_shared_history_is_left_alone() -> None:
    mine, other = ("n/c", "s", "t"), ("n/c", "s2", "t")
    beside = {"t_dead_letters": ["n/c"], "t_incidents": ["n/c"]}
    assert apps_of({mine}, {mine, ("n/d", "s", "t")}) == {"t": ["n/c/s"], **beside}
    assert apps_of({mine}, {mine, other}) == {"t": ["n/c/s"]}
    found = apps_of({mine, other}, {mine, other})
    assert {name: sorted(listed) for name, listed in found.items()} == {"t": ["n/c/s", "n/c/s2"], **beside}
