"""Delta tables: commits by size, and what killed runners leave behind."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connector_runner.datasets.columnar import stage
from connector_runner.datasets.columnar.staging_folder import StagingFolder, own_prefix
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Sink, Staging, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import STRING
from connector_runner.registry import build_sink
from connector_runner.sinks.delta.ledger_table import LedgerTable
from connector_runner.sinks.delta.tables import STAGED, STAGED_SECONDS, Table
from connector_runner.sinks.delta.upkeep import Keeper
from tests.kit.lake_dataset import LakeDataset, actions, replay
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
    own = own_prefix("default/test/test")
    ages = {
        f"{own}old.parquet": STAGED_SECONDS + 60,
        f"{own}young.parquet": STAGED_SECONDS - 600,
        f"{own_prefix('default/other/test')}.parquet": 10**7,
        "theirs.parquet": 10**7,
    }
    for name, age in ages.items():
        (staged / name).write_bytes(b"")
        os.utime(staged / name, (time.time() - age,) * 2)
    await run_to_end([noise(1, 1, 10), noise(2, 1, 10)], context(dataset, run=2))
    left = {path.name for path in staged.iterdir()}
    assert ages.keys() - left == {f"{own}old.parquet"}


def stream(number: int) -> StreamSchema:
    return dataclasses.replace(SMALL, stream=f"s{number}")


async def staged(dataset: LakeDataset, mode: WriteMode, streams: int) -> Sink:
    """Has a hundred kilobytes of text of each stream staged, and nothing committed."""
    tables = {f"s{number}": f"rows_{number}" for number in range(streams)}
    sink = build_sink(context(dataset, tables=tables, write_mode=mode))
    number = (await sink.claim()).number
    for each in range(streams):
        await sink.prepare(stream(each))
    assert isinstance(sink, Staging)
    for each in range(streams):
        rows = dataclasses.replace(noise(1, 100, 500), schema=stream(each))
        await sink.write(Transaction(number + each + 1, (rows,), "list"))
    return sink


@MODES
async def test_what_many_streams_have_in_memory_is_committed_when_it_is_enough_together(
    tmp_path: Path, mode: WriteMode
) -> None:
    """None of their tables has a tenth of the size at which it is committed for its own sake."""
    for streams, is_enough in ((4, False), (12, True)):
        (folder := tmp_path / str(streams)).mkdir()
        sink = await staged(LakeDataset(folder, "commitEvery=3600&targetMiB=1"), mode, streams)
        assert isinstance(sink, Staging)
        assert (sink.due_in() == 0) is is_enough
        await sink.close()


async def test_rows_of_many_streams_go_to_their_files_when_they_take_too_much_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "WAITING_BYTES", 500_000)
    dataset = LakeDataset(tmp_path, "commitEvery=3600&targetMiB=1")
    sink = await staged(dataset, WriteMode.APPEND, 12)
    assert isinstance(sink, Staging)
    assert sink.due_in() != 0, "what is in the files is not in memory"
    assert len(list(dataset.root.glob(f"*/{STAGED}/*.parquet"))) >= 7
    await sink.flush()
    await sink.close()
    for each in range(12):
        assert dataset.query(f"SELECT count(*) FROM rows_{each}") == [(100,)]


async def test_a_staged_file_and_its_name_are_on_the_disk_before_the_ledger_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync, commit = list[tuple[str, int]](), os.fsync, LedgerTable.commit

    def watched(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.name, len(list(path.iterdir())) if path.is_dir() else path.stat().st_size))
        fsync(descriptor)

    def noted(*arguments: Any) -> bool:
        synced.append(("ledger", 0))
        return commit(*arguments)

    dataset = LakeDataset(tmp_path)
    await run_to_end([noise(1, 1, 10)], context(dataset, write_mode=WriteMode.APPEND))
    monkeypatch.setattr(os, "fsync", watched)
    monkeypatch.setattr(LedgerTable, "commit", noted)
    await run_to_end([noise(1, 1, 10), noise(2, 1, 10)], context(dataset, run=2, write_mode=WriteMode.APPEND))
    file = next(name for (name, _), (after, _) in pairwise(synced) if after == STAGED)
    assert file.startswith("connector-"), "the file, then its name"
    size = next(size for name, size in synced if name == file)
    assert size == (dataset.root / "rows" / file).stat().st_size, "it was whole"
    assert ("ledger", 0) in synced[synced.index((STAGED, 1)) :], "the ledger comes after both"


async def test_a_commit_that_can_not_be_staged_for_one_table_leaves_nothing_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each try leaves files in all tables but one, until the disk is full."""
    dataset = LakeDataset(tmp_path, "commitEvery=3600")
    sink = await staged(dataset, WriteMode.UPSERT, 3)
    assert isinstance(sink, Staging)
    create = StagingFolder.create

    def full(folder: StagingFolder, name: str) -> Any:
        if "rows_2" in folder.path(name):
            raise OSError(errno.ENOSPC, "No space left on device")
        return create(folder, name)

    with monkeypatch.context() as patched:
        patched.setattr(StagingFolder, "create", full)
        for _ in range(3):
            with pytest.raises(TransientError, match="No space left"):
                await sink.flush()
            await sink.recover()
    assert not list(dataset.root.glob(f"*/{STAGED}/*"))
    await sink.flush()
    await sink.close()
    assert dataset.query("SELECT count(*) FROM rows_2") == [(100,)]


@MODES
async def test_letters_of_a_transaction_that_is_tried_again_are_there_once(
    tmp_path: Path, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is gone for a moment between those of one table and those of the next, and other rows are staged."""
    dataset, tried = LakeDataset(tmp_path, "commitEvery=3600"), list[str]()
    sink = await staged(dataset, mode, 2)
    refused = tuple(
        dataclasses.replace(batch(SMALL, 2, (UPSERT, (2**63, "x"))), schema=stream(each)) for each in range(2)
    )
    original = Table.take_numbers

    def cut(table: Table, column: str, count: int) -> int:
        if table.name.endswith("dead_letters"):
            tried.append(table.name)
            if len(tried) == 2:
                raise OSError("cut")
        return original(table, column, count)

    monkeypatch.setattr(Table, "take_numbers", cut)
    with pytest.raises(TransientError, match="cut"):
        await sink.write(Transaction(3, refused, "list"))
    await sink.write(Transaction(await sink.recover() + 1, refused, "list"))
    assert isinstance(sink, Staging)
    await sink.flush()
    await sink.close()
    for each in range(2):
        assert dataset.query(f"SELECT count(*) FROM rows_{each}_dead_letters") == [(1,)]
        assert dataset.query(f"SELECT count(*) FROM rows_{each}") == [(100,)]


@MODES
async def test_each_commit_is_on_the_disk_before_the_next_one_depends_on_it(
    tmp_path: Path, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the ledger before the table's, of the table before the ledger's next; deltalake leaves that to the system."""
    dataset = LakeDataset(tmp_path, "commitEvery=0&compactEvery=1")
    safe, fsync = set[Path](), os.fsync
    commit, carry_out, keep = LedgerTable.commit, Table.carry_out, Keeper.keep

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        safe.update(path.iterdir() if path.is_dir() else [path])

    def unsafe(name: str) -> list[str]:
        """Files of a table's newest state, and of its log, that a power cut may take."""
        table = dataset.root / name
        needed = {*(table / "_delta_log").iterdir(), *(table / path for path in replay(table).files)}
        return sorted(str(path.relative_to(table)) for path in needed - safe)

    def commit_safely(*arguments: Any) -> bool:
        assert unsafe("_connector_checkpoints") == []
        assert not (dataset.root / "rows").exists() or unsafe("rows") == []
        return commit(*arguments)

    def carry_out_safely(*arguments: Any) -> None:
        assert unsafe("_connector_checkpoints") == []
        carry_out(*arguments)

    monkeypatch.setattr(os, "fsync", watched)
    monkeypatch.setattr(LedgerTable, "commit", commit_safely)
    monkeypatch.setattr(Table, "carry_out", carry_out_safely)
    # For it, small files are old.
    monkeypatch.setattr(Keeper, "keep", lambda keeper, table, now: keep(keeper, table, now + 3600))
    wider = dataclasses.replace(SMALL, columns=(*SMALL.columns, Column("w", STRING)))
    sink = build_sink(context(dataset, write_mode=mode))
    number = (await sink.claim()).number
    await sink.prepare(SMALL)
    for at in range(1, 13):
        await sink.write(Transaction(number + at, (noise(at, 3, 10),), "list"))
    await sink.prepare(wider)
    more = batch(wider, 13, (UPSERT, (1, "x", "y")))
    await sink.write(Transaction(number + 13, (more,), "list"))
    await sink.close()
    assert unsafe("rows") == []
    assert any(
        "add" in each and each["add"]["dataChange"] is False for log in actions(dataset.root / "rows") for each in log
    )
