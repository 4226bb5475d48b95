"""Delta tables: what the ledger has decided and nobody has carried out yet is never removed, lost or forgotten."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from connector_runner.datasets.columnar.connection import LakeConnection
from connector_runner.datasets.columnar.intents import Intent
from connector_runner.datasets.columnar.stage import Stage
from connector_runner.datasets.columnar.staging_folder import own_prefix
from connector_runner.datasets.columnar.tables import Key, Rows
from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, StagedFileGoneError, TransientError
from connector_runner.protocols.sink import Sink, SinkContext, Staging, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sinks.delta.database import LakeFolder
from connector_runner.sinks.delta.ledger_table import LedgerTable
from connector_runner.sinks.delta.tables import STAGED, STAGED_SECONDS, Table
from tests.kit.lake_dataset import LakeDataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until

UPSERT = Operation.UPSERT
MODES = pytest.mark.parametrize("mode", list(WriteMode))


def row(number: int) -> Batch:
    return batch(SMALL, number, (UPSERT, (number, f"row {number}")))


def rows_until(last: int) -> list[tuple[int, str]]:
    return [(number, f"row {number}") for number in range(1, last + 1)]


async def claimed(sink: SinkContext) -> tuple[Sink, int]:
    made = build_sink(sink)
    claim = await made.claim()
    await made.prepare(SMALL)
    return made, claim.number


class _Died(BaseException):
    """Stands for a kill: nothing after it runs."""


async def die_undone(sink: SinkContext, written: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that dies when the ledger has decided a commit, and before the table has it."""

    def die(*_: Any) -> None:
        raise _Died

    made, number = await claimed(sink)
    with monkeypatch.context() as patched:
        patched.setattr(Table, "carry_out", die)
        with pytest.raises(_Died):
            await made.write(Transaction(number + 1, (written,), "list"))


async def test_a_claim_leaves_the_files_that_another_connector_still_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One was killed in the midst of a commit and is off for more than a day; another one writes into the same table."""
    dataset = LakeDataset(tmp_path)
    append = {"write_mode": WriteMode.APPEND}
    await run_to_end([row(2)], context(dataset, **append))
    other = context(dataset, connector="default/other", uid="uid-2", write_mode=WriteMode.APPEND)
    await die_undone(other, row(1), monkeypatch)
    staged = dataset.root / "rows" / STAGED
    left = staged / f"{own_prefix('default/test/test')}left.parquet"
    left.write_bytes(b"")
    a_day_passes(staged)
    await run_to_end([row(2), row(3)], context(dataset, run=2, **append))
    assert not left.exists(), "what nobody needs is removed"
    await run_to_end([row(1)], context(dataset, connector="default/other", uid="uid-2", run=2, **append))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(3)


def a_day_passes(staged: Path) -> None:
    for file in staged.iterdir():
        os.utime(file, (time.time() - STAGED_SECONDS - 60,) * 2)


def sleep_before_deciding(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """The next commit of the ledger finds its runner asleep: its files are sealed, and something happens before it wakes up."""
    original = LedgerTable.commit

    def late(ledger: LedgerTable, rows: Rows, pending: Mapping[str, str]) -> bool:
        monkeypatch.setattr(LedgerTable, "commit", original)
        meanwhile()
        return original(ledger, rows, pending)

    monkeypatch.setattr(LedgerTable, "commit", late)


async def test_a_claim_leaves_the_files_that_another_connector_has_sealed_and_may_still_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sleeps for more than a day between sealing and deciding; meanwhile another one starts that writes into the same table."""
    dataset = LakeDataset(tmp_path)
    append = {"write_mode": WriteMode.APPEND}
    await run_to_end([row(2)], context(dataset, **append))
    made, number = await claimed(context(dataset, connector="default/other", uid="uid-2", write_mode=WriteMode.APPEND))

    def sleep() -> None:
        a_day_passes(dataset.root / "rows" / STAGED)
        asyncio.run(run_to_end([row(2), row(3)], context(dataset, run=2, **append)))

    sleep_before_deciding(monkeypatch, sleep)
    await made.write(Transaction(number + 1, (row(1),), "list"))
    await made.close()
    assert dataset.read(SMALL, "rows", order="k") == rows_until(3)


async def test_a_claim_removes_what_its_own_earlier_run_has_sealed_only_when_that_can_not_decide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier one wakes up in the midst of the claim, decides, and dies."""
    dataset = LakeDataset(tmp_path)
    append = {"write_mode": WriteMode.APPEND}
    await run_to_end([row(1)], context(dataset, **append))
    older, number = await claimed(context(dataset, run=2, **append))
    remove, carry_out = LakeConnection.remove_old_staged, Table.carry_out
    removed, woken, threads = threading.Event(), threading.Event(), list[int]()

    def pause(connection: LakeConnection, keys: Iterable[Key]) -> int:
        gone = remove(connection, keys)
        removed.set()
        assert woken.wait(60)
        return gone

    def die(table: Table, intent: Intent) -> None:
        if threading.get_ident() in threads:
            raise _Died
        carry_out(table, intent)

    def sleep() -> None:
        threads.append(threading.get_ident())
        a_day_passes(dataset.root / "rows" / STAGED)
        heir.start()
        assert removed.wait(60)

    newer, rows = context(dataset, run=3, **append), [row(at) for at in range(1, 4)]
    heir = threading.Thread(target=lambda: asyncio.run(run_to_end(rows, newer)))
    sleep_before_deciding(monkeypatch, sleep)
    monkeypatch.setattr(LakeConnection, "remove_old_staged", pause)
    monkeypatch.setattr(Table, "carry_out", die)
    with pytest.raises((_Died, TransientError)):
        await older.write(Transaction(number + 1, (row(2),), "list"))
    woken.set()
    heir.join(60)
    assert dataset.read(SMALL, "rows", order="k") == rows_until(3)


def die_once(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    original = Table.carry_out

    def die(*_: Any) -> None:
        monkeypatch.setattr(Table, "carry_out", original)
        raise _Died

    return die


async def test_what_one_run_has_decided_is_carried_out_before_another_of_the_same_connector_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two streams of one connector, each with its own fence: neither claim fences off the other."""
    dataset = LakeDataset(tmp_path)
    made, number = await claimed(context(dataset))
    other = build_sink(context(dataset, tables={"second": "second"}))
    second = dataclasses.replace(row(2), schema=dataclasses.replace(SMALL, stream="second"))
    at = (await other.claim()).number
    await other.prepare(second.schema)
    monkeypatch.setattr(Table, "carry_out", die_once(monkeypatch))
    with pytest.raises(_Died):
        await made.write(Transaction(number + 1, (row(1),), "list"))
    await other.write(Transaction(at + 1, (second,), "list"))
    await other.close()
    await run_to_end([row(1), row(2)], context(dataset, run=2))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(2)
    assert dataset.read(SMALL, "second", order="k") == [(2, "row 2")]


@MODES
async def test_a_staged_file_that_is_gone_has_its_sentence_and_others_are_carried_out(
    tmp_path: Path, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = LakeDataset(tmp_path)
    await run_to_end([row(1)], context(dataset, write_mode=mode))
    before = set((dataset.root / "rows" / STAGED).iterdir())
    await die_undone(context(dataset, run=2, write_mode=mode), row(2), monkeypatch)
    (staged,) = set((dataset.root / "rows" / STAGED).iterdir()) - before
    content = staged.read_bytes()
    staged.unlink()
    for run in (3, 4):
        sink = build_sink(context(dataset, run=run, write_mode=mode))
        with pytest.raises(StagedFileGoneError, match="put it back, or start over") as caught:
            await sink.claim()
        await sink.close()
        assert str(staged) in caught.value.message
        assert "table rows" in caught.value.message
    staged.write_bytes(content)
    await run_to_end([row(number) for number in range(1, 5)], context(dataset, run=5, write_mode=mode))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(4)


async def test_a_reset_gives_up_what_can_not_be_carried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = LakeDataset(tmp_path)
    await run_to_end([row(1)], context(dataset))
    before = set((dataset.root / "rows" / STAGED).iterdir())
    await die_undone(context(dataset, run=2), row(2), monkeypatch)
    for staged in set((dataset.root / "rows" / STAGED).iterdir()) - before:
        staged.unlink()
    inspector = build_inspector(context(dataset))
    inspector.reset_checkpoints()
    inspector.close()
    await run_to_end([row(number) for number in range(1, 4)], context(dataset, run=3))
    assert dataset.read(SMALL, "rows") == rows_until(3)


def give_up_an_answer(dataset: LakeDataset, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The next commit of the ledger gets no answer, and is still under way; what is returned lets it arrive."""
    original, sent = LedgerTable.commit, list[tuple[Rows, Mapping[str, str]]]()

    def lose(_: LedgerTable, rows: Rows, pending: Mapping[str, str]) -> bool:
        monkeypatch.setattr(LedgerTable, "commit", original)
        sent.append((dict(rows), dict(pending)))
        raise OSError("no answer")

    def arrive() -> None:
        ledger = LakeFolder(lambda: dataset.url, dataset.directory, "default/test").connect(create=False).lake.ledger
        ledger.read()
        assert ledger.commit(*sent[0])

    monkeypatch.setattr(LedgerTable, "commit", lose)
    return arrive


@MODES
async def test_a_commit_that_arrives_late_loses_nothing_though_the_first_recovery_fails(
    tmp_path: Path, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=3600")
    sink, number = await claimed(context(dataset, write_mode=mode))
    await sink.write(Transaction(number + 1, (row(1),), "list"))
    arrive = give_up_an_answer(dataset, monkeypatch)
    assert isinstance(sink, Staging)
    with pytest.raises(TransientError):
        await sink.flush()
    assert await sink.recover() == number + 1, "it is staged"
    await sink.write(Transaction(number + 2, (row(2),), "list"))
    arrive()
    with pytest.raises(TransientError, match="somebody else has written to the ledger"):
        await sink.flush()
    with monkeypatch.context() as patched:
        patched.setattr(Table, "carry_out", cut)
        with pytest.raises(TransientError, match="cut"):
            await sink.recover()
    for _ in range(2):
        with pytest.raises(ConnectorError, match="has arrived after its answer was given up") as caught:
            await sink.recover()
        assert not isinstance(caught.value, (TransientError, ActionRequiredError)), "the next run goes on by itself"
    await sink.close()
    await run_to_end([row(at) for at in range(1, 4)], context(dataset, run=2, write_mode=mode))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(3)


def cut(*_: Any) -> None:
    raise OSError("cut")


async def test_files_stay_whose_commit_may_still_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = LakeDataset(tmp_path, "commitEvery=3600")
    append = {"write_mode": WriteMode.APPEND}
    sink, number = await claimed(context(dataset, **append))
    await sink.write(Transaction(number + 1, (row(1),), "list"))
    arrive = give_up_an_answer(dataset, monkeypatch)
    assert isinstance(sink, Staging)
    with pytest.raises(TransientError):
        await sink.flush()
    await sink.recover()
    await sink.close()
    arrive()
    await run_to_end([row(at) for at in range(1, 4)], context(dataset, run=2, **append))
    assert dataset.read(SMALL, "rows", order="k") == rows_until(3)


async def test_files_that_can_not_be_removed_after_a_commit_do_not_disturb_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = LakeDataset(tmp_path)
    sink, number = await claimed(context(dataset))
    await sink.write(Transaction(number + 1, (row(1),), "list"))
    with monkeypatch.context() as patched:
        patched.setattr(Table, "remove_staged", cut)
        await sink.write(Transaction(number + 2, (row(2),), "list"))
    await sink.close()
    assert dataset.read(SMALL, "rows") == rows_until(2)


@MODES
async def test_when_a_commit_is_due_is_asked_without_a_look_at_what_another_thread_changes(
    tmp_path: Path, mode: WriteMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = set[str]()

    def noted(self: Stage) -> int:
        looked.add(threading.current_thread().name.rstrip("0123456789"))
        return int(size(self))

    size = vars(Stage)["size"].fget
    monkeypatch.setattr(Stage, "size", property(noted))
    source = ListSource([row(1)], endless=True)
    run = Run(lambda: source, context(LakeDataset(tmp_path, "commitEvery=3600"), write_mode=mode)).start()
    await until(lambda: source.read == 1, "it was read")
    source.add(row(2))
    assert await run.stop() is ExitCode.TERMINATED
    assert looked == {"dataset_"}
