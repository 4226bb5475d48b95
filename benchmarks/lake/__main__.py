"""Rows into lake tables by the whole pipeline, beside the bare library: `python -m benchmarks.lake [delta|iceberg] [ROWS [PART]]`.

Each part runs in a process of its own, which imports what a runner imports, and is measured by the processor time of all of its
threads, so that it does not matter what else the machine does meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.lake.iceberg import append_bare, bare_commits, commits, make_bare
from benchmarks.lake.rows import BATCH, SCHEMA, RowSource, batches, stream_schemas
from connector_runner.datasets.columnar.columns import Columns
from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink

COMMIT = 500_000
URLS = {"delta": "delta:////", "iceberg": "iceberg+sqlite:////"}
RATES = re.compile(r"([\d,]+) rows a CPU second, +([\d,]+) rows/s")
PARTS = {
    "delta": ("source", "bare", "append", "upsert", "changes", "append-partitions", "append-50", "upsert-50", "changes-50", "claim-50",
              "claim-200"),
    "iceberg": ("source", "bare", "append", "source", "bare", "append", "source", "bare", "append", "upsert", "append-50", "commits", "bare-commits"),
}  # fmt: skip


def to_arrow(rows: Sequence[Sequence[object]]) -> pa.Table:
    types = Columns(SCHEMA).arrow
    columns = zip(zip(*rows, strict=True), types, strict=True)
    return pa.Table.from_arrays([pa.array(values, field.type) for values, field in columns], schema=types)


def write_bare(lake: str, folder: Path, rows: int) -> None:
    table, waiting = make_bare(folder) if lake == "iceberg" else None, list[pa.Table]()
    for number, each in enumerate(batches(rows), 1):
        waiting.append(to_arrow(each.rows))
        if len(waiting) * BATCH < COMMIT and number * BATCH < rows:
            continue
        if table is None:
            write_deltalake(folder / "bare", pa.concat_tables(waiting), mode="append")
        else:
            append_bare(table, waiting)
        waiting = []


def build_context(lake: str, folder: Path, streams: int, mode: WriteMode, options: str, run: int = 1) -> SinkContext:
    tables = {name: f"{name}_rows" for name in stream_schemas(streams)}
    return SinkContext(
        lambda: f"{URLS[lake]}{folder.relative_to('/')}/lake?{options}", tables, "default/test", uid="uid-1", run=run, write_mode=mode,
        directory=folder, is_selection=streams > 1,
    )  # fmt: skip


async def carry(lake: str, folder: Path, rows: int, kind: str, streams: int) -> None:
    options = "commitEvery=30" + ("&partitionBy=hours(time),m" if kind == "append-partitions" else "")
    sink = build_context(
        lake, folder, streams, WriteMode.APPEND if kind.startswith("append") else WriteMode.UPSERT, options
    )
    keys = rows // 4 if kind == "changes" else 0
    telemetry = Telemetry(lambda *_arguments, **_fields: None, NoMeters())
    await Engine(lambda: RowSource(rows, streams, keys), build_sink(sink), telemetry, wait=True).run()


async def claim(lake: str, folder: Path, streams: int) -> None:
    """Prints how long claims of so many tables take: of new ones, and of those that are there."""
    for run, kind in ((1, "new"), (2, "there"), (3, "there")):
        start = time.monotonic()
        sink = build_sink(build_context(lake, folder, streams, WriteMode.APPEND, "commitEvery=30", run))
        await sink.claim()
        claimed = time.monotonic()
        for schema in stream_schemas(streams).values():
            await sink.prepare(schema)
        print(
            f"{streams} tables, {kind}: claim {claimed - start:.2f} s, then {time.monotonic() - claimed:.2f} s to make or check them",
            flush=True,
        )
        await sink.close()


def measure(lake: str, part: str, rows: int) -> None:
    kind, _, count = part.rpartition("-") if part[-1].isdigit() else (part, "", "1")
    with tempfile.TemporaryDirectory() as name:
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        if kind == "source":
            for _ in batches(rows):
                pass
        elif kind == "bare":
            write_bare(lake, Path(name), rows)
        elif kind == "claim":
            asyncio.run(claim(lake, Path(name), int(count)))
            return
        elif kind == "commits":
            asyncio.run(commits(build_context(lake, Path(name), 1, WriteMode.APPEND, "commitEvery=0")))
            return
        elif kind == "bare-commits":
            asyncio.run(bare_commits(Path(name), to_arrow))
            return
        else:
            asyncio.run(carry(lake, Path(name), rows, kind, int(count)))
        after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{part:18} {rows / cpu:12,.0f} rows a CPU second, {rows / seconds:12,.0f} rows/s, {after.ru_maxrss // 1024} MB",
        flush=True,
    )


def run_all(lake: str, rows: str) -> None:
    """Each part as a process of its own; after each append its share of the limit."""
    rates: dict[str, list[float]] = {}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the beginning", flush=True)
    for part in PARTS[lake]:
        command = [sys.executable, "-m", "benchmarks.lake", lake, rows, part]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(said, end="", flush=True)
        if found := RATES.search(said):
            rates[part] = [float(each.replace(",", "")) for each in found.groups()]
        if part == "append":
            limits = [1 / (1 / source + 1 / bare) for source, bare in zip(rates["source"], rates["bare"], strict=True)]
            by_cpu, by_clock = (rate / limit for rate, limit in zip(rates["append"], limits, strict=True))
            print(f"{'':18} {by_clock:.2f} of the limit by the clock, {by_cpu:.2f} by CPU", flush=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end", flush=True)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    chosen = arguments.pop(0) if arguments and arguments[0] in PARTS else "delta"
    if len(arguments) == 2:
        measure(chosen, arguments[1], int(arguments[0]))
    else:
        run_all(chosen, arguments[0] if arguments else "1000000")
