"""Delta tables with partitions: where rows lie, rows that move, merges that read only what they must; read by DuckDB and deltalake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from connector_runner.datasets.columnar.small_files import MANY_FILES
from connector_runner.datasets.columnar.stage import Stage
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import INT64, STRING, TIMESTAMPTZ, Kind, LogicalType
from connector_runner.registry import build_examiner, build_inspector
from connector_runner.sinks.delta.tables import STAGED
from tests.kit.lake_dataset import LakeDataset, actions, replay
from tests.kit.pipeline import batch, context, run_to_end

UPSERT, DELETE, INSERT, REPLACE = Operation
MODES = pytest.mark.parametrize("mode", list(WriteMode))
COLUMNS = (Column("k", INT64, nullable=False), Column("at", TIMESTAMPTZ, nullable=False), Column("kind", STRING))
BY_K, BY_TIME = StreamSchema("test", COLUMNS, ("k",)), StreamSchema("test", COLUMNS, ("at", "k"))
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def at(days: float) -> dt.datetime:
    return NOON + dt.timedelta(days=days)


def partitions(dataset: LakeDataset) -> list[tuple[str | None, ...]]:
    """The partition of each file."""
    state = replay(dataset.root / "rows")
    return sorted((tuple(values[name] for name in state.partitions) for values in state.files.values()), key=repr)


def merges(dataset: LakeDataset) -> list[dict[str, Any]]:
    """What each merge read and wrote, as its commit says."""
    found = [action.get("commitInfo", {}) for commit in actions(dataset.root / "rows") for action in commit]
    return [each["operationMetrics"] for each in found if each.get("operation") == "MERGE"]


async def commit_each(dataset: LakeDataset, batches: Sequence[Batch], **changes: Any) -> None:
    """One commit for each batch: one run would fold them into one."""
    for run in range(1, len(batches) + 1):
        await run_to_end(batches[:run], context(dataset, run=run, **changes))


def rows_of(dataset: LakeDataset, extra: str = "") -> list[tuple[Any, ...]]:
    return dataset.query(f'SELECT k, "at", kind{extra} FROM rows ORDER BY k, "at"')


@MODES
@pytest.mark.parametrize("paced", ["commitEvery=0", "commitEvery=3600"])
async def test_rows_lie_in_the_partition_of_their_values(tmp_path: Path, mode: WriteMode, paced: str) -> None:
    dataset = LakeDataset(tmp_path, f"{paced}&partitionBy=days(at),kind")
    kinds = ["a/b", "ü x%", "..", "a=b&c", "q'\"\\", "nul\0x", None, " lead", "__HIVE_DEFAULT_PARTITION__"]
    rows = [(number, at(number % 3), kinds[number % len(kinds)]) for number in range(40)]
    batches = [
        batch(BY_K, 1, *[(UPSERT, row) for row in rows[:35]]),
        batch(BY_K, 2, *[(UPSERT, row) for row in rows[35:]]),
    ]
    sink = context(dataset, write_mode=mode)
    await run_to_end(batches, sink)
    days = [f"2026-01-{number + 1:02}" for number in range(3)]
    assert set(partitions(dataset)) == {(days[row[1].day - 1], row[2]) for row in rows}
    if paced != "commitEvery=0" and mode is WriteMode.APPEND:
        assert len(partitions(dataset)) == len(set(partitions(dataset))), "one file each, not one for each transaction"
    assert rows_of(dataset, ", at_day") == [(*row, row[1].date()) for row in rows]
    read = DeltaTable(dataset.root / "rows").to_pyarrow_table(filters=[("at_day", "=", dt.date(2026, 1, 2))])
    assert sorted(read["k"].to_pylist()) == [row[0] for row in rows if row[1].day == 2]
    assert list((dataset.root / "rows" / STAGED).glob("*")) == [] or mode is WriteMode.UPSERT
    names, newest = build_inspector(sink).newest_rows(100)
    assert {tuple(row[names.index(name)] for name in ("k", "kind")) for row in newest} == {
        (row[0], row[2]) for row in rows
    }
    await run_to_end([*batches, batch(BY_K, 3, (UPSERT, (99, at(0), "new")))], context(dataset, run=2, write_mode=mode))
    assert rows_of(dataset) == [*rows, (99, at(0), "new")]


async def test_a_row_whose_partition_changes_moves_and_is_there_once(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&partitionBy=days(at),kind")
    batches = [
        batch(BY_K, 1, *[(UPSERT, (number, at(0), "a")) for number in range(6)]),
        batch(BY_K, 2, (UPSERT, (0, at(1), "a")), (UPSERT, (1, at(0), "b")), (DELETE, (2, None, None))),
        batch(BY_K, 3, (UPSERT, (0, at(2), None)), (UPSERT, (3, at(3), "c")), (UPSERT, (3, at(0), "a")), (INSERT, (4, at(9), "z"))),
        batch(BY_K, 4, (UPSERT, (0, at(0), "a"))),
    ]  # fmt: skip
    await commit_each(dataset, batches)
    assert rows_of(dataset, ", at_day") == [
        (number, at(0), kind, NOON.date()) for number, kind in ((0, "a"), (1, "b"), (3, "a"), (4, "a"), (5, "a"))
    ]
    assert set(partitions(dataset)) == {("2026-01-01", "a"), ("2026-01-01", "b")}


async def test_a_merge_reads_only_the_partitions_that_the_keys_name(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&partitionBy=days(at)")
    rows = [(number, at(day), "old") for day in range(8) for number in range(3)]
    batches = [batch(BY_TIME, day + 1, *[(UPSERT, row) for row in rows if row[1] == at(day)]) for day in range(8)]
    await run_to_end(batches, context(dataset))
    batches.append(
        batch(BY_TIME, 9, (UPSERT, (0, at(5), "new")), (UPSERT, (7, at(5), "new")), (DELETE, (1, at(5), None)))
    )
    await run_to_end(batches, context(dataset, run=2))
    last = merges(dataset)[-1]
    assert (last["num_target_files_scanned"], last["num_target_files_skipped_during_scan"]) == (1, 7)
    changed = {(0, at(5)): "new", (7, at(5)): "new"}
    wanted = {(row[0], row[1]): row[2] for row in rows if row[:2] != (1, at(5))} | changed
    assert rows_of(dataset) == sorted((*key, kind) for key, kind in wanted.items())


async def test_a_merge_reads_only_files_with_whole_numbers_of_its_range(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path)
    batches = [batch(BY_K, n + 1, *[(UPSERT, (10 * n + m, at(0), "old")) for m in range(3)]) for n in range(4)]
    batches.append(
        batch(BY_K, 9, (UPSERT, (11, at(0), "new")), (UPSERT, (21, at(0), "new")), (DELETE, (12, None, None)))
    )
    await commit_each(dataset, batches)
    last = merges(dataset)[-1]
    assert (last["num_target_files_scanned"], last["num_target_files_skipped_during_scan"]) == (2, 2)
    wanted = [(10 * n + m, at(0), "new" if 10 * n + m in {11, 21} else "old") for n in range(4) for m in range(3)]
    assert rows_of(dataset) == [row for row in wanted if row[0] != 12]


async def test_keys_whose_ranges_a_log_rounds_are_found_again(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path)
    columns = (
        Column("name", STRING),
        Column("at", TIMESTAMPTZ),
        Column("n", LogicalType(Kind.UINT64)),
        Column("v", INT64),
    )
    keys = [
        ("x" * 200 + "y", NOON + dt.timedelta(microseconds=999_999), 2**64 - 1),
        ("ü" * 90, NOON + dt.timedelta(microseconds=1), 2**53 + 1),
    ]
    for key in (["name"], ["at"], ["n"], ["at", "n", "name"]):
        schema = StreamSchema("test", columns, tuple(key))
        table = "_".join(("t", *key))
        for run in (1, 2, 3):
            rows = [(*each, run) for each in keys]
            batches = [batch(schema, each, *[(UPSERT, row) for row in rows]) for each in range(1, run + 1)]
            await run_to_end(batches, context(dataset, table, connector=f"default/{table}", run=run))
        assert dataset.query(f"SELECT count(*), min(v), max(v) FROM {table}") == [(2, 3, 3)]


@MODES
async def test_replacements_reach_every_partition(tmp_path: Path, mode: WriteMode) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&partitionBy=kind")
    schema = StreamSchema("test", COLUMNS, ("at", "k"))
    rows = [(number, at(number % 2), "abc"[number % 3]) for number in range(12)]
    batches = [
        batch(schema, 1, *[(UPSERT, row) for row in rows]),
        batch(schema, 2, (REPLACE, (at(0),)), (UPSERT, (100, at(0), "d"))),
    ]
    await commit_each(dataset, batches, write_mode=mode)
    left = sorted([*(row for row in rows if row[1] == at(1)), (100, at(0), "d")])
    if mode is WriteMode.UPSERT:
        assert rows_of(dataset) == left
        return
    live = dataset.query("SELECT k FROM rows GROUP BY k HAVING arg_max(_op, _id) <> 'delete' ORDER BY k")
    assert [k for (k,) in live] == [row[0] for row in left]


@MODES
async def test_texts_that_can_not_be_a_partition_are_dead_letters(tmp_path: Path, mode: WriteMode) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&partitionBy=kind")
    bad = batch(BY_K, 1, (UPSERT, (1, at(0), "a")), (UPSERT, (2, at(0), "")), (UPSERT, (3, at(0), "x" * 400)))
    await run_to_end([bad, batch(BY_K, 2, (UPSERT, (4, at(0), None)))], context(dataset, write_mode=mode))
    assert rows_of(dataset) == [(1, at(0), "a"), (4, at(0), None)]
    errors = [error for (error,) in dataset.query("SELECT reason FROM rows_dead_letters ORDER BY id")]
    assert ["null" in errors[0], "too long" in errors[1]] == [True, True], errors


@MODES
async def test_a_history_may_be_partitioned_by_its_own_columns(tmp_path: Path, mode: WriteMode) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&partitionBy=days(_written_at),_op")
    rows = batch(BY_K, 1, (UPSERT, (1, at(0), "a")), (DELETE, (2, None, None)))
    if mode is WriteMode.UPSERT:
        with pytest.raises(ActionRequiredError, match="names the column _written_at, which the stream has not"):
            await run_to_end([rows], context(dataset))
        return
    await run_to_end([rows], context(dataset, write_mode=mode))
    assert {kind for _, kind in partitions(dataset)} == {"upsert", "delete"}
    assert dataset.query("SELECT k, _op, CAST(_written_at AS DATE) = _written_at_day FROM rows ORDER BY k") == [
        (1, "upsert", True), (2, "delete", True)
    ]  # fmt: skip


async def test_few_files_are_open_and_little_waits_in_memory_however_many_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, limit = list[tuple[int, int]](), Stage._limit

    def limited(stage: Stage) -> None:
        limit(stage)
        files = list(stage._all_files())
        seen.append((sum(file.is_open for file in files), sum(file.waiting_bytes for file in files)))

    monkeypatch.setattr(Stage, "_limit", limited)
    monkeypatch.setattr("connector_runner.datasets.columnar.stage.OPEN_FILES", 2)
    monkeypatch.setattr("connector_runner.datasets.columnar.stage.WAITING_BYTES", 0)
    dataset = LakeDataset(tmp_path, "commitEvery=3600&partitionBy=kind")
    rows = [(number, at(0), "abcde"[number % 5]) for number in range(30)]
    await run_to_end([batch(BY_K, 1, *[(UPSERT, row) for row in rows])], context(dataset, write_mode=WriteMode.APPEND))
    assert max(seen) == (2, 0)
    assert rows_of(dataset) == rows


async def test_a_new_column_is_added_and_one_with_the_name_of_a_derived_one_is_refused(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&partitionBy=days(at)")
    wider = StreamSchema("test", (*COLUMNS, Column("note", STRING)), ("k",))
    batches = [batch(BY_K, 1, (UPSERT, (1, at(0), "a"))), batch(wider, 2, (UPSERT, (2, at(1), "b", "new")))]
    await run_to_end(batches, context(dataset))
    found = dataset.query("SELECT k, at_day, note FROM rows ORDER BY k")
    assert found == [(1, NOON.date(), None), (2, at(1).date(), "new")]
    taken = StreamSchema("test", (*COLUMNS, Column("at_day", STRING)), ("k",))
    with pytest.raises(ActionRequiredError, match="the stream has a column of that name now"):
        await run_to_end([*batches, batch(taken, 3, (UPSERT, (3, at(1), "b", "x")))], context(dataset, run=2))


@MODES
async def test_small_files_become_one_in_each_partition(tmp_path: Path, mode: WriteMode) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&compactEvery=1&partitionBy=kind")
    last, batches = 0, list[Batch]()
    while not any("OPTIMIZE" in str(commit) for commit in actions(dataset.root / "rows")):
        assert last < 40 * MANY_FILES, "no compaction"
        batches += [
            batch(BY_K, n, (UPSERT, (n, at(0), "ab"[n % 2]))) for n in range(last + 1, last + 2 * MANY_FILES + 1)
        ]
        last += 2 * MANY_FILES
        await run_to_end(batches, context(dataset, run=last, write_mode=mode))
    assert rows_of(dataset) == [(n, at(0), "ab"[n % 2]) for n in range(1, last + 1)]
    assert set(partitions(dataset)) == {("a",), ("b",)}


async def test_another_partition_by_is_refused_and_none_keeps_what_is_there(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=0&partitionBy=days(at)")
    one, two = batch(BY_K, 1, (UPSERT, (1, at(0), "a"))), batch(BY_K, 2, (UPSERT, (2, at(1), "a")))
    await run_to_end([one], context(dataset))
    for run, other in enumerate(("hours(at)", "days(at),kind", "kind"), 2):
        changed = LakeDataset(tmp_path, f"commitEvery=0&partitionBy={other}")
        with pytest.raises(
            ActionRequiredError, match=r"is partitioned by days\(at\), but the Dataset's URL says"
        ) as caught:
            await run_to_end([one, two], context(changed, run=run))
        assert caught.value.reason == "InvalidDataset"
        assert "put back what the table has" in checked(context(changed, run=run))
    await run_to_end([one, two], context(LakeDataset(tmp_path), run=9))
    assert partitions(dataset) == [("2026-01-01",), ("2026-01-02",)]
    assert rows_of(dataset) == [(1, at(0), "a"), (2, at(1), "a")]
    plain = tmp_path / "plain"
    plain.mkdir()
    await run_to_end([one], context(LakeDataset(plain)))
    with pytest.raises(ActionRequiredError, match="has no partitions, but"):
        await run_to_end([one, two], context(LakeDataset(plain, "partitionBy=kind"), run=2))


def checked(sink: SinkContext) -> str:
    """What `check` says of the table."""
    return " ".join(str(each) for each in build_examiner(sink).examine({"test": BY_K}))


async def test_a_table_that_somebody_else_has_partitioned_is_used(tmp_path: Path) -> None:
    dataset = LakeDataset(tmp_path)
    schema = pa.schema(
        [pa.field("k", pa.int64(), nullable=False), pa.field("at", pa.timestamp("us", "UTC"), nullable=False), ("kind", pa.string()), ("land", pa.string())]
    )  # fmt: skip
    write_deltalake(dataset.root / "rows", schema.empty_table(), partition_by=["kind", "land"])
    await run_to_end([batch(BY_K, 1, (UPSERT, (1, at(0), "a")), (UPSERT, (2, at(0), "b")))], context(dataset))
    assert set(partitions(dataset)) == {("a", None), ("b", None)}
    assert rows_of(dataset) == [(1, at(0), "a"), (2, at(0), "b")]
    other = tmp_path / "other"
    other.mkdir()
    timed = LakeDataset(other)
    write_deltalake(timed.root / "rows", schema.empty_table(), partition_by=["at"])
    with pytest.raises((ActionRequiredError, SchemaConflictError), match="in a way that this dataset can't write"):
        await run_to_end([batch(BY_K, 1, (UPSERT, (1, at(0), "a")))], context(timed))
