"""A dataset that loses commits that were confirmed: restored or removed under a runner, or failed over to a server that lacked them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import DatasetWentBackError, FenceLostError
from connector_runner.schemas.outcome import ExitCode
from tests.kit.datasets import Dataset, SqliteDataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context
from tests.kit.waiting import until

BEFORE = """UPDATE _connector_checkpoints SET number = number - 1, position = '{"next":1}'"""


def row(number: int) -> Batch:
    return batch(SMALL, number, (Operation.UPSERT, (number, "a")))


@pytest.mark.parametrize("what", [BEFORE, f"{BEFORE}, epoch = epoch - 1"], ids=["a commit", "the claim"])
@pytest.mark.parametrize("wait", [True, False])
async def test_what_was_confirmed_and_is_gone_is_read_again_by_the_next_run(
    dataset: Dataset, wait: bool, what: str
) -> None:
    source = ListSource([row(1), row(2)], endless=True)
    run = Run(lambda: source, context(dataset), wait=wait).start()
    await until(lambda: run.telemetry.totals.rows == 2, "two rows are confirmed")
    dataset.execute("DELETE FROM rows WHERE k = 2")
    dataset.execute(what)
    source.add(row(3))
    with pytest.raises(DatasetWentBackError, match="restored from a backup"):
        await run.end()
    following = Run(lambda: ListSource([row(1), row(2), row(3)]), context(dataset, run=2)).start()
    assert await following.end() is ExitCode.END_OF_STREAM
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "a"), (3, "a")]


def back_up(folder: Path, backup: Path) -> Path:
    """Copies the only file as a person would; returns it."""
    (file,) = folder.glob("*.db")
    with contextlib.closing(sqlite3.connect(file)) as one, contextlib.closing(sqlite3.connect(backup)) as other:
        one.backup(other)
    return file


def remove(file: Path) -> None:
    """With what SQLite keeps beside it."""
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()


@pytest.mark.parametrize(
    ("is_restored", "kind"), [(True, DatasetWentBackError), (False, FenceLostError)], ids=["replaced", "removed"]
)
async def test_a_file_that_is_replaced_or_removed_is_noticed(
    tmp_path: Path, is_restored: bool, kind: type[Exception]
) -> None:
    """SQLite goes on in the old file, which has no name any more: nobody would ever see those rows."""
    dataset, backup = SqliteDataset(tmp_path), tmp_path / "backup.db"
    source = ListSource([row(1)], endless=True)
    run = Run(lambda: source, context(dataset)).start()
    await until(lambda: run.telemetry.totals.rows == 1, "a row is confirmed")
    file = back_up(tmp_path, backup)
    source.add(row(2))
    await until(lambda: run.telemetry.totals.rows == 2, "another row is confirmed")
    remove(file)
    if is_restored:
        backup.rename(file)
    source.add(row(3))
    with pytest.raises(kind):
        await run.end()
    assert "was removed or replaced while it was open" in run.log.text()
    following = Run(lambda: ListSource([row(1), row(2), row(3)]), context(dataset, run=2)).start()
    assert await following.end() is ExitCode.END_OF_STREAM
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "a"), (3, "a")]
