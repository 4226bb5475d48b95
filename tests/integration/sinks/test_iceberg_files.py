"""The files of Iceberg tables: folders of any name, what may be removed, what others do meanwhile, and power cuts."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table import Table as IcebergTable

from connector_runner.datasets.columnar.intents import Intent, encode_intents
from connector_runner.datasets.columnar.staging_folder import own_prefix
from connector_runner.datasets.names import CHECKPOINTS
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import StagedFileGoneError, TransientError
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink
from connector_runner.sinks.iceberg.errors import explained
from connector_runner.sinks.iceberg.expiry import EVERY, expire
from connector_runner.sinks.iceberg.ledger_table import PENDING
from connector_runner.sinks.iceberg.placing import STAGED
from connector_runner.sinks.iceberg.tables import STAGED_SECONDS, Table
from tests.kit.iceberg_dataset import NAMESPACE, IcebergDataset
from tests.kit.pipeline import SMALL, batch, context, run_to_end

UPSERT = Operation.UPSERT


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number}")))


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


@pytest.mark.parametrize("mode", list(WriteMode))
@pytest.mark.parametrize("name", ["mein Lager ä", "a=b+c", "50%20 off"])
async def test_the_folder_may_have_any_name(tmp_path: Path, mode: WriteMode, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    dataset = IcebergDataset(folder)
    sink: dict[str, Any] = {"read_url": lambda: "iceberg+sqlite:///lake?commitEvery=0", "write_mode": mode}
    await run_to_end([row(1)], context(dataset, **sink))
    await run_to_end([row(1), batch(SMALL, 2, (UPSERT, (1, "new")))], context(dataset, run=2, **sink))
    found = dataset.read(SMALL, "rows", order="v")  # by pyiceberg's own file system
    assert found == ([(1, "new"), (1, "row 1")] if mode is WriteMode.APPEND else [(1, "new")])
    assert names_in(tmp_path) == [name]


async def test_files_that_others_have_written_into_partitions_of_any_name_are_found(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path, "commitEvery=0&partitionBy=v")
    await run_to_end([row(1)], context(dataset))
    with dataset.table("rows") as table:
        table.append(pa.Table.from_pylist([{"k": 7, "v": "a b/ä%20"}], table.schema().as_arrow()))
    await run_to_end([row(1), batch(SMALL, 2, (UPSERT, (7, "new")))], context(dataset, run=2))
    assert dataset.read(SMALL, "rows") == [(1, "row 1"), (7, "new")]


async def lake_with_snapshots(tmp_path: Path) -> IcebergDataset:
    dataset = IcebergDataset(tmp_path)
    sink = build_sink(context(dataset))
    claim = await sink.claim()
    await sink.prepare(SMALL)
    for at in range(1, 5):
        await sink.write(Transaction(claim.number + at, (row(at),), "list"))
    await sink.close()
    return dataset


def first_snapshot(table: IcebergTable) -> int:
    return min(table.snapshots(), key=lambda each: each.sequence_number or 0).snapshot_id


@pytest.mark.parametrize("kind", ["tag", "branch"])
async def test_a_snapshot_that_somebody_names_meanwhile_is_not_forgotten(tmp_path: Path, kind: str) -> None:
    dataset = await lake_with_snapshots(tmp_path)
    with dataset.table("rows") as stale, dataset.table("rows") as table:
        first = first_snapshot(table)
        with table.manage_snapshots() as manage:
            (manage.create_tag if kind == "tag" else manage.create_branch)(first, "kept")
        expire(stale, 1, EVERY)
        table.refresh()
        assert table.metadata.refs["kept"].snapshot_id == first
        assert table.scan(snapshot_id=first).to_arrow().num_rows == 1
        expire(table, 1, EVERY)
        table.refresh()
        assert len(table.snapshots()) == 2, "next time: all but the head and what is named"


async def test_two_that_forget_the_same_snapshots_do_not_disturb_each_other(tmp_path: Path) -> None:
    dataset = await lake_with_snapshots(tmp_path)
    with dataset.table("rows") as slow, dataset.table("rows") as fast, dataset.table("rows") as third:
        with third.transaction() as transaction:  # forgets, and removes no files, as pyiceberg does
            transaction.set_properties({"x": "y"})
        third.maintenance.expire_snapshots().by_id(first_snapshot(third)).commit()
        expire(slow, 1, EVERY)
        fast.refresh()
        expire(fast, 1, EVERY)
        expire(slow, 1, EVERY)  # its files are gone
        third.refresh()
        assert len(third.snapshots()) == 1
    assert len(dataset.read(SMALL, "rows")) == 4


async def test_old_staged_files_stay_that_a_connector_has_decided_to_commit(tmp_path: Path) -> None:
    dataset = await lake_with_snapshots(tmp_path)
    staged = dataset.root / NAMESPACE / "rows" / STAGED
    names = [f"{own_prefix('default/test/test')}{name}.parquet" for name in ("decided", "changes", "left")]
    for name in names:
        (staged / name).write_bytes(b"")
        os.utime(staged / name, (time.time() - STAGED_SECONDS - 60,) * 2)
    intent = Intent("rows", "default/other/test", 1, "", files=(names[0],), changes=names[1])
    with dataset.table(CHECKPOINTS) as ledger, ledger.transaction() as transaction:
        other = encode_intents([intent]).replace('"', '\\"')
        transaction.set_properties({PENDING: f'{{"default/other": "{other}"}}'})
    await run_to_end([row(number) for number in range(1, 6)], context(dataset, run=2))
    assert {name for name in names if (staged / name).exists()} == set(names[:2])


async def test_names_of_files_are_on_the_disk_before_the_catalogue_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = list[tuple[str, set[str]]](), os.fsync

    def watched(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            synced.append((path.name, {each.name for each in path.iterdir()}))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    dataset = await lake_with_snapshots(tmp_path)
    folder = dataset.root / NAMESPACE / "rows"
    for name, pattern in (("data", "*.parquet"), ("metadata", "*")):
        there = {each.name for each in (folder / name).glob(pattern)}
        assert there
        assert there <= set().union(*(names for each, names in synced if each == name)), name


@pytest.mark.parametrize("error", [CommitFailedException("x"), ValidationException("x")])
def test_a_commit_that_others_have_overtaken_is_tried_again(error: Exception) -> None:
    def commit() -> Any:
        raise error

    with pytest.raises(TransientError, match="somebody else has committed"), explained("the lake"):
        commit()


@pytest.mark.parametrize("mode", list(WriteMode))
async def test_a_staged_file_that_is_gone_has_its_sentence(
    tmp_path: Path, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = IcebergDataset(tmp_path)
    await run_to_end([row(1)], context(dataset, write_mode=mode))
    folder = dataset.root / NAMESPACE / "rows" / STAGED
    before = set(folder.iterdir())
    sink = build_sink(context(dataset, run=2, write_mode=mode))
    number = (await sink.claim()).number
    await sink.prepare(SMALL)

    def cut(*_: Any) -> None:
        raise OSError("cut")

    with monkeypatch.context() as patched:
        patched.setattr(Table, "carry_out", cut)
        with pytest.raises(TransientError, match="cut"):
            await sink.write(Transaction(number + 1, (row(2),), "list"))
    await sink.close()
    (staged,) = set(folder.iterdir()) - before
    content = staged.read_bytes()
    staged.unlink()
    heir = build_sink(context(dataset, run=3, write_mode=mode))
    with pytest.raises(StagedFileGoneError, match="put it back, or start over") as caught:
        await heir.claim()
    await heir.close()
    assert str(staged) in caught.value.message
    staged.write_bytes(content)
    await run_to_end([row(at) for at in range(1, 4)], context(dataset, run=4, write_mode=mode))
    assert dataset.read(SMALL, "rows", order="k") == [(at, f"row {at}") for at in range(1, 4)]
