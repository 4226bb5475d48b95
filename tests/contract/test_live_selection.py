"""What happens to a selection while its runner lives, in every sink: streams come, go, fail alone, and come back."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from connector_runner.protocols.batch import Batch, Incident
from connector_runner.protocols.errors import ActionRequiredError, FenceLostError, SchemaConflictError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.protocols.source import Checkpoint, Opened
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.outcome import ExitCode
from tests.contract.test_many_streams import A, B, balances, carry, rows_of, selection, truth, written
from tests.kit.datasets import Dataset
from tests.kit.pipeline import Run
from tests.kit.waiting import until
from tests.scripted.bank import COLUMNS, Bank, BankSource

needs_tables = pytest.mark.needs_tables


class Gate:
    """How many moves the source may hand over."""

    def __init__(self) -> None:
        self.moves = 0
        self._changed = asyncio.Event()

    def open(self, moves: int) -> None:
        self.moves = moves
        self._changed.set()

    async def passes(self, batch: Batch) -> None:
        while batch.position["next"] > self.moves:
            self._changed.clear()
            await self._changed.wait()


class GatedSource(BankSource):
    """Stops at the gate, so that the test knows what was handed over."""

    def __init__(self, bank: Bank, gate: Gate) -> None:
        super().__init__(bank, endless=True)
        self._gate = gate

    async def batches(self) -> AsyncIterator[Batch]:
        async for batch in super().batches():
            await self._gate.passes(batch)
            yield batch


def named(streams: Sequence[str]) -> dict[str, str]:
    return {stream: f"{stream}_rows" for stream in streams}


def begin(bank: Bank, gate: Gate, sink: SinkContext, *, wait: bool = True) -> Run:
    return Run(lambda: GatedSource(bank, gate), sink, wait=wait).start()


async def settled(run: Run, dataset: Dataset, bank: Bank, streams: Sequence[str], moves: int) -> None:
    """Waits until these tables are as they are after so many moves."""

    def is_there() -> bool:
        assert not run.has_ended, run.log.text()
        try:
            return balances(dataset, bank, streams) == truth(bank, streams, moves)
        except Exception:
            return False  # a table is not there yet

    await until(is_there, f"{', '.join(streams)} after {moves} moves")


@pytest.mark.parametrize("wait", [True, False])
@needs_tables
async def test_streams_come_and_go_while_the_runner_lives(dataset: Dataset, wait: bool) -> None:
    bank, gate, random_ = Bank(seed=21, tables=5, moves=400), Gate(), random.Random(21)
    run = begin(bank, gate, selection(dataset, ["t0", "t1"]), wait=wait)
    for moves in range(20, 400, 20):
        gate.open(moves - random_.randrange(20))
        await asyncio.sleep(0)  # somewhere before, in or after the moves that are let through
        selected = sorted(random_.sample(bank.streams, random_.randint(1, 5)))
        claim = await run.engine.select(named(selected))
        assert set(claim.checkpoints) == set(selected)
        gate.open(moves)
        await settled(run, dataset, bank, selected, moves)
    gate.open(400)
    await run.engine.select(named(bank.streams))
    await settled(run, dataset, bank, bank.streams, 400)
    assert dataset.query("SELECT count(*) FROM _connector_checkpoints WHERE position LIKE '{\"place\":%'") == [(5,)]
    assert await run.stop() is ExitCode.TERMINATED


async def test_a_stream_that_leaves_keeps_exactly_what_it_had(dataset: Dataset) -> None:
    bank, gate = Bank(seed=22, moves=120), Gate()
    run = begin(bank, gate, selection(dataset, bank.streams))
    gate.open(40)
    await settled(run, dataset, bank, bank.streams, 40)
    await run.engine.select(named(["t0", "t2"]))
    gate.open(80)
    await settled(run, dataset, bank, ["t0", "t2"], 80)
    assert balances(dataset, bank, ["t1"]) == truth(bank, ["t1"], 40)
    (left,) = dataset.query("SELECT position FROM _connector_checkpoints WHERE stream = 't1'")
    assert '"next":40' in left[0]
    assert "place" not in left[0]
    await run.engine.select(named(bank.streams))
    gate.open(120)
    await settled(run, dataset, bank, bank.streams, 120)
    assert await run.stop() is ExitCode.TERMINATED


@pytest.mark.needs_transaction
async def test_a_stream_that_gets_another_table_starts_there_and_leaves_the_old_one_as_it_was(dataset: Dataset) -> None:
    bank, gate = Bank(seed=31, moves=160), Gate()
    run = begin(bank, gate, selection(dataset, bank.streams))
    gate.open(40)
    await settled(run, dataset, bank, bank.streams, 40)
    for moves, table, claimed in ((80, "moved_rows", None), (120, "t1_rows", 40), (160, "moved_rows", 80)):
        claim = await run.engine.select({**named(bank.streams), "t1": table})
        checkpoint = claim.checkpoints["t1"]
        assert (checkpoint and checkpoint.position["next"]) == claimed  # where it was in this table
        gate.open(moves)
        await settled(run, dataset, bank, ["t0", "t2"], moves)
        other = "moved_rows" if table == "t1_rows" else "t1_rows"
        schema = StreamSchema("t1", COLUMNS, ("id",))
        assert [row[:2] for row in dataset.read(schema, table)] == bank.balances("t1", moves)
        assert [row[:2] for row in dataset.read(schema, other)] == bank.balances("t1", moves - 40)
    assert await run.stop() is ExitCode.TERMINATED


async def test_a_change_of_the_selection_is_refused_to_who_was_overtaken(dataset: Dataset) -> None:
    older, newer = build_sink(selection(dataset, "ab")), build_sink(selection(dataset, "ab", run=2))
    await older.claim()
    await newer.claim()
    before = dataset.query("SELECT connector, stream, epoch, position FROM _connector_checkpoints ORDER BY 2")
    for change in (lambda: older.select({"a": "a_rows"}), lambda: older.park("a", Incident("parked", "a", "m"))):
        with pytest.raises((FenceLostError, TransientError)) as caught:
            await change()
        if not isinstance(caught.value, FenceLostError):
            with pytest.raises(FenceLostError, match="run 2"):
                await older.recover()
    assert dataset.query("SELECT connector, stream, epoch, position FROM _connector_checkpoints ORDER BY 2") == before
    for sink in (older, newer):
        await sink.close()


async def test_an_added_stream_is_fenced_off_from_who_held_it(dataset: Dataset) -> None:
    sink = build_sink(selection(dataset, "a", run=1))
    claim = await sink.claim()
    await sink.prepare(A)
    await sink.write(Transaction(claim.number + 1, (rows_of(A, 1, (1, "a")),), "list"))
    added = await sink.select({"a": "a_rows", "b": "b_rows"})
    assert {stream: found and found.position for stream, found in added.checkpoints.items()} == {
        "a": {"next": 1}, "b": None
    }  # fmt: skip
    assert (added.epoch, added.number) == (claim.epoch, claim.number + 1)
    await sink.prepare(B)
    await sink.write(Transaction(claim.number + 2, (rows_of(B, 2, (1, "b")),), "list"))
    left = await sink.select({"b": "b_rows"})
    assert {stream: found and found.position for stream, found in left.checkpoints.items()} == {"b": {"next": 2}}
    await sink.write(Transaction(claim.number + 3, (rows_of(B, 3, (2, "b")),), "list"))
    again = await sink.select({"a": "a_rows", "b": "b_rows"}, '{"streams":["a","b"]}')
    assert {stream: found and found.position for stream, found in again.checkpoints.items()} == {
        "a": {"next": 2}, "b": {"next": 3}
    }  # fmt: skip
    assert await sink.recover() == claim.number + 3
    await sink.close()
    inspector = build_inspector(selection(dataset, ()))
    assert json.loads(inspector.stored_streams().selection) == {"streams": ["a", "b"]}
    inspector.close()


BREAKS = {
    "altered": (
        "ALTER TABLE t1_rows RENAME COLUMN balance TO saldo",
        "ALTER TABLE t1_rows RENAME COLUMN saldo TO balance",
    ),
    "away": ("ALTER TABLE t1_rows RENAME TO hidden", "ALTER TABLE hidden RENAME TO t1_rows"),
    "refuses rows, sqlite": (
        "CREATE TRIGGER no BEFORE INSERT ON t1_rows BEGIN SELECT RAISE(ABORT, 'no more rows'); END",
        "DROP TRIGGER no",
    ),
    "refuses rows, postgresql": (
        "ALTER TABLE t1_rows ADD CONSTRAINT no CHECK (balance IS NULL) NOT VALID",
        "ALTER TABLE t1_rows DROP CONSTRAINT no",
    ),
}


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("kind", ["altered", "away", "refuses rows"])
@needs_tables
async def test_a_stream_whose_table_was_altered_is_parked_alone_and_joins_once_it_is_mended(
    dataset: Dataset, kind: str, wait: bool
) -> None:
    bank, gate = Bank(seed=23, moves=300), Gate()
    run = begin(bank, gate, selection(dataset, bank.streams, isolates=True, refusal_limit=1), wait=wait)
    gate.open(100)
    await settled(run, dataset, bank, bank.streams, 100)
    broken, mended = BREAKS.get(kind) or BREAKS[f"{kind}, {dataset.name}"]
    dataset.execute(broken)
    gate.open(200)
    others = ["t0", "t2"]
    await settled(run, dataset, bank, others, 200)
    assert run.telemetry.streams.counts() == {"selected": 3, "copying": 0, "following": 2, "failed": 1}
    assert "t1" in run.telemetry.streams.failed()
    assert run.meters.counts["parked_streams"] == 1
    kinds = dataset.query("SELECT kind, stream, subject, position FROM t1_rows_incidents")
    assert [row[:3] for row in kinds] == [("parked", "t1", "t1")]
    dataset.execute(mended)
    assert balances(dataset, bank, ["t1"]) == truth(bank, ["t1"], 100), "nothing after the last whole transaction"
    claim = await run.engine.select(named(bank.streams))
    at = claim.checkpoints["t1"]
    assert at is not None
    assert 100 <= at.position["next"] < 200
    gate.open(300)
    await settled(run, dataset, bank, bank.streams, 300)
    assert run.telemetry.streams.counts()["failed"] == 0
    assert await run.stop() is ExitCode.TERMINATED


class WithoutOne(BankSource):
    """Can't build the schema of t1."""

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        opened = await super().open({stream: at for stream, at in checkpoints.items() if stream != "t1"})
        return Opened(opened.schemas, opened.identity, {"t1": ActionRequiredError("nobody knows its columns")})


async def test_a_stream_that_the_source_can_not_open_stays_where_it_was(dataset: Dataset) -> None:
    bank = Bank(seed=27, moves=150)
    await carry(bank, selection(dataset, bank.streams), 50)
    without = Run(lambda: WithoutOne(bank, until=100), selection(dataset, bank.streams, run=2, isolates=True)).start()
    assert await without.end() is ExitCode.END_OF_STREAM
    assert without.telemetry.streams.failed() == {"t1": "nobody knows its columns"}
    assert balances(dataset, bank, ["t0", "t2"]) == truth(bank, ["t0", "t2"], 100)
    assert balances(dataset, bank, ["t1"]) == truth(bank, ["t1"], 50)
    await carry(bank, selection(dataset, bank.streams, run=3))
    assert balances(dataset, bank, bank.streams) == truth(bank, bank.streams)


@needs_tables
async def test_streams_that_failed_are_tried_again_without_being_asked(dataset: Dataset) -> None:
    dataset.execute("CREATE TABLE t1_rows (id text, other text)")
    other = build_sink(selection(dataset, (), tables={"x": "t2_rows"}, connector="default/other"))
    await other.claim()
    await other.close()
    bank, gate = Bank(seed=26, moves=200), Gate()
    run = Run(lambda: GatedSource(bank, gate), selection(dataset, bank.streams, isolates=True), retry=0.3).start()
    gate.open(100)
    await settled(run, dataset, bank, ["t0"], 100)
    assert set(run.telemetry.streams.failed()) == {"t1", "t2"}
    dataset.execute("DROP TABLE t1_rows")
    dataset.execute("DELETE FROM _connector_checkpoints WHERE connector = 'default/other'")
    gate.open(200)
    await settled(run, dataset, bank, bank.streams, 200)
    await until(lambda: not run.telemetry.streams.failed(), "no failed stream")
    assert await run.stop() is ExitCode.TERMINATED


@pytest.mark.parametrize("wait", [True, False])
async def test_a_stream_whose_rows_are_refused_past_the_limit_is_parked_alone(dataset: Dataset, wait: bool) -> None:
    sink = build_sink(selection(dataset, "ab", isolates=True, refusal_limit=2, wait=wait))
    claim = await sink.claim()
    for schema in (A, B):
        await sink.prepare(schema)
    number = claim.number + 1
    await sink.write(Transaction(number, (rows_of(A, 1, (1, "a"), more=True), rows_of(B, 1, (1, "b"))), "list"))
    hopeless = [rows_of(B, 2, (n, "\ud800"), more=True) for n in range(2, 6)]
    mixed = Transaction(number + 1, (*hopeless, rows_of(A, 2, (2, "a"))), "list")
    with pytest.raises(ActionRequiredError, match="refused 2 rows in a row") as caught:
        await written(sink.write, mixed, sink.recover)
    assert caught.value.stream == "b"
    await sink.recover()
    await sink.park("b", Incident("parked", "b", "m"))
    await sink.write(Transaction(number + 1, (rows_of(A, 2, (2, "a")),), "list"))
    await sink.close()
    again = build_sink(selection(dataset, "ab", run=2))
    found = await again.claim()
    await again.close()
    assert {stream: at and at.position for stream, at in found.checkpoints.items()} == {
        "a": {"next": 2}, "b": {"next": 1}
    }  # fmt: skip


@needs_tables
async def test_a_table_that_does_not_fit_or_belongs_to_another_fails_alone(dataset: Dataset) -> None:
    dataset.execute("CREATE TABLE t1_rows (id text, other text)")
    other = build_sink(selection(dataset, (), tables={"x": "t2_rows"}, connector="default/other"))
    await other.claim()
    await other.close()
    bank, gate = Bank(seed=24, tables=5, moves=50), Gate()
    tables = {**named(bank.streams), "t4": "t3_rows"}
    run = begin(bank, gate, selection(dataset, (), tables=tables, isolates=True))
    gate.open(50)
    await settled(run, dataset, bank, ["t0", "t3"], 50)
    failed = run.telemetry.streams.failed()
    assert set(failed) == {"t1", "t2", "t4"}
    assert "default/other" in failed["t2"]
    assert "t3 and t4 meet in one table" in failed["t4"]
    assert run.telemetry.streams.counts() == {"selected": 5, "copying": 0, "following": 2, "failed": 3}
    assert await run.stop() is ExitCode.TERMINATED
    assert dataset.query("SELECT id FROM t1_rows") == []


@needs_tables
@pytest.mark.parametrize("isolates", [True, False])
async def test_the_run_ends_when_streams_may_not_be_isolated_or_none_is_left(dataset: Dataset, isolates: bool) -> None:
    dataset.execute("CREATE TABLE t1_rows (id text, other text)")
    if isolates:
        dataset.execute("CREATE TABLE t0_rows (id text, other text)")
    bank = Bank(seed=25, tables=2, moves=50)
    run = Run(lambda: BankSource(bank), selection(dataset, bank.streams, isolates=isolates)).start()
    with pytest.raises(SchemaConflictError):
        await run.end()


@pytest.mark.needs_transaction
async def test_all_streams_belong_to_others(dataset: Dataset) -> None:
    other = build_sink(selection(dataset, (), tables={"x": "t0_rows"}, connector="default/other"))
    await other.claim()
    await other.close()
    run = Run(lambda: BankSource(Bank(moves=5)), selection(dataset, ["t0"], isolates=True)).start()
    with pytest.raises(SchemaConflictError, match="default/other"):
        await run.end()
