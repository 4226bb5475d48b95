"""Reader and writer over a source from a list and a dataset that hangs when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

import pytest

from connector_runner.pipeline import writer
from connector_runner.pipeline.metrics import PrometheusMeters
from connector_runner.pipeline.queue import BatchQueue, Limits
from connector_runner.pipeline.reader import Reader
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch, Incident, Operation
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, Transaction
from connector_runner.protocols.source import Checkpoint, Opened
from connector_runner.protocols.types import INT64
from connector_runner.resilience.backoff import Backoff
from connector_runner.schemas.outcome import ExitCode
from tests.kit.pipeline import ListSource, Run, batch
from tests.kit.waiting import until

SCHEMA = StreamSchema("test", (Column("k", INT64),), ("k",))


class HangingSink:
    """A dataset in memory; the step named `hangs` does not come back before `go` is set."""

    def __init__(self, hangs: str, failures: int = 0, stream: str = "test") -> None:
        self._hangs = hangs
        self._stream = stream
        self._failures = failures
        self.go = asyncio.Event()
        self.number = 0
        self.prepared: list[str] = []

    async def _step(self, name: str) -> None:
        if name == self._hangs:
            await self.go.wait()

    async def claim(self) -> Claim:
        await self._step("claim")
        return Claim({self._stream: None}, 1, 0, tables={self._stream: "one"})

    async def prepare(self, schema: StreamSchema, *, renews: bool = False) -> None:
        await self._step("prepare")
        self.prepared.append(schema.stream)

    async def write(self, transaction: Transaction) -> Receipt:
        if transaction.batches:
            await self._step("write")
            if self._failures:
                self._failures -= 1
                raise TransientError("away")
        self.number = transaction.number
        return Receipt()

    async def recover(self) -> int:
        await self._step("recover")
        return self.number

    async def select(self, tables: Mapping[str, str] | None, record: str = "") -> Claim:
        return Claim(dict.fromkeys(tables or ()), 1, self.number, tables=tables or {})

    async def park(self, stream: str, incident: Incident) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        self.go.set()


def one_row() -> ListSource:
    return ListSource([batch(SCHEMA, 1, (Operation.UPSERT, (1,)), event_time=1000.0)], endless=True)


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("claim", "the claim of the dataset is not confirmed"),
        ("prepare", "the preparation of the table is not confirmed"),
        ("write", "a transaction is not confirmed"),
        ("recover", "the new connection is not confirmed"),
    ],
)
async def test_a_dataset_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, step: str, text: str, wait: bool
) -> None:
    monkeypatch.setattr(writer, "SLOW_SECONDS", 0.01)
    sink = HangingSink(step, failures=step == "recover")
    run = Run(one_row, sink, wait=wait).start()
    await until(lambda: text in run.log.text(), "it is told")
    assert not run.telemetry.health.is_ready
    sink.go.set()
    await until(lambda: run.telemetry.totals.rows == 1 and run.telemetry.health.is_ready, "the row is stored")
    assert await run.stop() is ExitCode.TERMINATED


async def test_the_lag_grows_while_the_dataset_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SLOW_SECONDS", 0.01)
    now = [1005.0]
    sink = HangingSink("write")
    run = Run(one_row, sink, wait=False)
    run.telemetry.clock = lambda: now[0]
    run.start()
    await until(lambda: run.telemetry.totals.lag == 5, "the lag of what is on its way")
    now[0] = 1100.0
    await until(lambda: run.telemetry.totals.lag == 100, "it has grown")
    await run.kill()


@pytest.mark.parametrize(("table", "prepared"), [("one", 1), ("two", 2)])
async def test_a_stream_that_gets_another_table_is_prepared_again(table: str, prepared: int) -> None:
    sink = HangingSink("")
    run = Run(one_row, sink).start()
    await until(lambda: run.telemetry.totals.rows == 1, "the row is stored")
    await run.engine.select({"test": table})
    await until(lambda: run.telemetry.totals.rows == 2, "it is stored in the table of now")
    assert sink.prepared == ["test"] * prepared
    assert await run.stop() is ExitCode.TERMINATED


async def test_rows_and_bytes_are_counted_by_operation() -> None:
    meters = PrometheusMeters()
    rows = [(Operation.UPSERT, (1,)), (Operation.UPSERT, (2,)), (Operation.DELETE, (1,)), (Operation.REPLACE, ())]
    run = Run(lambda: ListSource([batch(SCHEMA, 1, *rows)]), HangingSink(""))
    run.telemetry.meters = meters
    assert await run.start().end() is ExitCode.END_OF_STREAM
    lines = meters.exposition().decode().splitlines()
    for operation, count in {"upsert": 2, "delete": 1, "insert": 0, "replace": 1}.items():
        assert f'connector_rows_total{{operation="{operation}"}} {count:.1f}' in lines
        assert f'connector_bytes_total{{operation="{operation}"}} {count * 50:.1f}' in lines


class StubbornSource(ListSource):
    """Opens and then waits for ever."""

    opened: asyncio.Event

    async def batches(self) -> AsyncIterator[Batch]:
        self.opened.set()
        await asyncio.Event().wait()
        async for item in super().batches():
            yield item


async def test_the_end_counts_also_when_secrets_are_rotated_in_the_same_moment() -> None:
    opened = asyncio.Event()

    def build() -> StubbornSource:
        source = StubbornSource([batch(SCHEMA, 1)])
        source.opened = opened
        return source

    telemetry = Telemetry(lambda *_, **__: None, NoMeters())
    reader = Reader(build, BatchQueue(Limits()), telemetry, Backoff(lambda: 1.0), lambda _: None)
    task = asyncio.create_task(reader.run(Claim({"test": None}, 1, 0)))
    await opened.wait()
    reader.reconnect()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 10)
    assert task.cancelled()


class LostWhileOpening(ListSource):
    """Its connection is gone again before `open` returns, and comes back when the test says so."""

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        opened = await super().open(checkpoints)
        assert self.report is not None
        self.report.disconnected("the feed hung up")
        return opened


async def test_only_the_source_says_that_it_is_connected() -> None:
    source = LostWhileOpening([batch(SCHEMA, 1, (Operation.UPSERT, (1,)))], endless=True)
    run = Run(lambda: source, HangingSink("")).start()
    await until(lambda: run.telemetry.totals.rows == 1, "the row is stored")
    assert run.telemetry.health.problems() == ["the feed hung up"]
    run.telemetry.connected()
    assert run.telemetry.health.is_ready
    assert await run.stop() is ExitCode.TERMINATED


class Respelled(ListSource):
    """Spells the id of its stream otherwise than it was selected, and loses its connection once."""

    asked: list[list[str]]

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        self.asked.append(list(checkpoints))
        opened = await super().open(checkpoints)
        return Opened(dict.fromkeys(checkpoints, next(iter(opened.schemas.values()))), opened.identity)

    async def batches(self) -> AsyncIterator[Batch]:
        async for item in super().batches():
            yield item
            if len(self.asked) == 1:
                raise TransientError("lost", retry_after=0)


async def test_a_source_may_spell_the_id_of_its_stream_otherwise() -> None:
    asked: list[list[str]] = []

    def build() -> Respelled:
        source = Respelled([batch(SCHEMA, number, (Operation.UPSERT, (number,))) for number in (1, 2)])
        source.asked = asked
        return source

    run = Run(build, HangingSink("", stream="OTHER"))
    assert await run.start().end() is ExitCode.END_OF_STREAM
    assert asked == [["OTHER"], ["OTHER"]]
    assert run.telemetry.totals.rows == 2
