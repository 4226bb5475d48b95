"""Runs the real pipeline inside a test: no separate process, no stubs, everything else as in a pod."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.pace import Pace
from connector_runner.pipeline.queue import Limits
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch, Operation, Row
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import RefusedRows, Sink, SinkContext
from connector_runner.protocols.source import Checkpoint, Opened, Report, Source, WriteMode, only_stream
from connector_runner.protocols.types import INT64, STRING
from connector_runner.registry import build_sink
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.schemas.outcome import ExitCode
from tests.kit.datasets import Dataset

DEADLINE = 60.0
SMALL = StreamSchema("test", (Column("k", INT64, nullable=False), Column("v", STRING)), ("k",))
PAIR = StreamSchema("test", (Column("a", STRING), Column("b", INT64), Column("v", STRING)), ("a", "b"))


def context(dataset: Dataset, table: str = "rows", stream: str = "test", **changes: Any) -> SinkContext:
    values: dict[str, Any] = {
        "read_url": lambda: dataset.url, "tables": {stream: table}, "connector": "default/test", "uid": "uid-1",
        "run": 1, "write_mode": WriteMode.UPSERT, "refused_rows": RefusedRows.DEAD_LETTER, "wait": True,
        "directory": dataset.directory, "read_options": lambda: getattr(dataset, "options", {}), **changes,
    }  # fmt: skip
    return SinkContext(**values)


def batch(schema: StreamSchema, position: int, *operations: tuple[Operation, Row], **more: Any) -> Batch:
    """A batch of (operation, row) pairs; without operations only a newer position."""
    codes = bytes(operation for operation, _ in operations)
    return Batch(
        schema, [row for _, row in operations], {"next": position}, codes, size=max(1, 50 * len(codes)), **more
    )


class Reporting:
    """A source whose reports a `Run` forwards to its own telemetry."""

    report: Report | None = None


class ListSource(Reporting):
    """Yields batches from a list; the position after the n-th is {"next": n + 1} or that of the batch.

    Attributes:
        read: The number of batches that were taken.
    """

    def __init__(self, batches: Sequence[Batch], identity: str = "list", *, endless: bool = False) -> None:
        self._batches = list(batches)
        self._more = asyncio.Event()
        self._identity = identity
        self._endless = endless
        self._first = 0
        self.read = 0

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        return Catalogue((), 0)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        _, checkpoint = only_stream(checkpoints, "LIST")
        if checkpoint is not None:
            positions = [dict(batch.position) for batch in self._batches]
            self._first = positions.index(dict(checkpoint.position)) + 1
        if self.report is not None:
            self.report.connected()
        schema = self._batches[min(self._first, len(self._batches) - 1)].schema
        return Opened({schema.stream: schema}, self._identity)

    def add(self, more: Batch) -> None:
        """Makes the source endless."""
        self._batches.append(more)
        self._more.set()

    async def batches(self) -> AsyncIterator[Batch]:
        place = self._first
        while True:
            while place < len(self._batches):
                yield self._batches[place]
                place += 1
                self.read += 1
            if not self._endless:
                return
            self._more.clear()
            await self._more.wait()

    async def close(self) -> None:
        pass


class Recorder:
    """The log as a list."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, level: str, message: str, /, **fields: Any) -> None:
        self.lines.append((level, message, fields))

    def text(self) -> str:
        return "\n".join(f"{level}: {message} {fields}" for level, message, fields in self.lines)


class CountingMeters(NoMeters):
    """The counts, by name."""

    def __init__(self) -> None:
        self.counts = Counter[str]()

    def count(self, name: str, amount: int) -> None:
        self.counts[name] += amount


class Run:
    """One execution in the test's own event loop."""

    def __init__(
        self, source: Callable[[], Source], sink: SinkContext | Sink, *, wait: bool = True, limits: Limits | None = None,
        retry: float = 30.0,
    ) -> None:  # fmt: skip
        self.log = Recorder()
        self.meters = CountingMeters()
        self.telemetry = Telemetry(self.log, self.meters)
        target = build_sink(sink) if isinstance(sink, SinkContext) else sink

        def build() -> Source:
            built = source()
            if isinstance(built, Reporting):
                built.report = self.telemetry
            return built

        self.engine = Engine(
            build, target, self.telemetry, wait=wait, limits=limits, pace=Pace(heartbeat=0.2, idle=5.0, retry=retry)
        )
        self._task: asyncio.Task[ExitCode] | None = None

    def start(self) -> Run:
        self._task = asyncio.create_task(self.engine.run())
        return self

    async def end(self) -> ExitCode:
        assert self._task is not None
        return await asyncio.wait_for(self._task, DEADLINE)

    @property
    def has_ended(self) -> bool:
        return self._task is not None and self._task.done()

    async def stop(self) -> ExitCode:
        self.engine.stop()
        return await self.end()

    async def kill(self) -> None:
        """Kills the run as far as a task can be killed; the kill tests kill real processes."""
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._task


async def run_to_end(batches: Sequence[Batch], sink: SinkContext, *, wait: bool = True, identity: str = "list") -> Run:
    run = Run(lambda: ListSource(batches, identity), sink, wait=wait).start()
    assert await run.end() is ExitCode.END_OF_STREAM
    return run
