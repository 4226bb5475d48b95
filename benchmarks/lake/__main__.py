"""Rows into a Delta table by the whole pipeline, beside the bare library: `python -m benchmarks.lake [ROWS]`.

Each part runs in a process of its own and is measured by the processor time of all of its threads, so that it does not matter what
else the machine does meanwhile.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.source import Checkpoint, Opened, WriteMode
from connector_runner.protocols.types import FLOAT64, INT64, STRING, TIMESTAMPTZ
from tests.kit.lake_dataset import LakeDataset
from tests.kit.pipeline import ListSource, Run, context

KINDS = {"id": INT64, "symbol": STRING, "side": STRING, "n": INT64, "m": INT64, "price": FLOAT64, "size": FLOAT64,
         "time": TIMESTAMPTZ, "note": STRING, "trade": STRING}  # fmt: skip
SCHEMA = StreamSchema("test", tuple(Column(name, kind, name != "id") for name, kind in KINDS.items()), ("id",))
"""Ten columns, about 200 bytes a row."""
BATCH, COMMIT = 1_000, 500_000
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
PARTS = ("source", "bare", "append", "upsert")


def batches(rows: int) -> Iterator[Batch]:
    body = [
        ("BTC-USD", "buy", i * 3, i * 7, i * 0.5, i * 0.25, NOON, "x" * 60, "0123456789abcdef" * 2)
        for i in range(BATCH)
    ]
    for first in range(0, rows, BATCH):
        numbered = [(first + place, *row) for place, row in enumerate(body)]
        yield Batch(SCHEMA, numbered, {"next": first + BATCH}, size=200 * BATCH)


class RowSource(ListSource):
    """Yields the rows, made as they are asked for."""

    def __init__(self, rows: int) -> None:
        super().__init__([])
        self._rows = rows

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        if self.report is not None:
            self.report.connected()
        return Opened({"test": SCHEMA}, "rows")

    async def batches(self) -> AsyncIterator[Batch]:
        for each in batches(self._rows):
            yield each


def write_bare(folder: Path, rows: int) -> None:
    types, waiting = Columns(SCHEMA).arrow, list[pa.Table]()
    for each in batches(rows):
        columns = zip(zip(*each.rows, strict=True), types, strict=True)
        waiting.append(pa.Table.from_arrays([pa.array(values, field.type) for values, field in columns], schema=types))
        if len(waiting) * BATCH >= COMMIT:
            write_deltalake(folder / "bare", pa.concat_tables(waiting), mode="append")
            waiting = []
    if waiting:
        write_deltalake(folder / "bare", pa.concat_tables(waiting), mode="append")


async def carry(folder: Path, rows: int, mode: WriteMode) -> None:
    sink = context(LakeDataset(folder, "commitEvery=30"), write_mode=mode)
    await Run(lambda: RowSource(rows), sink).engine.run()


def measure(part: str, rows: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        if part == "source":
            for _ in batches(rows):
                pass
        elif part == "bare":
            write_bare(Path(name), rows)
        else:
            asyncio.run(carry(Path(name), rows, WriteMode(part)))
        after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - start
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        memory = after.ru_maxrss // 1024
        print(
            f"{part:7} {rows / cpu:12,.0f} rows a CPU second, {rows / seconds:12,.0f} rows/s, {memory} MB", flush=True
        )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        count = sys.argv[1] if len(sys.argv) == 2 else "1000000"
        for each in PARTS:
            subprocess.run([sys.executable, "-m", "benchmarks.lake", each, count], check=True)
