"""Delta tables: what is staged and when it is committed, kills between each two commits, other writers; read by DuckDB."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from connector_runner.datasets.columnar.small_files import MANY_FILES
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ActionRequiredError, FenceLostError, SchemaConflictError, TransientError
from connector_runner.protocols.sink import Sink, SinkContext, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sinks.delta.ledger_table import LedgerTable
from connector_runner.sinks.delta.tables import STAGED, Table
from connector_runner.sinks.delta.upkeep import Keeper, Upkeep
from tests.kit.lake_dataset import LakeDataset, actions
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until

UPSERT, DELETE, INSERT, REPLACE = Operation
PACED = "commitEvery=3600"
MODES = pytest.mark.parametrize("mode", list(WriteMode))


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number}")))


def rows_until(last: int) -> list[tuple[int, str]]:
    return [(number, f"row {number}") for number in range(1, last + 1)]


def files_of(dataset: LakeDataset, table: str = "rows") -> list[Path]:
    return sorted((dataset.root / table).glob("*.parquet"))


async def claimed(sink: SinkContext) -> tuple[Sink, int]:
    made = build_sink(sink)
    claim = await made.claim()
    await made.prepare(SMALL)
    return made, claim.number


@MODES
async def test_rows_are_staged_and_committed_together_when_the_stream_ends(tmp_path: Path, mode: WriteMode) -> None:
    dataset = LakeDataset(tmp_path, PACED)
    source = ListSource([row(number) for number in range(1, 4)], endless=True)
    run = Run(lambda: source, context(dataset, write_mode=mode)).start()
    for number in range(4, 60):
        source.add(row(number))
    await until(lambda: source.read == 59, "everything was read")
    await until(lambda: run.telemetry.health.is_committing, "the proof at the start that commits go through")
    assert dataset.read(SMALL, "rows") == []
    assert run.telemetry.totals.rows == 0, "what is only staged does not count"
    assert await run.stop() is ExitCode.TERMINATED
    assert dataset.read(SMALL, "rows", order="k") == rows_until(59)
    assert run.telemetry.totals.rows == 59
    assert len(files_of(dataset)) == 1, "one file, not one for each transaction"
    assert list((dataset.root / "rows" / STAGED).glob("*")) == [] or mode is WriteMode.UPSERT


@MODES
async def test_what_is_staged_is_committed_when_its_time_has_come(tmp_path: Path, mode: WriteMode) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=1")
    source = ListSource([row(1), row(2)], endless=True)
    run = Run(lambda: source, context(dataset, write_mode=mode)).start()
    await until(lambda: run.telemetry.totals.rows == 2, "the commit")
    assert dataset.read(SMALL, "rows", order="k") == rows_until(2)
    source.add(row(3))
    await until(lambda: run.telemetry.totals.rows == 3, "the next commit")
    assert dataset.read(SMALL, "rows", order="k") == rows_until(3)
    await run.stop()


@MODES
async def test_what_a_killed_runner_had_staged_is_read_again(tmp_path: Path, mode: WriteMode) -> None:
    dataset = LakeDataset(tmp_path, PACED)
    source = ListSource([row(number) for number in range(1, 30)], endless=True)
    run = Run(lambda: source, context(dataset, write_mode=mode)).start()
    await until(lambda: source.read == 29, "everything was read")
    await run.kill()
    await run_to_end([row(number) for number in range(1, 40)], context(dataset, run=2, write_mode=mode))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(39)


class _Died(BaseException):
    """Stands for a kill: nothing after it runs."""


@MODES
@pytest.mark.parametrize(
    "where", [f"{when} the {whose}'s commit" for whose in ("ledger", "table") for when in ("before", "after")]
)
async def test_a_runner_that_dies_between_two_commits_loses_and_repeats_nothing(
    tmp_path: Path, mode: WriteMode, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = LakeDataset(tmp_path)
    sink, number = await claimed(context(dataset, write_mode=mode))
    await sink.write(Transaction(number + 1, (row(1),), "list"))
    die_at(where, monkeypatch)
    with pytest.raises(_Died):
        await sink.write(Transaction(number + 2, (row(2),), "list"))
    monkeypatch.undo()
    await run_to_end([row(number) for number in range(1, 5)], context(dataset, run=2, write_mode=mode))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(4)
    with pytest.raises((FenceLostError, TransientError)):
        await sink.write(Transaction(number + 3, (row(9),), "list"))
    with pytest.raises(FenceLostError, match="run 2"):
        await sink.recover()
    await sink.close()
    assert dataset.read(SMALL, "rows", order="k") == rows_until(4)


def die_at(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = (LedgerTable, "commit") if "ledger" in where else (Table, "carry_out")
    original = getattr(owner, name)

    def die(*arguments: Any) -> None:
        if where.startswith("after"):
            original(*arguments)
        raise _Died

    monkeypatch.setattr(owner, name, die)


@MODES
@pytest.mark.parametrize("where", ["before the ledger's commit", "before the table's commit"])
async def test_a_runner_that_was_stopped_between_two_commits_wakes_up_after_it_was_overtaken(
    tmp_path: Path, mode: WriteMode, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = LakeDataset(tmp_path)
    older, number = await claimed(context(dataset, write_mode=mode))
    await older.write(Transaction(number + 1, (row(1),), "list"))
    owner, name = (LedgerTable, "commit") if "ledger" in where else (Table, "carry_out")
    stopped, wakes, original = threading.Event(), threading.Event(), getattr(owner, name)

    def stop_once(*arguments: Any) -> Any:
        if not stopped.is_set():
            stopped.set()
            assert wakes.wait(120)
        return original(*arguments)

    monkeypatch.setattr(owner, name, stop_once)
    writing = asyncio.create_task(older.write(Transaction(number + 2, (row(2),), "list")))
    await asyncio.to_thread(stopped.wait, 120)
    newer = build_sink(context(dataset, run=2, write_mode=mode))
    claim = await newer.claim()
    assert claim.number == number + (1 if "ledger" in where else 2)
    await newer.prepare(SMALL)
    for at in range(claim.number + 1, number + 5):
        await newer.write(Transaction(at, (row(at - number),), "list"))
    wakes.set()
    if "ledger" in where:
        with pytest.raises(TransientError, match="somebody else has written to the ledger"):
            await writing
    else:
        await writing  # the newer one has carried it out
        with pytest.raises(TransientError):
            await older.write(Transaction(number + 3, (row(9),), "list"))
    with pytest.raises(FenceLostError, match="run 2"):
        await older.recover()
    for sink in (older, newer):
        await sink.close()
    assert dataset.read(SMALL, "rows", order="k") == rows_until(4)


@MODES
async def test_commits_of_others_do_not_disturb(tmp_path: Path, mode: WriteMode) -> None:
    """A compaction, rows that somebody appends, a vacuum; after each the runner goes on, and so does the next one."""
    dataset = LakeDataset(tmp_path)
    sink, number = await claimed(context(dataset, write_mode=mode))
    for at in range(1, 4):
        await sink.write(Transaction(number + at, (row(at),), "list"))
    table = DeltaTable(dataset.root / "rows")
    table.optimize.compact()
    await sink.write(Transaction(number + 4, (row(4),), "list"))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(4)
    table = DeltaTable(dataset.root / "rows")
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    await sink.write(Transaction(number + 5, (row(5),), "list"))
    await sink.close()
    DeltaTable(dataset.root / "rows").optimize.compact()
    await run_to_end([row(at) for at in range(1, 8)], context(dataset, run=2, write_mode=mode))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(7)


async def test_rows_that_somebody_else_appends_stay(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path)
    sink, number = await claimed(context(dataset))
    await sink.write(Transaction(number + 1, (row(1),), "list"))
    schema = pa.schema([pa.field("k", pa.int64(), nullable=False), ("v", pa.string())])
    write_deltalake(dataset.root / "rows", pa.table({"k": [100], "v": ["theirs"]}, schema=schema), mode="append")
    await sink.write(Transaction(number + 2, (row(2), batch(SMALL, 2, (INSERT, (100, "ours")))), "list"))
    assert dataset.read(SMALL, "rows") == [*rows_until(2), (100, "theirs")]
    await sink.close()


async def test_each_commit_of_a_table_says_who_made_it_and_how_far_it_is(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path)
    await run_to_end([row(1)], context(dataset))
    commit = next(
        commit for commit in reversed(actions(dataset.root / "rows")) if any("txn" in action for action in commit)
    )
    members = {name: action[name] for action in commit for name in action}
    assert members["txn"]["appId"] == "default/test/test"
    assert '"position":"{\\"next\\":1}"' in members["commitInfo"]["connectorRunner"]
    assert "add" in members


async def test_a_merge_that_changes_nothing_keeps_the_position_all_the_same(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path)
    sink, number = await claimed(context(dataset))
    await sink.write(Transaction(number + 1, (row(1),), "list"))
    nothing = batch(SMALL, 2, (INSERT, (1, "another")), (DELETE, (77, None)))
    await sink.write(Transaction(number + 2, (nothing,), "list"))
    await sink.close()
    inspector = build_inspector(context(dataset))
    assert inspector.checkpoints()[0].position == {"next": 2}
    inspector.close()
    assert DeltaTable(dataset.root / "rows").transaction_version("default/test/test") == 2
    assert dataset.read(SMALL, "rows") == rows_until(1)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"delta.setTransactionRetentionDuration": "interval 1 days"}, "InvalidDataset"),
        ({"delta.appendOnly": "true"}, "InvalidDataset"),
    ],
)
async def test_settings_under_which_the_promise_fails_are_refused(
    tmp_path: Path, settings: dict[str, str], reason: str
) -> None:
    dataset = LakeDataset(tmp_path)
    await run_to_end([row(1)], context(dataset))
    DeltaTable(dataset.root / "rows").alter.set_table_properties(settings)
    with pytest.raises(ActionRequiredError) as caught:
        await run_to_end([row(1), row(2)], context(dataset, run=2))
    assert caught.value.reason == reason
    assert next(iter(settings)) in caught.value.message


async def test_tables_that_do_not_fit_are_refused_and_untouched(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path)
    dataset.root.mkdir()
    write_deltalake(dataset.root / "rows", pa.table({"k": ["text"], "v": ["theirs"]}))
    with pytest.raises(SchemaConflictError, match="column k is string, needed is long"):
        await run_to_end([row(1)], context(dataset))
    await run_to_end([row(1)], context(dataset, "history", write_mode=WriteMode.APPEND))
    with pytest.raises(SchemaConflictError, match="is a history"):
        await run_to_end([row(1), row(2)], context(dataset, "history", run=2))


async def test_a_folder_around_it_that_is_missing_is_an_error(tmp_path: Path) -> None:
    sink = build_sink(context(LakeDataset(tmp_path), read_url=lambda: "delta:////nowhere/at/all/lake"))
    with pytest.raises(ActionRequiredError, match="/nowhere/at/all does not exist"):
        await sink.claim()
    await sink.close()


async def test_small_files_become_large_ones_and_old_versions_are_removed(tmp_path: Path) -> None:
    """By the clock that the test sets: nothing before an hour; afterwards one file; a week later the small ones are gone."""
    dataset = LakeDataset(tmp_path)
    sink, number = await claimed(context(dataset, write_mode=WriteMode.APPEND))
    for at in range(1, MANY_FILES + 2):
        await sink.write(Transaction(number + at, (row(at),), "list"))
    await sink.close()
    small = files_of(dataset)
    assert len(small) == MANY_FILES + 1, "nothing is done before its time"
    table, now = DeltaTable(dataset.root / "rows"), time.time()
    keeper = Keeper(Upkeep(3600, 0, 128 << 20))
    keeper.keep(table, now + 3500)
    assert len(table.file_uris()) == MANY_FILES + 1
    keeper.keep(table, now + 3700)
    assert len(table.file_uris()) == 1
    assert dataset.read(SMALL, "rows", order="k") == rows_until(MANY_FILES + 1)
    assert set(small) < set(files_of(dataset)), "old versions can still be read"
    for file in small:
        os.utime(file, (now - 200 * 3600,) * 2)
    await run_to_end([row(at) for at in range(1, 14)], context(dataset, run=2, write_mode=WriteMode.APPEND))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(13)


@MODES
async def test_a_runner_keeps_its_tables_in_shape(tmp_path: Path, mode: WriteMode) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&compactEvery=1")
    sink, number = await claimed(context(dataset, write_mode=mode))
    at = 0
    while not any("OPTIMIZE" in str(commit) for commit in actions(dataset.root / "rows")):
        at += 1
        assert at < 2000, "no compaction"
        await sink.write(Transaction(number + at, (row(at),), "list"))
    await sink.write(Transaction(number + at + 1, (row(at + 1),), "list"))
    await sink.close()
    assert len(DeltaTable(dataset.root / "rows").file_uris()) < MANY_FILES
    assert dataset.read(SMALL, "rows", order="k") == rows_until(at + 1)


async def test_an_upkeep_that_fails_is_logged_and_the_rows_are_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&compactEvery=1")

    def fail(*_: Any) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("connector_runner.sinks.delta.upkeep.has_small_files", fail)
    await run_to_end([row(1)], context(dataset))
    assert dataset.read(SMALL, "rows") == rows_until(1)
    assert "upkeep of" in caplog.text
    assert "No space left" in caplog.text
