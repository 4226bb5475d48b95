"""Who may write into a dataset: fences, take-overs, another source, a reset; run against every dataset."""

from __future__ import annotations

from typing import Any

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import (
    FenceLostError,
    SchemaConflictError,
    SourceChangedError,
    TableTakenError,
    TransientError,
)
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.manifest import TakeOver
from tests.contract.test_many_streams import A, B, balances, carry, rows_of, selection, truth
from tests.kit.datasets import Dataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context, run_to_end
from tests.kit.waiting import until
from tests.scripted.bank import Bank
from tests.scripted.script import Script
from tests.scripted.source import scripted

UPSERT = Operation.UPSERT


async def test_an_older_runner_commits_no_more_and_says_who_took_over(dataset: Dataset) -> None:
    older, newer = build_sink(context(dataset)), build_sink(context(dataset, run=2))
    first = await older.claim()
    await older.prepare(SMALL)
    await older.write(Transaction(first.number + 1, (batch(SMALL, 1, (UPSERT, (1, "older"))),), "list"))
    claim = await newer.claim()
    assert (claim.epoch, claim.number) == (first.epoch + 1, 1)
    assert (found := claim.checkpoints["test"]) is not None
    assert found.position == {"next": 1}
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await older.write(Transaction(2, (batch(SMALL, 2, (UPSERT, (2, "older"))),), "list"))
    if not isinstance(caught.value, FenceLostError):  # its connection was ended by the newer one
        with pytest.raises(FenceLostError, match="run 2"):
            await older.recover()
    await newer.prepare(SMALL)
    await newer.write(Transaction(2, (batch(SMALL, 2, (UPSERT, (2, "newer"))),), "list"))
    late = build_sink(context(dataset, run=1))
    with pytest.raises(FenceLostError, match="run 2 has already claimed"):
        await late.claim()
    await late.close()
    assert dataset.read(SMALL, "rows") == [(1, "older"), (2, "newer")]
    await older.close()
    await newer.close()


async def test_a_connector_made_again_under_its_name_goes_on(dataset: Dataset) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset, run=7))
    batches = [batch(SMALL, 1, (UPSERT, (1, "WRONG"))), batch(SMALL, 2, (UPSERT, (2, "b")))]
    await run_to_end(batches, context(dataset, uid="uid-2", run=1))
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "b")]


@pytest.mark.needs_transaction
async def test_two_connectors_in_one_table_are_refused_by_name_unless_both_append(dataset: Dataset) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset))
    other = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "b")))]), context(dataset, connector="default/other"))
    with pytest.raises(SchemaConflictError, match="default/test"):
        await other.start().end()
    for name in ("one", "two"):
        sink = context(dataset, "history", connector=f"default/{name}", write_mode=WriteMode.APPEND)
        await run_to_end([batch(SMALL, 1, (UPSERT, (1, name)))], sink)
    assert dataset.read(SMALL, "history", order="_id") == [(1, "one"), (1, "two")]


@pytest.mark.needs_transaction
async def test_a_history_is_refused_the_table_of_another_and_leaves_its_owner_alone(dataset: Dataset) -> None:
    batches = [batch(SMALL, 1, (UPSERT, (1, "a"))), batch(SMALL, 2, (UPSERT, (2, "b")))]
    await run_to_end(batches[:1], context(dataset))
    history = context(dataset, connector="default/other", write_mode=WriteMode.APPEND)
    with pytest.raises(SchemaConflictError, match=r"stream test of connector default/test.*writeMode upsert"):
        await run_to_end(batches, history)
    await run_to_end(batches, context(dataset, run=2))
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "b")]


@pytest.mark.needs_transaction
async def test_a_table_is_taken_over_with_its_position_and_that_is_recorded(dataset: Dataset) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset, connector="default/old"))
    batches = [batch(SMALL, 1, (UPSERT, (1, "WRONG"))), batch(SMALL, 2, (UPSERT, (2, "b")))]
    new = {"connector": "default/new", "uid": "uid-2"}
    late = TakeOver("default/old", 2)
    with pytest.raises(SchemaConflictError, match=r'"connector": "default/old", "epoch": 1'):
        await run_to_end(batches, context(dataset, **new, run=1, take_over=late))
    named = TakeOver("default/old", 1)
    await run_to_end(batches, context(dataset, **new, run=2, take_over=named))
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "b")]
    told = dataset.query("SELECT connector, kind, subject, detail FROM rows_incidents")
    assert [row[:3] for row in told] == [("default/new", "takeover", "rows")]
    assert dataset.query("SELECT connector, epoch FROM _connector_checkpoints") == [("default/new", 2)]
    await run_to_end(batches, context(dataset, **new, run=3, take_over=named))  # it stays in Git
    assert dataset.query("SELECT count(*) FROM rows_incidents") == [(1,)]
    with pytest.raises(SchemaConflictError, match="default/new"):
        await run_to_end(batches, context(dataset, connector="default/old", run=2))


@pytest.mark.needs_transaction
@pytest.mark.parametrize("taker", ["one stream", "a selection"])
async def test_a_table_of_a_selection_is_taken_over_and_its_runner_goes_on_without_it(
    dataset: Dataset, taker: str
) -> None:
    """Taken over while the selection's runner lives: it may commit no more, and claims again without the table."""
    bank = Bank(seed=41, moves=120)
    await carry(bank, selection(dataset, bank.streams), 60)
    old = build_sink(selection(dataset, bank.streams, run=2, isolates=True))
    claim = await old.claim()
    named = TakeOver("default/test", claim.epoch)
    new: dict[str, Any] = {"connector": "default/new", "uid": "uid-2", "take_over": named}
    tables = {"t1": "t1_rows"} if taker == "one stream" else {"t1": "t1_rows", "t2": "t2_rows"}
    for run in (1, 2):  # it stays in Git
        sink = context(dataset, tables=tables, is_selection=len(tables) > 1, run=run, **new)
        await carry(bank, sink, 90 + run)
        assert balances(dataset, bank, list(tables)) == truth(bank, list(tables), 90 + run)
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await old.write(Transaction(claim.number + 1))
    if not isinstance(caught.value, TableTakenError):
        with pytest.raises(TableTakenError, match="t1_rows by default/new"):
            await old.recover()
    await old.close()
    again = build_sink(selection(dataset, bank.streams, run=2, isolates=True))  # the same run, as the runner does it
    found = await again.claim()
    await again.close()
    assert set(found.failures) == set(tables)
    assert {at and at.position["next"] for at in found.checkpoints.values()} == {60}
    await carry(bank, selection(dataset, bank.streams, run=3, isolates=True))
    stay = [stream for stream in bank.streams if stream not in tables]
    assert balances(dataset, bank, stay) == truth(bank, stay)
    assert balances(dataset, bank, list(tables)) == truth(bank, list(tables), 92)
    told = dataset.query("SELECT connector, kind FROM t1_rows_incidents")
    assert told.count(("default/new", "takeover")) == 1
    assert ("default/new",) in dataset.query("SELECT connector FROM _connector_checkpoints WHERE stream = 't1'")


@pytest.mark.needs_transaction
async def test_a_selection_that_may_not_lose_a_stream_ends_when_a_table_is_taken_over(dataset: Dataset) -> None:
    bank = Bank(seed=42, moves=40)
    old = build_sink(selection(dataset, bank.streams))
    claim = await old.claim()
    taker = build_sink(
        context(dataset, "t1_rows", stream="x", connector="default/new", take_over=TakeOver("default/test", 1))
    )
    assert (await taker.claim()).checkpoints == {"x": None}
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await old.write(Transaction(claim.number + 1))
    if not isinstance(caught.value, FenceLostError):
        with pytest.raises(FenceLostError) as caught:
            await old.recover()
    assert not isinstance(caught.value, TableTakenError)
    refused = build_sink(selection(dataset, bank.streams, run=2))
    with pytest.raises(SchemaConflictError, match="default/new"):
        await refused.claim()
    for sink in (old, taker, refused):
        await sink.close()


@pytest.mark.needs_transaction
async def test_another_stream_takes_a_table_over_and_starts_anew(dataset: Dataset) -> None:
    await run_to_end([batch(SMALL, 1, (UPSERT, (1, "a")))], context(dataset, connector="default/old"))
    inspector = build_inspector(context(dataset, connector="default/old"))
    other = context(dataset, connector="default/new", stream="another", take_over=TakeOver("default/old", 1))
    sink = build_sink(other)
    claim = await sink.claim()
    assert claim.checkpoints == {"another": None}
    await sink.close()
    assert inspector.checkpoints()[0].position is None
    inspector.close()
    assert dataset.query("SELECT count(*) FROM rows_incidents") == [(1,)]


async def test_another_source_is_an_error_that_names_both(dataset: Dataset) -> None:
    script = Script(batches=5)
    await Run(scripted(script), context(dataset, stream="mixed")).start().end()
    run = Run(scripted(Script(batches=9), identity="elsewhere"), context(dataset, stream="mixed", run=2)).start()
    with pytest.raises(SourceChangedError, match=r"script.*elsewhere"):
        await run.end()


@pytest.mark.needs_tables
async def test_reset_starts_over_and_fences_off_who_writes(dataset: Dataset) -> None:
    batches = [batch(SMALL, 1, (UPSERT, (1, "a"))), batch(SMALL, 2, (UPSERT, (2, "b")))]
    run = Run(lambda: ListSource(batches, endless=True), context(dataset)).start()
    await until(lambda: run.telemetry.totals.rows == 2, "two rows")
    inspector = build_inspector(context(dataset))
    assert inspector.checkpoints()[0].position == {"next": 2}
    assert inspector.reset_checkpoints() == 1
    assert inspector.checkpoints()[0].position is None
    names, rows = inspector.newest_rows(1)
    inspector.close()
    assert (list(names), [tuple(row) for row in rows]) == (["k", "v"], [(2, "b")])
    run.engine.reconnect()
    with pytest.raises(FenceLostError, match="reset"):
        await run.end()
    dataset.execute("DELETE FROM rows")
    await run_to_end(batches, context(dataset, run=1))
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "b")]


async def test_a_commit_of_the_reader_is_one_of_each_stream_that_moves_with_it(dataset: Dataset) -> None:
    """A stream without rows is as new as the last commit; one that is parked is as old as its own position."""
    sink = build_sink(selection(dataset, "ab"))
    claim = await sink.claim()
    for schema in (A, B):
        await sink.prepare(schema)
    inspector = build_inspector(selection(dataset, "ab"))

    def committed() -> dict[str, str]:
        return {checkpoint.stream: checkpoint.updated for checkpoint in inspector.checkpoints()}

    parked = {"next": 1}
    first = (rows_of(A, 1, (1, "a"), more=True), rows_of(B, 1, (1, "b")))
    number = claim.number + 1
    await sink.write(Transaction(number, first, "list"))
    before = committed()
    while (now := committed())["b"] == before["b"] and number < 200:
        number += 1
        await sink.write(Transaction(number, (rows_of(A, number, (number, "a")),), "list"))
    assert now["a"] == now["b"] > before["b"]
    await sink.write(Transaction(number + 1, (rows_of(B, number + 1, place=parked),), "list"))
    at = committed()["b"]
    while committed()["a"] <= at and number < 400:  # rows of one transaction may be some milliseconds apart
        number += 1
        await sink.write(Transaction(number + 1, (rows_of(A, number + 1, (number, "a")),), "list"))
    assert committed()["b"] == at < committed()["a"]
    inspector.close()
    await sink.close()
