"""Iceberg tables: kills and stops between each two commits, other writers, expiry, partitions; read by pyiceberg and DuckDB."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table as IcebergTable

from connector_runner.datasets.names import CHECKPOINTS
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import FenceLostError, TransientError
from connector_runner.protocols.sink import Sink, SinkContext, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sinks.iceberg.commits import FENCE
from connector_runner.sinks.iceberg.expiry import EVERY
from connector_runner.sinks.iceberg.ledger_table import LedgerTable
from connector_runner.sinks.iceberg.tables import RECORD, TRANSACTION, Table
from tests.kit.iceberg_dataset import NAMESPACE, IcebergDataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until

UPSERT, DELETE, INSERT, REPLACE = Operation
MODES = pytest.mark.parametrize("mode", list(WriteMode))
APP = "default/test/test"


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number}")))


def rows_until(last: int) -> list[tuple[int, str]]:
    return [(number, f"row {number}") for number in range(1, last + 1)]


async def claimed(sink: SinkContext) -> tuple[Sink, int]:
    made = build_sink(sink)
    claim = await made.claim()
    await made.prepare(SMALL)
    return made, claim.number


@MODES
async def test_rows_are_staged_and_committed_together_when_the_stream_ends(tmp_path: Path, mode: WriteMode) -> None:
    dataset = IcebergDataset(tmp_path, "commitEvery=3600")
    source = ListSource([row(number) for number in range(1, 60)], endless=True)
    run = Run(lambda: source, context(dataset, write_mode=mode)).start()
    await until(lambda: source.read == 59, "everything was read")
    await until(lambda: run.telemetry.health.is_committing, "the proof at the start that commits go through")
    assert dataset.read(SMALL, "rows") == []
    assert await run.stop() is ExitCode.TERMINATED
    assert dataset.read(SMALL, "rows", order="k") == rows_until(59)
    with dataset.table("rows") as table:
        assert len(list(table.scan().plan_files())) == 1, "one file, not one for each transaction"


class _Died(BaseException):
    """Stands for a kill: nothing after it runs."""


def die_at(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, carry_out = LedgerTable.commit, Table.carry_out

    def die(*_: Any) -> None:
        raise _Died

    def commit_and_die(*arguments: Any) -> None:
        commit(*arguments)
        raise _Died

    def carry_out_and_die(*arguments: Any) -> None:
        carry_out(*arguments)
        raise _Died

    owner, replacement = {
        "before the ledger's commit": (LedgerTable, die),
        "after the ledger's commit": (LedgerTable, commit_and_die),
        "before the table's commit": (Table, die),
        "after the table's commit": (Table, carry_out_and_die),
    }[where]
    monkeypatch.setattr(owner, "commit" if owner is LedgerTable else "carry_out", replacement)


@MODES
@pytest.mark.parametrize(
    "where",
    [
        "before the ledger's commit",
        "after the ledger's commit",
        "before the table's commit",
        "after the table's commit",
    ],
)
async def test_a_runner_that_dies_between_two_commits_loses_and_repeats_nothing(
    tmp_path: Path, mode: WriteMode, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = IcebergDataset(tmp_path)
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


def compacted(table: IcebergTable) -> None:
    """As a foreign program does it: all rows in one new file."""
    table.overwrite(table.scan().to_arrow())


def forgotten(table: IcebergTable) -> None:
    """All snapshots but the newest."""
    head = table.current_snapshot()
    assert head is not None
    old = [each.snapshot_id for each in table.snapshots() if each.snapshot_id != head.snapshot_id]
    table.maintenance.expire_snapshots().by_ids(old).commit()


def appended(table: IcebergTable) -> None:
    """A row of somebody else's."""
    row_ = {field.name: None for field in table.schema().fields} | {"k": 1000, "v": "theirs"}
    row_ |= {"_id": 1000, "_op": "upsert", "_connector": "other", "_stream": "x"} if "_id" in row_ else {}
    fields = [field for field in table.schema().as_arrow() if field.name in row_]
    table.append(pa.Table.from_pylist([row_], pa.schema(fields)))


def unfenced(table: IcebergTable) -> None:
    """The setting is taken back that keeps pyiceberg from trying again."""
    with table.transaction() as transaction:
        transaction.set_properties({FENCE: "4"})


FOREIGN = {"a compaction": compacted, "an append": appended, "an expiry": forgotten, "a changed setting": unfenced}


@MODES
@pytest.mark.parametrize("foreign", list(FOREIGN))
@pytest.mark.parametrize(
    "where",
    [
        pytest.param("before the ledger's commit", marks=pytest.mark.fault),
        pytest.param("before the table's commit", marks=pytest.mark.fault),
        "in the table's commit",
    ],
)
async def test_a_runner_that_was_stopped_wakes_up_after_it_was_overtaken_and_others_have_committed(
    tmp_path: Path, mode: WriteMode, where: str, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = IcebergDataset(tmp_path)
    older, number = await claimed(context(dataset, write_mode=mode))
    await older.write(Transaction(number + 1, (row(1),), "list"))
    owner, name = {
        "before the ledger's commit": (LedgerTable, "commit"),
        "before the table's commit": (Table, "carry_out"),
        "in the table's commit": (IcebergTable, "_do_commit"),
    }[where]
    stopped, wakes, original = threading.Event(), threading.Event(), getattr(owner, name)

    def stop_once(self: Any, *arguments: Any, **named: Any) -> Any:
        is_rows = owner is not IcebergTable or self.name()[-1] == "rows"
        if is_rows and not stopped.is_set():
            stopped.set()
            assert wakes.wait(120)
        return original(self, *arguments, **named)

    monkeypatch.setattr(owner, name, stop_once)
    writing = asyncio.create_task(older.write(Transaction(number + 2, (row(2),), "list")))
    assert await asyncio.to_thread(stopped.wait, 120)
    newer = build_sink(context(dataset, run=2, write_mode=mode))
    claim = await newer.claim()
    assert claim.number == number + (1 if "ledger" in where else 2)
    await newer.prepare(SMALL)
    for at in range(claim.number + 1, number + 5):
        await newer.write(Transaction(at, (row(at - number),), "list"))
    with dataset.table("rows") as table:
        FOREIGN[foreign](table)
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
    await newer.write(Transaction(number + 5, (row(5),), "list"))  # others' commits do not disturb
    for sink in (older, newer):
        await sink.close()
    with dataset.table("rows") as table:
        FOREIGN[foreign](table) if foreign != "an append" else None
    await run_to_end([row(at) for at in range(1, 8)], context(dataset, run=3, write_mode=mode))
    theirs = [(1000, "theirs")] if foreign == "an append" else []
    assert dataset.read(SMALL, "rows", order="k") == rows_until(7) + theirs
    with dataset.table("rows") as table:
        assert table.properties[FENCE] == "0" or foreign == "a changed setting"


async def test_the_setting_is_put_back_where_the_ledger_has_lost_it(tmp_path: Path) -> None:
    """Both while a run commits and before the next one claims: nothing waits for a person to do it."""
    dataset = IcebergDataset(tmp_path)
    source = ListSource([row(1)], endless=True)
    run = Run(lambda: source, context(dataset)).start()
    await until(lambda: run.telemetry.totals.rows == 1, "a row")
    for last in (2, 3):
        with dataset.table(CHECKPOINTS) as ledger:
            unfenced(ledger)
        source.add(row(last))
        await until(lambda last=last: run.telemetry.totals.rows == last, "a row behind it")  # type: ignore[misc]
    with dataset.table(CHECKPOINTS) as ledger:
        assert ledger.properties[FENCE] == "0"
        unfenced(ledger)
    assert await run.stop() is ExitCode.TERMINATED
    await run_to_end([row(at) for at in range(1, 5)], context(dataset, run=2))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(4)


async def test_pyiceberg_itself_would_let_the_stopped_one_in(tmp_path: Path) -> None:
    """What the setting is for: without it, a writer with an old state commits on top of the newer one's rows."""
    dataset = IcebergDataset(tmp_path)
    await run_to_end([row(1)], context(dataset))
    for retries, fenced in (("4", False), ("0", True)):
        with dataset.table("rows") as stale, dataset.table("rows") as table:
            with table.transaction() as transaction:
                transaction.set_properties({FENCE: retries})
            stale.refresh()
            table.refresh()
            rows = pa.Table.from_pylist([{"k": 50, "v": "x"}], table.schema().as_arrow())
            table.append(rows)
            if fenced:
                with pytest.raises(CommitFailedException):
                    stale.append(rows)
            else:
                stale.append(rows)
    assert dataset.query("SELECT count(*) FROM rows WHERE k = 50") == [(3,)]


async def test_each_commit_of_a_table_says_who_made_it_and_how_far_it_is(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path)
    await run_to_end([row(1)], context(dataset))
    with dataset.table("rows") as table:
        compacted(table)
        forgotten(table)
    with dataset.table("rows") as table:
        assert table.properties[TRANSACTION + APP] == "1"
        record = table.properties[RECORD + APP]
    assert '"position":"{\\"next\\":1}"' in record
    assert '"connector":"default/test"' in record
    assert '"epoch":1' in record


async def test_a_merge_that_changes_nothing_keeps_the_position_all_the_same(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path)
    sink, number = await claimed(context(dataset))
    await sink.write(Transaction(number + 1, (row(1),), "list"))
    nothing = batch(SMALL, 2, (INSERT, (1, "another")), (DELETE, (77, None)))
    await sink.write(Transaction(number + 2, (nothing,), "list"))
    await sink.close()
    inspector = build_inspector(context(dataset))
    assert inspector.checkpoints()[0].position == {"next": 2}
    inspector.close()
    with dataset.table("rows") as table:
        assert table.properties[TRANSACTION + APP] == "2"
    assert dataset.read(SMALL, "rows") == rows_until(1)


async def test_an_upsert_is_one_snapshot(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path)
    sink, number = await claimed(context(dataset))
    await sink.write(Transaction(number + 1, (row(1), row(2)), "list"))
    changes = batch(SMALL, 2, (UPSERT, (1, "new")), (DELETE, (2, None)), (INSERT, (3, "third")))
    await sink.write(Transaction(number + 2, (changes,), "list"))
    await sink.close()
    with dataset.table("rows") as table:
        assert len(table.snapshots()) == 2
    assert dataset.read(SMALL, "rows") == [(1, "new"), (3, "third")]


@MODES
async def test_old_snapshots_are_forgotten_and_their_files_removed(tmp_path: Path, mode: WriteMode) -> None:
    dataset = IcebergDataset(tmp_path, "commitEvery=0&keepSnapshots=3")
    sink, number = await claimed(context(dataset, write_mode=mode))
    for at in range(1, EVERY + 1):
        changed = batch(SMALL, at, (UPSERT, (1, f"change {at}")))
        await sink.write(Transaction(number + at, (changed,), "list"))
    with dataset.table("rows") as table:
        assert len(table.snapshots()) == 3
        lists = list((dataset.root / NAMESPACE / "rows" / "metadata").glob("snap-*.avro"))
        assert len(lists) == 3, "the lists of the others are gone"
        files = list((dataset.root / NAMESPACE / "rows" / "data").glob("*.parquet"))
        assert len(files) == (EVERY if mode is WriteMode.APPEND else 3), "and the files that only they had"
        for snapshot in table.snapshots():
            assert table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows >= 1
    await sink.close()
