"""Iceberg tables whose columns somebody renames or drops while rows are on their way into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.protocols.sink import Sink, Staging, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sinks.iceberg.placing import _move
from tests.kit.iceberg_dataset import IcebergDataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end

UPSERT, DELETE, INSERT, REPLACE = Operation
MODES = pytest.mark.parametrize("mode", list(WriteMode))


def row(number: int, value: str = "old") -> Batch:
    return batch(SMALL, number, (UPSERT, (number % 3, value)))


async def altered(
    dataset: IcebergDataset, mode: WriteMode, alter: Callable[[Any], object], *batches: Batch
) -> tuple[Sink, int]:
    """Three rows are committed, more are staged, and then somebody alters the table."""
    await run_to_end([row(1), row(2), row(3)], context(dataset, write_mode=mode))
    sink = build_sink(context(dataset, run=2, write_mode=mode))
    number = (await sink.claim()).number
    await sink.prepare(SMALL)
    for place, each in enumerate(batches, 1):
        await sink.write(Transaction(number + place, (each,), "list"))
    with dataset.table("rows") as table, table.update_schema(allow_incompatible_changes=True) as schema:
        alter(schema)
    return sink, number + len(batches)


def rows_of(dataset: IcebergDataset) -> list[dict[str, Any]]:
    with dataset.table("rows") as table:
        found = table.scan().to_arrow()
        keep = [name for name in found.column_names if not name.startswith("_")]
        rows: list[dict[str, Any]] = found.select(keep).sort_by([(name, "ascending") for name in keep]).to_pylist()
        return rows


@MODES
@pytest.mark.parametrize("partitions", ["", "&partitionBy=v"])
async def test_a_column_that_is_renamed_meanwhile_gets_what_was_staged_for_it(
    tmp_path: Path, mode: WriteMode, partitions: str
) -> None:
    dataset = IcebergDataset(tmp_path, f"commitEvery=3600{partitions}")
    sink, _ = await altered(
        dataset, mode, lambda schema: schema.rename_column("v", "w"), row(4, "new"), row(5, "newer")
    )
    assert isinstance(sink, Staging)
    await sink.flush()
    await sink.close()
    values = {0: ["old"], 1: ["new", "old"], 2: ["newer", "old"]}
    kept = values if mode is WriteMode.APPEND else {key: each[:1] for key, each in values.items()}
    assert rows_of(dataset) == [{"k": key, "w": value} for key, each in kept.items() for value in each]
    batches = [*(row(number) for number in range(1, 4)), row(4, "new"), row(5, "newer"), row(7, "last")]
    run = Run(lambda: ListSource(batches), context(dataset, run=3, write_mode=mode)).start()
    if partitions:  # Iceberg gives no new column the name that a partition of another has
        with pytest.raises(SchemaConflictError, match="can't get the columns"):
            await run.end()
        return
    assert await run.end() is ExitCode.END_OF_STREAM
    assert {"k": 1, "w": None if mode is WriteMode.APPEND else "new", "v": "last"} in rows_of(dataset)


@MODES
async def test_a_column_that_is_dropped_meanwhile_takes_nothing_with_it(tmp_path: Path, mode: WriteMode) -> None:
    dataset = IcebergDataset(tmp_path, "commitEvery=3600")
    sink, _ = await altered(
        dataset, mode, lambda schema: schema.delete_column("v"), row(4), batch(SMALL, 5, (UPSERT, (7, "x")))
    )
    assert isinstance(sink, Staging)
    await sink.flush()
    await sink.close()
    keys = [0, 1, 1, 2, 7] if mode is WriteMode.APPEND else [0, 1, 2, 7]
    assert rows_of(dataset) == [{"k": key} for key in keys]


async def test_the_key_may_be_renamed_but_not_be_gone(tmp_path: Path) -> None:
    for alter, is_gone in (
        (lambda schema: schema.rename_column("k", "n"), False),
        (lambda schema: schema.delete_column("k"), True),
    ):
        (folder := tmp_path / str(is_gone)).mkdir()
        dataset = IcebergDataset(folder, "commitEvery=3600")
        replaced = batch(SMALL, 5, (REPLACE, (2,)))
        sink, _ = await altered(dataset, WriteMode.UPSERT, alter, row(4, "new"), replaced)
        assert isinstance(sink, Staging)
        if not is_gone:
            await sink.flush()
            assert rows_of(dataset) == [{"n": 0, "v": "old"}, {"n": 1, "v": "new"}]
        else:
            with pytest.raises(SchemaConflictError, match="k of the key were dropped"):
                await sink.flush()
            inspector = build_inspector(context(dataset))
            assert inspector.reset_checkpoints() == 1, "what can't be carried out is given up"
            inspector.close()
        await sink.close()


def test_a_staged_file_that_another_runner_has_just_moved_is_there(tmp_path: Path) -> None:
    files, staged, final = fs.LocalFileSystem(), tmp_path / "staged", tmp_path / "final"
    final.touch()
    _move(files, str(staged), str(final))
    final.unlink()
    with pytest.raises(FileNotFoundError):
        _move(files, str(staged), str(final))
