"""What every sink must do with several streams of one reader; `test_sinks` has the promises for one stream."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from connector_runner.protocols.batch import Batch, Operation
from connector_runner.protocols.errors import ActionRequiredError, FenceLostError, SchemaConflictError, TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import SinkContext, StoredStreams, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import INT64, STRING
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.outcome import ExitCode
from tests.kit.datasets import Dataset
from tests.kit.pipeline import Run, context
from tests.kit.waiting import until
from tests.scripted.bank import COLUMNS, Bank, BankSource

UPSERT = Operation.UPSERT
A, B = (StreamSchema(name, (Column("k", INT64, nullable=False), Column("v", STRING)), ("k",)) for name in "ab")
needs_tables = pytest.mark.needs_tables


def selection(
    dataset: Dataset, streams: Sequence[str], *, tables: dict[str, str] | None = None, **more: Any
) -> SinkContext:
    named = tables or {stream: f"{stream}_rows" for stream in streams}
    return context(dataset, tables=named, is_selection=True, **more)


def rows_of(schema: StreamSchema, number: int, *rows: tuple[Any, ...], **more: Any) -> Batch:
    return Batch(schema, list(rows), {"next": number}, size=50 * max(1, len(rows)), place=more.pop("place", {}), **more)


def balances(dataset: Dataset, bank: Bank, streams: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    found = {}
    for stream in streams:
        schema = StreamSchema(stream, COLUMNS, ("id",))
        found[stream] = [(row[0], row[1]) for row in dataset.read(schema, f"{stream}_rows")]
    return found


def truth(bank: Bank, streams: Sequence[str], moves: int | None = None) -> dict[str, list[tuple[int, int]]]:
    return {stream: bank.balances(stream, moves) for stream in streams}


async def carry(bank: Bank, sink: SinkContext, moves: int | None = None, *, wait: bool = True) -> Run:
    run = Run(lambda: BankSource(bank, until=moves), sink, wait=wait).start()
    assert await run.end() is ExitCode.END_OF_STREAM
    return run


async def watch_sum(dataset: Dataset, bank: Bank) -> list[int]:
    """The sum over all tables, asked for again and again in one statement; cancelled, it has found out enough."""
    parts = " + ".join(f"(SELECT sum(balance) FROM {stream}_rows)" for stream in bank.streams)
    seen: list[int] = []
    while True:
        with suppress(Exception):  # the tables are not there yet
            ((total,),) = await asyncio.to_thread(dataset.query, f"SELECT {parts}")
            if total is not None:
                seen.append(int(total))
                if seen[-1] != bank.total:
                    return seen
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("wait", [True, False])
@needs_tables
async def test_a_source_transaction_over_tables_is_whole_in_every_state(dataset: Dataset, wait: bool) -> None:
    bank = Bank(seed=3, moves=400)
    run = Run(lambda: BankSource(bank, break_every=57), selection(dataset, bank.streams), wait=wait).start()
    watching = asyncio.create_task(watch_sum(dataset, bank))
    try:
        assert await run.end() is ExitCode.END_OF_STREAM
        assert not watching.done(), f"a state with a part of a transaction was seen: {watching.result()[-1]}"
    finally:
        watching.cancel()
    assert balances(dataset, bank, bank.streams) == truth(bank, bank.streams)


@pytest.mark.parametrize("wait", [True, False])
async def test_runs_that_are_killed_lose_and_repeat_nothing_in_any_stream(dataset: Dataset, wait: bool) -> None:
    bank, random_ = Bank(seed=4, moves=300), random.Random(4)
    for number in range(1, 6):
        sink = selection(dataset, bank.streams, run=number)
        run = Run(lambda: BankSource(bank, break_every=23), sink, wait=wait).start()
        rows = random_.randrange(20, 90)
        await until(lambda: run.telemetry.totals.rows > rows or run.has_ended, "some rows")  # noqa: B023
        await run.kill()
        dataset.settle()
    await carry(bank, selection(dataset, bank.streams, run=9))
    assert balances(dataset, bank, bank.streams) == truth(bank, bank.streams)


async def test_a_schema_that_changes_in_one_stream_leaves_the_others_alone(dataset: Dataset) -> None:
    bank = Bank(seed=5, moves=200, wide_from=90)
    await carry(bank, selection(dataset, bank.streams))
    assert balances(dataset, bank, bank.streams) == truth(bank, bank.streams)
    wide = dataset.read(bank.schema("t1", 199), "t1_rows")
    assert {row[3] for row in wide} >= {f"note {row[2]}" for row in wide if row[2] >= 90}


async def test_rows_that_are_refused_in_one_stream_lie_beside_its_table(dataset: Dataset) -> None:
    sink = build_sink(selection(dataset, "ab", refusal_limit=3))
    claim = await sink.claim()
    for schema in (A, B):
        await sink.prepare(schema)
    bad = rows_of(B, 1, (1, "\ud800"), (2, "fine"), more=True)
    number = claim.number + 1
    mixed = Transaction(number, (rows_of(A, 1, (1, "a"), more=True), bad, rows_of(A, 1, (2, "b"))), "list")
    receipt = await written(sink.write, mixed, sink.recover)
    assert receipt.refused == 1
    assert dataset.query("SELECT stream FROM b_rows_dead_letters") == [("b",)]
    assert dataset.query("SELECT count(*) FROM a_rows_dead_letters") == [(0,)]
    if dataset.name != "http":
        assert dataset.read(A, "a_rows") == [(1, "a"), (2, "b")]
        assert dataset.read(B, "b_rows") == [(2, "fine")]
    hopeless = [rows_of(B, n, (n, "\ud800"), more=True) for n in range(2, 6)]
    good = rows_of(A, 6, (3, "c"))
    with pytest.raises(ActionRequiredError, match="refused 3 rows in a row"):
        await written(sink.write, Transaction(number + 1, (*hopeless, good), "list"), sink.recover)
    await sink.close()


async def written(write: Callable[[Transaction], Any], transaction: Transaction, recover: Callable[[], Any]) -> Any:
    try:
        return await write(transaction)
    except TransientError:  # asks for the same once more
        await recover()
        return await write(transaction)


async def test_who_was_overtaken_commits_no_more(dataset: Dataset) -> None:
    older, newer = build_sink(selection(dataset, "ab")), build_sink(selection(dataset, "ab", run=2))
    first = await older.claim()
    for schema in (A, B):
        await older.prepare(schema)
    await older.write(Transaction(first.number + 1, (rows_of(A, 1, (1, "a")), rows_of(B, 1, (1, "b"))), "list"))
    claim = await newer.claim()
    assert (claim.epoch, claim.number) == (first.epoch + 1, 1)
    assert {name: found and found.position for name, found in claim.checkpoints.items()} == {
        "a": {"next": 1}, "b": {"next": 1}
    }  # fmt: skip
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await older.write(Transaction(2, (rows_of(B, 2, (2, "older")),), "list"))
    if not isinstance(caught.value, FenceLostError):
        with pytest.raises(FenceLostError, match="run 2"):
            await older.recover()
    late = build_sink(selection(dataset, "ab"))
    with pytest.raises(FenceLostError, match="run 2 has already claimed"):
        await late.claim()
    for sink in (late, older, newer):
        await sink.close()


async def test_places_are_kept_apart_and_a_parked_stream_stays_where_it_was(dataset: Dataset) -> None:
    sink = build_sink(selection(dataset, "abc"))
    claim = await sink.claim()
    await sink.prepare(A)
    await sink.prepare(B)
    parked = {"next": 1, "mine": True}
    one = (rows_of(A, 1, (1, "a"), place={"copy": 3}), rows_of(B, 1, (1, "b"), place=parked))
    await sink.write(Transaction(claim.number + 1, one, "list"))
    await sink.write(Transaction(claim.number + 2, (rows_of(A, 7, (2, "a"), place={"copy": 3}),), "list"))
    assert await sink.recover() == claim.number + 2
    await sink.close()
    again = build_sink(selection(dataset, "abc", run=2))
    found = await again.claim()
    await again.close()
    assert {name: at and at.position for name, at in found.checkpoints.items()} == {
        "a": {"next": 7, "copy": 3}, "b": {"next": 1, "mine": True}, "c": None
    }  # fmt: skip
    assert found.places == {"a": {"copy": 3}, "b": parked}
    assert {at.identity for at in found.checkpoints.values() if at} == {"list"}


@pytest.mark.needs_transaction
async def test_streams_come_and_go_and_change_between_one_and_many(dataset: Dataset) -> None:
    """Each time with another selection of the same connector, from the positions of its streams."""
    bank = Bank(seed=6, moves=300)
    steps: list[tuple[str, int]] = [
        ("t0", 40), ("t1", 60), ("t0 t1 t2", 90), ("t1", 120), ("t0 t2", 150), ("t0 t1 t2", 180), ("t2 t1", 200),
        ("t0", 230), ("t1", 240), ("t0 t1 t2", 300),
    ]  # fmt: skip
    reached: dict[str, int] = {}
    for run, (streams, moves) in enumerate(steps, 1):
        names = streams.split()
        sink = selection(dataset, names, run=run)
        if len(names) == 1:
            sink = context(dataset, f"{streams}_rows", stream=streams, run=run)
        await carry(bank, sink, moves)
        reached.update(dict.fromkeys(names, moves))
        for name, at in reached.items():
            assert balances(dataset, bank, [name]) == truth(bank, [name], at), f"after {streams} until {moves}"
    wholes = dataset.query("SELECT count(*) FROM _connector_checkpoints WHERE position LIKE '{\"place\":%'")
    assert wholes == [(3,)]


@pytest.mark.needs_transaction
async def test_a_claim_fences_off_who_held_one_of_its_streams(dataset: Dataset) -> None:
    bank = Bank(seed=7, moves=50)
    alone = build_sink(context(dataset, "t0_rows", stream="t0"))
    claim = await alone.claim()
    many = build_sink(selection(dataset, bank.streams, run=2))
    taken = await many.claim()
    assert taken.epoch > claim.epoch
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await alone.write(Transaction(1))
    if not isinstance(caught.value, FenceLostError):
        with pytest.raises(FenceLostError, match="run 2"):
            await alone.recover()
    back = build_sink(context(dataset, "t0_rows", stream="t0", run=3))
    assert (await back.claim()).epoch > taken.epoch
    with pytest.raises((FenceLostError, TransientError)) as caught:
        await many.write(Transaction(1))
    if not isinstance(caught.value, FenceLostError):
        with pytest.raises(FenceLostError, match="run 3"):
            await many.recover()
    late = build_sink(selection(dataset, bank.streams, run=2))
    with pytest.raises(FenceLostError, match="run 3 has already claimed"):
        await late.claim()
    for sink in (alone, many, back, late):
        await sink.close()


@pytest.mark.needs_transaction
async def test_a_table_with_an_owner_is_refused_by_name_also_when_its_stream_was_let_go(dataset: Dataset) -> None:
    bank = Bank(moves=20)
    await carry(bank, selection(dataset, bank.streams))
    await carry(bank, selection(dataset, ["t0", "t1"], run=2))
    for tables in ({"x": "t2_rows"}, {"y": "free", "x": "t0_rows"}):
        other = build_sink(selection(dataset, (), tables=tables, connector="default/other"))
        with pytest.raises(
            SchemaConflictError, match=r"t[02]_rows is filled by stream t[02] of connector default/test"
        ):
            await other.claim()
        await other.close()
    assert dataset.query("SELECT count(*) FROM _connector_checkpoints WHERE connector <> 'default/test'") == [(0,)]


def test_two_streams_that_meet_in_one_table_are_refused_by_name(dataset: Dataset) -> None:
    for tables in ({"a": "one", "b": "one"}, {"a": "one", "b": "one_dead_letters"}):
        with pytest.raises(SchemaConflictError, match="streams a and b meet in one table"):
            build_sink(selection(dataset, (), tables=tables))
    with pytest.raises(SchemaConflictError, match="streams a and b meet"):
        build_sink(selection(dataset, (), tables={"a": "x", "b": "x_incidents"}, write_mode=WriteMode.APPEND))


@pytest.mark.needs_transaction
async def test_in_append_mode_equal_streams_may_share_a_table(dataset: Dataset) -> None:
    sink = build_sink(selection(dataset, (), tables={"a": "one", "b": "one"}, write_mode=WriteMode.APPEND))
    claim = await sink.claim()
    await sink.prepare(A)
    with pytest.raises(SchemaConflictError, match="streams a and b share table one"):
        await sink.prepare(StreamSchema("b", (*B.columns, Column("w", STRING)), ("k",)))
    await sink.prepare(B)
    await sink.write(Transaction(claim.number + 1, (rows_of(A, 1, (1, "a")), rows_of(B, 1, (1, "b"))), "list"))
    await sink.close()
    assert dataset.query("SELECT _stream, v FROM one ORDER BY _id") == [("a", "a"), ("b", "b")]


@pytest.mark.needs_transaction
async def test_a_reset_of_one_stream_fences_off_and_starts_only_that_one_over(dataset: Dataset) -> None:
    bank = Bank(seed=8, moves=60)
    await carry(bank, selection(dataset, bank.streams), 30)
    holder = build_sink(selection(dataset, bank.streams, run=2))
    await holder.claim()
    inspector = build_inspector(context(dataset, "t1_rows", stream="t1"))
    assert inspector.checkpoints()[0].position == {"next": 30, "part": 0, "schema": 1}
    assert inspector.reset_checkpoints() == 1
    inspector.close()
    with pytest.raises((FenceLostError, TransientError)):
        await holder.write(Transaction(1000))
    await holder.close()
    after = build_sink(selection(dataset, bank.streams, run=3))
    found = await after.claim()
    await after.close()
    assert [name for name, at in found.checkpoints.items() if at is None] == ["t1"]
    await carry(bank, selection(dataset, bank.streams, run=4))
    assert balances(dataset, bank, bank.streams) == truth(bank, bank.streams)


async def test_the_ledger_tells_what_it_knows_of_a_connector_before_any_claim(dataset: Dataset) -> None:
    bank = Bank(seed=9, moves=20)
    empty = build_inspector(selection(dataset, ["t0"]), create=True)
    assert empty.stored_streams() == StoredStreams()
    empty.close()
    await carry(bank, selection(dataset, bank.streams, selection='{"include":["t*"]}'))
    kept = bank.streams[1:]
    await carry(bank, selection(dataset, kept, run=2))
    inspector = build_inspector(selection(dataset, ["t0"]))
    stored = inspector.stored_streams()
    inspector.close()
    assert json.loads(stored.selection) == {"include": ["t*"]}, "a claim without a record leaves it as it is"
    assert stored.had_selection
    assert {(one.stream, one.table, one.has_position, one.is_member) for one in stored.streams} == {
        (stream, f"{stream}_rows", True, stream in kept) for stream in bank.streams
    }
