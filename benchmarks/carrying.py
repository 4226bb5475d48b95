"""What benchmarks of whole streams share: a source from memory, and the time until rows are committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.sink import Receipt, SinkContext, Transaction
from connector_runner.protocols.source import Checkpoint, Opened, Source
from connector_runner.registry import build_sink
from connector_runner.schemas.catalogue import Catalogue


class Replay:
    """A source of batches from memory: with it the sink's own limit is measured."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        return Catalogue((), 0)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        return Opened(dict.fromkeys(checkpoints, self._batches[0].schema), "replay")

    async def batches(self) -> AsyncIterator[Batch]:
        for batch in self._batches:
            yield batch
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


class Noting(Telemetry):
    """Calls `noted` with each committed transaction; `until` waits for a number of rows."""

    def __init__(self, noted: Callable[[Transaction], None] = lambda _: None) -> None:
        super().__init__(lambda *_args, **_fields: None, NoMeters())
        self._noted = noted
        self._changed = asyncio.Event()
        self.stored = 0
        self.last = 0.0

    def committed(self, transaction: Transaction, receipt: Receipt, seconds: float) -> None:
        super().committed(transaction, receipt, seconds)
        self.stored += sum(len(batch.rows) for batch in transaction.batches)
        self.last = time.perf_counter()
        self._noted(transaction)
        self._changed.set()

    async def until(self, rows: int) -> None:
        while self.stored < rows:
            self._changed.clear()
            await self._changed.wait()


async def carry(
    dataset: str, stream: str, rows: int, build: Callable[[Telemetry], Source], telemetry: Noting | None = None
) -> float:
    """Seconds until so many rows are committed into a fresh table.

    Raises:
        BaseException: What ended the pipeline before.
    """
    telemetry = telemetry or Noting()
    table = f"t_{time.monotonic_ns()}"
    sink = build_sink(SinkContext(lambda: dataset, {stream: table}, f"bench/{table}", uid="u"))
    engine = Engine(lambda: build(telemetry), sink, telemetry, wait=True)
    start = time.perf_counter()
    running: asyncio.Task[Any] = asyncio.create_task(engine.run())
    waiting = asyncio.create_task(telemetry.until(rows))
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        running.result()
        raise RuntimeError(f"the stream ended after {telemetry.stored} of {rows} rows")
    seconds = telemetry.last - start
    engine.stop()
    await running
    return seconds
