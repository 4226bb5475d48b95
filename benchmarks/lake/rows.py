"""Rows of 10 columns, about 200 bytes each: of one stream, or of several in turn."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import replace

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.source import Checkpoint, Opened
from connector_runner.protocols.types import FLOAT64, INT64, STRING, TIMESTAMPTZ
from connector_runner.schemas.catalogue import Catalogue

KINDS = {"id": INT64, "symbol": STRING, "side": STRING, "n": INT64, "m": INT64, "price": FLOAT64, "size": FLOAT64,
         "time": TIMESTAMPTZ, "note": STRING, "trade": STRING}  # fmt: skip
SCHEMA = StreamSchema("test", tuple(Column(name, kind, name != "id") for name, kind in KINDS.items()), ("id",))
BATCH = 1_000
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def stream_schemas(streams: int) -> dict[str, StreamSchema]:
    """The schema of each stream."""
    if streams == 1:
        return {SCHEMA.stream: SCHEMA}
    return {f"test{number}": replace(SCHEMA, stream=f"test{number}") for number in range(streams)}


def batches(rows: int, streams: int = 1, keys: int = 0) -> Iterator[Batch]:
    """Batches of the streams in turn.

    Args:
        rows: How many in all.
        streams: How many streams.
        keys: How many different keys; 0 for a new one in each row.
    """
    schemas = list(stream_schemas(streams).values())
    body = [
        ("BTC-USD", "buy", i * 3, i % 20, i * 0.5, i * 0.25, NOON, "x" * 60, "0123456789abcdef" * 2)
        for i in range(BATCH)
    ]
    for first in range(0, rows, BATCH):
        number = first % keys if keys else first
        numbered = [(number + place, *row) for place, row in enumerate(body)]
        schema = schemas[first // BATCH % streams]
        yield Batch(schema, numbered, {"next": first + BATCH}, size=200 * BATCH, place={} if streams > 1 else None)


class RowSource:
    """Yields the rows, made as they are asked for."""

    def __init__(self, rows: int, streams: int = 1, keys: int = 0) -> None:
        self._made = rows, streams, keys

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        return Catalogue((), 0)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        schemas = stream_schemas(self._made[1])
        return Opened({stream: schemas[stream] for stream in checkpoints}, "rows")

    async def batches(self) -> AsyncIterator[Batch]:
        for each in batches(*self._made):
            yield each
            await asyncio.sleep(0)

    async def close(self) -> None:
        pass
