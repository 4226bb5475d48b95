"""Delta and Iceberg tables: columns that are called as those which the sinks add, and very many replacements in one commit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import STRING
from tests.kit.iceberg_dataset import IcebergDataset
from tests.kit.lake_dataset import LakeDataset
from tests.kit.pipeline import PAIR, batch, context, run_to_end

UPSERT, DELETE, INSERT, REPLACE = Operation
BOTH = pytest.mark.parametrize("build", [LakeDataset, IcebergDataset])
Build = Callable[[Path], LakeDataset | IcebergDataset]
NAMES = ("_row", "_place", "_change", "__change", "_row_min", "row", "0")
ODD = StreamSchema("test", tuple(Column(name, STRING, nullable=name not in NAMES[:2]) for name in NAMES), NAMES[:2])
MANY = 10_000


def odd(number: int, value: str) -> tuple[str, ...]:
    return (f"{number}", "a", *[value] * 5)


@BOTH
async def test_columns_may_be_called_as_those_that_a_merge_adds(tmp_path: Path, build: Build) -> None:
    dataset = build(tmp_path)
    batches = [
        batch(ODD, 1, *((UPSERT, odd(number, "old")) for number in range(1, 6))),
        batch(ODD, 2, (UPSERT, odd(1, "delete")), (DELETE, odd(2, "old")), (INSERT, odd(3, "new"))),
        batch(ODD, 3, (INSERT, odd(6, "new")), (REPLACE, ("4",)), (REPLACE, ("5", "a")), (UPSERT, odd(5, "new"))),
    ]
    await run_to_end(batches, context(dataset))
    assert dataset.read(ODD, "rows") == [odd(1, "delete"), odd(3, "old"), odd(5, "new"), odd(6, "new")]


@BOTH
@pytest.mark.parametrize("length", [1, pytest.param(2, marks=pytest.mark.fault)])
@pytest.mark.parametrize("mode", list(WriteMode))
async def test_very_many_prefixes_may_be_replaced_in_one_commit(
    tmp_path: Path, build: Build, mode: WriteMode, length: int
) -> None:
    """A chain of as many conditions is deeper than the stack of Delta's engine, so that the process dies, and each that follows it."""
    dataset = build(tmp_path)
    there = [(f"block {number}", number % 100, "old") for number in (1, 2, MANY - 1, MANY, MANY + 1)]
    prefixes = [(f"block {number}", number % 100)[:length] for number in range(2, MANY + 1)]
    batches = [
        batch(PAIR, 1, *((UPSERT, row) for row in there)),
        batch(PAIR, 2, *((REPLACE, prefix) for prefix in prefixes), (UPSERT, ("block 2", 2, "new"))),
    ]
    await run_to_end(batches, context(dataset, write_mode=mode))
    if mode is WriteMode.UPSERT:
        assert dataset.read(PAIR, "rows") == [there[0], there[4], ("block 2", 2, "new")]
    else:
        found = dataset.query("SELECT a, _op FROM rows ORDER BY _id")
        assert found[5:] == [(row[0], "delete") for row in there[1:4]] + [("block 2", "upsert")]
