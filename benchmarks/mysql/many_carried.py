"""One stream or many, carried from one server into a dataset in several runs, each from where the last one ended."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.carrying import Noting
from benchmarks.mysql.carried import copying
from benchmarks.mysql.workload import BULK, TABLE
from connector_runner.pipeline.engine import Engine
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.protocols.source import Source
from connector_runner.registry import build_inspector, build_sink
from tests.servers.mysqld import DatabaseServer

LONE_ROWS = 300
APART = 0.02
"""Seconds between lone rows."""


@dataclass(frozen=True)
class Dataset:
    """Where rows go."""

    name: str
    url: str


@dataclass
class Carried:
    """A connector: its streams are always carried into the same tables, under the same name.

    Attributes:
        rows: How many rows were committed, over all runs.
        runs: How many runs there were.
    """

    server: DatabaseServer
    dataset: Dataset
    streams: Sequence[str]
    name: str
    rows: int = 0
    runs: int = 0
    _started: list[tuple[Engine, asyncio.Task[Any]]] = field(default_factory=list)

    @property
    def context(self) -> SinkContext:
        tables = {stream: f"{self.name}_{stream.replace('.', '_')}" for stream in self.streams}
        url, is_selection = self.dataset.url, len(tables) > 1
        return SinkContext(
            lambda: url, tables, f"bench/{self.name}", is_selection=is_selection, uid=self.name, run=self.runs
        )

    def start(self, telemetry: Noting, held: Callable[[Source], Source] = lambda source: source) -> None:
        self.runs += 1
        engine = Engine(lambda: held(copying(self.server, telemetry)), build_sink(self.context), telemetry, wait=True)
        self._started.append((engine, asyncio.create_task(engine.run())))

    async def stop(self) -> None:
        engine, running = self._started.pop()
        engine.stop()
        await running

    async def until(self, telemetry: Noting, rows: int) -> None:
        """Waits for so many rows of this run.

        Raises:
            BaseException: What ended the run before.
        """
        _, running = self._started[-1]
        waiting = asyncio.create_task(telemetry.until(rows))
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            running.result()
            raise RuntimeError(f"{self.name} ended after {telemetry.stored} of {rows} rows")
        self.rows += rows

    async def copy(self) -> None:
        """The first run: until every table is copied and follows the log."""
        telemetry = Noting()
        self.start(telemetry)
        await self.until(telemetry, len(self.streams))
        await asyncio.to_thread(self.wait_for_copies)
        await self.stop()

    def wait_for_copies(self) -> None:
        """Until the dataset has every stream past its copy."""
        while not self._are_copied():
            time.sleep(0.1)

    def _are_copied(self) -> bool:
        inspector = build_inspector(self.context)
        try:
            positions = [checkpoint.position for checkpoint in inspector.checkpoints()]
        finally:
            inspector.close()
        return bool(positions) and all(position and not position.get("copy") for position in positions)

    async def follow(self, rows: int) -> dict[str, float]:
        """A run until so many rows are committed: rows a second, by wall clock and of CPU time.

        The first batch is handed over when all tables are prepared (the pipeline then makes an empty commit); time counts from there.
        """
        marks: list[tuple[float, float]] = []
        prepared = asyncio.Event()

        def note(_: Transaction) -> None:
            marks.append((time.perf_counter(), time.process_time()))
            prepared.set()

        telemetry = Noting(note)
        self.start(telemetry, lambda source: Held(source, prepared))
        await self.until(telemetry, rows)
        await self.stop()
        seconds, used = (marks[-1][place] - marks[0][place] for place in (0, 1))
        return {"rows/s": rows / seconds, "rows/s of CPU": rows / used}


class Held:
    """A source whose batches wait for an event."""

    def __init__(self, source: Source, event: asyncio.Event) -> None:
        self._source, self._event = source, event
        self.discover, self.open, self.close = source.discover, source.open, source.close

    async def batches(self) -> AsyncIterator[Batch]:
        await self._event.wait()
        async for batch in self._source.batches():
            yield batch


async def lone_rows(server: DatabaseServer, dataset: Dataset, tables: Sequence[str]) -> dict[str, float]:
    """Milliseconds (median) from a commit's answer to the commit in the dataset: of one stream, and of one with all others idle beside it."""
    found: dict[str, float] = {}
    for name, streams in (("alone", tables[:1]), ("many", tables)):
        server.execute(*(f"TRUNCATE TABLE {table}" for table in streams))
        stored: list[float] = []

        def note(transaction: Transaction, stored: list[float] = stored) -> None:
            if any(batch.rows and len(batch.rows[0]) > 1 for batch in transaction.batches):
                stored.append(time.perf_counter())

        server.execute(*(f"INSERT INTO {table} (a) VALUES (1)" for table in streams))
        carried, telemetry, lags = Carried(server, dataset, streams, f"lone_{name}"), Noting(note), []
        carried.start(telemetry)
        await carried.until(telemetry, len(streams))
        await asyncio.to_thread(carried.wait_for_copies)
        with server.session() as cursor:
            for number in range(LONE_ROWS):
                before = telemetry.stored
                await asyncio.to_thread(cursor.execute, f"INSERT INTO {tables[0]} (a) VALUES ({number})")
                committed = time.perf_counter()
                await telemetry.until(before + 1)
                lags.append((stored[-1] - committed) * 1000)
                await asyncio.sleep(APART)
        await carried.stop()
        found[name] = statistics.median(lags)
    return found


async def copy_seconds(
    server: DatabaseServer, datasets: Sequence[Dataset], tables: int, rows: int
) -> dict[str, dict[str, float]]:
    """Rows a second of the copy of many tables, and of one table with as many rows, from the first commit to the last."""
    server.execute("CREATE DATABASE e", TABLE.replace("d.t ", "e.one "))
    fill = BULK.replace("d.t", "e.one")
    for _ in range(-(-tables * rows // 50_000)):
        server.execute(fill)
    names = [f"e.m{number:03}" for number in range(tables)]
    for place, name in enumerate(names):
        first = place * rows
        server.execute(
            f"CREATE TABLE {name} LIKE e.one",
            f"INSERT INTO {name} SELECT * FROM e.one WHERE id > {first} AND id <= {first + rows}",
        )
    total = {"one": server.query("SELECT COUNT(*) FROM e.one")[0][0]}
    total["many"] = sum(server.query(f"SELECT COUNT(*) FROM {name}")[0][0] for name in names)
    return {
        dataset.name: {
            shape: (await Carried(server, dataset, streams, f"copy_{shape}").follow(total[shape]))["rows/s"]
            for shape, streams in (("one", ["e.one"]), ("many", names))
        }
        for dataset in datasets
    }
