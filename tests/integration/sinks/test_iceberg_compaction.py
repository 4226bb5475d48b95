"""Iceberg tables whose small files become large ones between the commits; readers are pyiceberg and DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Operation as Operations
from pyiceberg.table.update import AddSnapshotUpdate
from pyiceberg.types import LongType

from connector_runner.datasets.columnar.small_files import MANY_FILES
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.sink import Sink, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector, build_sink
from connector_runner.sinks.iceberg import compaction
from connector_runner.sinks.iceberg.commits import OneCommit
from connector_runner.sinks.iceberg.compaction import Compaction, choose_files, rewrite
from tests.kit.iceberg_dataset import IcebergDataset, RestIcebergDataset, S3IcebergDataset
from tests.kit.pipeline import SMALL, batch, context, run_to_end

UPSERT = Operation.UPSERT
MODES = pytest.mark.parametrize("mode", list(WriteMode))
LATER = 10.0**10


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number % 2}")))


def rows_until(last: int) -> list[tuple[int, str]]:
    return [(number, f"row {number % 2}") for number in range(1, last + 1)]


@pytest.fixture(autouse=True)
def _always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commit looks, and all files are old."""
    looks = Compaction.compact

    def look(self: Compaction, table: IcebergTable, now: float) -> None:
        del now
        self._looked = None
        looks(self, table, LATER)

    monkeypatch.setattr(Compaction, "compact", look)


PLACES = ["a file", *(pytest.param(name, marks=pytest.mark.fault) for name in ("a REST catalogue", "S3"))]


@pytest.fixture(params=PLACES)
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], IcebergDataset]:
    """Makes a dataset with these options of the URL."""
    given = request.getfixturevalue
    makes: dict[str, Callable[[str], IcebergDataset]] = {
        "a file": lambda options: IcebergDataset(tmp_path, options),
        "a REST catalogue": lambda options: RestIcebergDataset(given("iceberg_server"), tmp_path, options),
        "S3": lambda options: S3IcebergDataset(given("iceberg_s3_server"), tmp_path, options),
    }
    return makes[request.param]


async def claimed(dataset: IcebergDataset, mode: WriteMode, run: int = 1) -> tuple[Sink, int]:
    sink = build_sink(context(dataset, run=run, write_mode=mode))
    number = (await sink.claim()).number
    await sink.prepare(SMALL)
    return sink, number


async def committed(dataset: IcebergDataset, mode: WriteMode, first: int, end: int, run: int = 1) -> None:
    """A run that commits each of these rows by itself."""
    sink, number = await claimed(dataset, mode, run)
    for place, at in enumerate(range(first, end), 1):
        await sink.write(Transaction(number + place, (row(at),), "list"))
    await sink.close()


def files_of(dataset: IcebergDataset) -> list[tuple[Any, int]]:
    """Partition and number of rows of each file."""
    with dataset.table("rows") as table:
        return [(task.file.partition, task.file.record_count) for task in table.scan().plan_files()]


@MODES
@pytest.mark.parametrize("partitions", ["", "&partitionBy=v"])
async def test_small_files_become_one_in_each_partition(
    build: Callable[[str], IcebergDataset], mode: WriteMode, partitions: str
) -> None:
    dataset = build(f"commitEvery=0{partitions}")
    last = 2 * MANY_FILES + 1
    await committed(dataset, mode, 1, last + 1)
    assert dataset.read(SMALL, "rows", order="k") == rows_until(last)
    found = files_of(dataset)
    assert len(found) < MANY_FILES
    assert max(rows for _, rows in found) >= MANY_FILES
    with dataset.table("rows") as table:
        operations = [each.summary.operation.value for each in table.snapshots() if each.summary is not None]
    assert "replace" in operations, "those who follow the changes must pass it over"
    await committed(dataset, mode, last + 1, last + 3, run=2)  # the next run goes on
    assert dataset.read(SMALL, "rows", order="k") == rows_until(last + 2)
    inspector = build_inspector(context(dataset, write_mode=mode))
    newest = [values[:1] for values in inspector.newest_rows(2)[1]]
    inspector.close()
    if mode is WriteMode.APPEND:
        assert len(newest) == 2


@MODES
async def test_what_others_append_meanwhile_stays_and_the_compaction_is_given_up(
    tmp_path: Path, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = IcebergDataset(tmp_path, "commitEvery=0")
    commits, theirs = OneCommit.commit_transaction, list[int]()

    def append_first(self: OneCommit) -> IcebergTable:
        """Somebody appends in the very moment before a compaction commits."""
        added = [each.snapshot.summary for each in self._updates if isinstance(each, AddSnapshotUpdate)]
        if any(each is not None and each.operation is Operations.REPLACE for each in added):
            with dataset.table("rows") as table:
                theirs.append(1000 + len(theirs))
                given = {field.name: None for field in table.schema().fields} | {"k": theirs[-1], "v": "row 1"}
                if mode is WriteMode.APPEND:
                    given |= {"_id": theirs[-1], "_op": "upsert", "_position": "", "_connector": "they", "_stream": "s"}
                    given["_written_at"] = "2026-01-01T00:00:00+00:00"
                fields = list(table.schema().as_arrow())
                arrays = [_array(given[field.name], field.type) for field in fields]
                table.append(pa.Table.from_arrays(arrays, schema=pa.schema(fields)))
            with pytest.raises(CommitFailedException):
                commits(self)
            raise CommitFailedException("as it was")
        return commits(self)

    monkeypatch.setattr(OneCommit, "commit_transaction", append_first)
    last = MANY_FILES + 3
    await committed(dataset, mode, 1, last + 1)
    assert len(theirs) >= 2
    assert dataset.read(SMALL, "rows", order="k") == [*rows_until(last), *((number, "row 1") for number in theirs)]
    monkeypatch.setattr(OneCommit, "commit_transaction", commits)
    await committed(dataset, mode, last + 1, last + 2, run=2)
    assert len(files_of(dataset)) < MANY_FILES
    assert dataset.read(SMALL, "rows", order="k") == [*rows_until(last + 1), *((number, "row 1") for number in theirs)]


def _array(value: Any, type_: pa.DataType) -> pa.Array:
    return pa.array([value]).cast(type_) if value is not None else pa.nulls(1, type_)


@MODES
async def test_who_was_overtaken_compacts_nothing_of_its_successor(tmp_path: Path, mode: WriteMode) -> None:
    """What it has read is no longer there when it commits, so nothing changes; what it has written is removed."""
    dataset = IcebergDataset(tmp_path, "commitEvery=0&compactEvery=0")
    await committed(dataset, mode, 1, MANY_FILES + 2)
    with dataset.table("rows") as zombie:
        (tasks,) = choose_files(zombie, 1, 1 << 20, LATER)
        await committed(dataset, mode, MANY_FILES + 2, MANY_FILES + 5, run=2)
        before = {path.name for path in (dataset.root / "default" / "rows" / "data").iterdir()}
        with pytest.raises(CommitFailedException):
            rewrite(zombie, tasks)
    assert {path.name for path in (dataset.root / "default" / "rows" / "data").iterdir()} == before
    assert dataset.read(SMALL, "rows", order="k") == rows_until(MANY_FILES + 4)


async def test_a_compaction_that_fails_is_logged_and_the_rows_are_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compaction, "choose_files", fail)
    dataset = IcebergDataset(tmp_path)
    await run_to_end([row(1)], context(dataset))
    assert dataset.read(SMALL, "rows") == rows_until(1)
    assert "compaction of" in caplog.text
    assert "No space left" in caplog.text


@MODES
async def test_files_that_have_not_all_columns_become_one_with_them(tmp_path: Path, mode: WriteMode) -> None:
    dataset = IcebergDataset(tmp_path, "commitEvery=0&compactEvery=0")
    await committed(dataset, mode, 1, MANY_FILES)
    with dataset.table("rows") as table:
        table.update_schema().add_column("theirs", LongType()).commit()
    await committed(dataset, mode, MANY_FILES, MANY_FILES + 2, run=2)
    with dataset.table("rows") as table:
        (tasks,) = choose_files(table, 1, 1 << 20, LATER)
        rewrite(table, tasks)
    ((_, rows),) = files_of(dataset)
    assert rows == MANY_FILES + 1
    assert dataset.read(SMALL, "rows", ["theirs"], order="k") == [(*each, None) for each in rows_until(MANY_FILES + 1)]


async def test_old_files_leave_with_the_snapshots_that_have_them(tmp_path: Path) -> None:
    dataset = IcebergDataset(tmp_path, "commitEvery=0&keepSnapshots=2")
    sink, number = await claimed(dataset, WriteMode.APPEND)
    for at in range(1, 61):
        await sink.write(Transaction(number + at, (row(at),), "list"))
    await sink.close()
    assert dataset.read(SMALL, "rows", order="k") == rows_until(60)
    with dataset.table("rows") as table:
        snapshots = table.snapshots()
        kept = {
            entry.data_file.file_path.rpartition("/")[2]
            for each in snapshots
            for manifest in each.manifests(table.io)
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        }
    assert len(snapshots) < 30
    assert {path.name for path in (dataset.root / "default" / "rows" / "data").iterdir()} == kept
