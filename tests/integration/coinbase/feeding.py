"""What these tests share: a source read in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from connector_runner.protocols.source import Checkpoint, SourceContext, WriteMode
from connector_runner.sources.coinbase import build_source
from connector_runner.sources.coinbase.source import CoinbaseSource
from tests.kit.reading import SourceReader
from tests.kit.report import RecordingReport


def source_of(config: Mapping[str, Any], report: RecordingReport | None = None) -> CoinbaseSource:
    source = build_source(SourceContext(config, "tests/feed", WriteMode.UPSERT, report or RecordingReport()))
    assert isinstance(source, CoinbaseSource)
    return source


class Reading(SourceReader):
    """A source that is being read into `batches`, by a task of its own; `gate` cleared: the dataset takes nothing."""

    source: CoinbaseSource

    def __init__(
        self, source: CoinbaseSource, report: RecordingReport, checkpoints: Mapping[str, Checkpoint | None]
    ) -> None:
        super().__init__()
        self.source = source
        self.report = report
        self._checkpoints = checkpoints
        self.looked_at = 0
        self.ids: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self._task: asyncio.Task[None] | None = None

    def build(self) -> CoinbaseSource:
        return self.source

    def checkpoints(self) -> Mapping[str, Checkpoint | None]:
        return self._checkpoints

    def start(self) -> None:
        self._task = asyncio.create_task(self._read())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.source.close()

    async def _read(self) -> None:
        while (batch := await self.take(None)) is not None:
            await self.gate.wait()
            self.store(batch)

    def rows(self) -> list[tuple[Any, ...]]:
        return [row for batch in self.batches for row in batch.rows]

    def details(self, kind: str) -> list[Mapping[str, Any]]:
        return [incident.detail for incident in self.incidents if incident.kind == kind]

    async def until(self, condition: Callable[[Reading], bool], deadline: float = 60.0) -> None:
        """Polls; fails with what the source failed with."""
        async with asyncio.timeout(deadline):
            while not condition(self):
                if self._task is not None and self._task.done():
                    self._task.result()
                await asyncio.sleep(0.02)


@asynccontextmanager
async def reading(
    config: Mapping[str, Any], stream: str, checkpoint: Checkpoint | None = None
) -> AsyncIterator[Reading]:
    report = RecordingReport()
    source = source_of(config, report)
    read = Reading(source, report, {stream: checkpoint})
    try:
        await read.open()
        read.start()
        yield read
    finally:
        await read.stop()
