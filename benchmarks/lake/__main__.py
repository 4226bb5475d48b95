"""Rows into Delta tables by the whole pipeline, beside the bare library: `python -m benchmarks.lake [ROWS [PART]]`.

Each part runs in a process of its own, which imports what a runner imports, and is measured by the processor time of all of its
threads, so that it does not matter what else the machine does meanwhile.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.lake.rows import BATCH, SCHEMA, RowSource, batches, stream_schemas
from connector_runner.datasets.columnar.columns import Columns
from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink

COMMIT = 500_000
PARTS = (
    "source", "bare", "append", "upsert", "changes", "append-partitions", "append-50", "upsert-50", "changes-50", "claim-50", "claim-200"
)  # fmt: skip


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


def build_context(folder: Path, streams: int, mode: WriteMode, options: str, run: int = 1) -> SinkContext:
    tables = {name: f"{name}_rows" for name in stream_schemas(streams)}
    return SinkContext(
        lambda: f"delta:////{folder.relative_to('/')}/lake?{options}", tables, "default/test", uid="uid-1", run=run, write_mode=mode,
        directory=folder, is_selection=streams > 1,
    )  # fmt: skip


async def carry(folder: Path, rows: int, kind: str, streams: int) -> None:
    options = "commitEvery=30" + ("&partitionBy=hours(time),m" if kind == "append-partitions" else "")
    sink = build_context(folder, streams, WriteMode.APPEND if kind.startswith("append") else WriteMode.UPSERT, options)
    keys = rows // 4 if kind == "changes" else 0
    telemetry = Telemetry(lambda *_arguments, **_fields: None, NoMeters())
    await Engine(lambda: RowSource(rows, streams, keys), build_sink(sink), telemetry, wait=True).run()


async def claim(folder: Path, streams: int) -> None:
    """Prints how long claims of so many tables take: of new ones, and of those that are there."""
    for run, kind in ((1, "new"), (2, "there"), (3, "there")):
        start = time.monotonic()
        sink = build_sink(build_context(folder, streams, WriteMode.APPEND, "commitEvery=30", run))
        await sink.claim()
        claimed = time.monotonic()
        for schema in stream_schemas(streams).values():
            await sink.prepare(schema)
        print(
            f"{streams} tables, {kind}: claim {claimed - start:.2f} s, then {time.monotonic() - claimed:.2f} s to make or check them",
            flush=True,
        )
        await sink.close()


def measure(part: str, rows: int) -> None:
    kind, _, count = part.rpartition("-") if part[-1].isdigit() else (part, "", "1")
    with tempfile.TemporaryDirectory() as name:
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        if kind == "source":
            for _ in batches(rows):
                pass
        elif kind == "bare":
            write_bare(Path(name), rows)
        elif kind == "claim":
            asyncio.run(claim(Path(name), int(count)))
            return
        else:
            asyncio.run(carry(Path(name), rows, kind, int(count)))
        after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{part:18} {rows / cpu:12,.0f} rows a CPU second, {rows / seconds:12,.0f} rows/s, {after.ru_maxrss // 1024} MB",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[2], int(sys.argv[1]))
    else:
        count = sys.argv[1] if len(sys.argv) == 2 else "1000000"
        for each in PARTS:
            subprocess.run([sys.executable, "-m", "benchmarks.lake", count, each], check=True)
