"""Several streams of one source, read in this process or carried by a runner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from connector_runner.protocols.source import Checkpoint, Source, SourceContext, WriteMode
from connector_runner.sources.coinbase import build_source
from connector_runner.sources.coinbase.streams import STREAMS
from tests.integration.coinbase.feeding import Reading, source_of
from tests.kit.datasets import SqliteDataset
from tests.kit.pipeline import Run, context
from tests.kit.report import RecordingReport
from tests.kit.waiting import until
from tests.simulators.coinbase.process import Simulator

PRODUCTS = ("BTC-USD", "ETH-USD", "LINK-USD")
SHARED = ("ticker", "matches", "heartbeat")
WORDS = "Invalid product ID provided"


@asynccontextmanager
async def reading(config: Mapping[str, Any], checkpoints: Mapping[str, Checkpoint | None]) -> AsyncIterator[Reading]:
    report = RecordingReport()
    source = source_of(config, report)
    read = Reading(source, report, checkpoints)
    try:
        opened = await read.open()
        known = {stream for stream, at in checkpoints.items() if at or stream not in opened.failed}
        assert opened.schemas == {stream: STREAMS[stream].schema for stream in known}
        read.start()
        yield read
    finally:
        await read.stop()


def new(*streams: str) -> dict[str, Checkpoint | None]:
    return dict.fromkeys(streams)


def rows_of(read: Reading, stream: str) -> list[tuple[Any, ...]]:
    return [row for batch in read.batches if batch.schema.stream == stream for row in batch.rows]


def incidents_of(read: Reading, stream: str) -> dict[str, Mapping[str, Any]]:
    found = [incident for batch in read.batches if batch.schema.stream == stream for incident in batch.incidents]
    return {incident.kind: {"subject": incident.subject, **incident.detail} for incident in found}


def start(
    config: Mapping[str, Any], dataset: SqliteDataset, *streams: str, run: int, is_selection: bool = False
) -> Run:
    """A run with one stream or several; each has a table with its name."""
    tables = {stream: stream for stream in streams}

    def build() -> Source:
        return build_source(SourceContext(config, "default/test", WriteMode.UPSERT, started.telemetry))

    started = Run(build, context(dataset, run=run, tables=tables, is_selection=is_selection or len(streams) > 1))
    return started.start()


def table(dataset: SqliteDataset, stream: str) -> list[tuple[Any, ...]]:
    return dataset.read(STREAMS[stream].schema, stream) if exists(dataset, stream) else []


def exists(dataset: SqliteDataset, stream: str) -> bool:
    return bool(dataset.query(f"SELECT 1 FROM sqlite_master WHERE name = '{stream}'"))


def last_ids(dataset: SqliteDataset, stream: str = "matches") -> dict[str, int]:
    if not exists(dataset, stream):
        return {}
    found = dataset.query(f"SELECT product_id, max(trade_id) FROM {stream} GROUP BY 1")
    return {product: int(newest) for product, newest in found}


async def settled(run: Run, simulator: Simulator, dataset: SqliteDataset, stream: str = "matches") -> None:
    """Waits until the dataset has every trade of an exchange that stands still."""
    truth: dict[str, int] = simulator.truth()["last_trade_id"]

    def is_there() -> bool:
        assert not run.has_ended, run.log.text()
        return last_ids(dataset, stream) == truth

    await until(is_there, f"every trade in {stream}")
