"""Parts that are Iceberg's alone: the bare library, and what the 300th commit costs beside the first."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from benchmarks.lake.rows import BATCH, SCHEMA, batches
from connector_runner.datasets.columnar.columns import Columns
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.registry import build_sink

COMMITS, EDGE = 300, 20
"""How many commits, and of how many at both ends the median is taken."""


def make_bare(folder: Path) -> Table:
    """A new table of the bare library."""
    catalog = SqlCatalog("bare", uri=f"sqlite:///{folder}/bare.db", warehouse=folder.as_uri())
    catalog.create_namespace("bare")
    return catalog.create_table("bare.rows", Columns(SCHEMA).arrow)


def append_bare(table: Table, waiting: list[pa.Table]) -> None:
    """One commit of the bare library."""
    table.append(pa.concat_tables(waiting))


async def commits(context: SinkContext) -> None:
    """Commits a batch at a time, with everything that the runner does between commits."""
    sink = build_sink(context)
    number = (await sink.claim()).number
    await sink.prepare(SCHEMA)
    listed = iter(batches(COMMITS * BATCH))

    async def commit() -> None:
        nonlocal number
        number += 1
        await sink.write(Transaction(number, (next(listed),), "rows"))

    await _measure("runner", commit)
    await sink.close()


async def bare_commits(folder: Path, to_arrow: Callable[[Sequence[Sequence[object]]], pa.Table]) -> None:
    """The same by the bare library, which forgets no snapshots."""
    table, listed = make_bare(folder), iter(batches(COMMITS * BATCH))

    async def commit() -> None:
        append_bare(table, [to_arrow(next(listed).rows)])

    await _measure("bare pyiceberg", commit)


async def _measure(what: str, commit: Callable[[], Awaitable[None]]) -> None:
    clock, processor = list[float](), list[float]()
    for _ in range(COMMITS):
        start, used = time.monotonic(), time.process_time()
        await commit()
        clock.append(time.monotonic() - start)
        processor.append(time.process_time() - used)
    for kind, times in (("clock", clock), ("CPU", processor)):
        first, last = statistics.median(times[:EDGE]), statistics.median(times[-EDGE:])
        p99 = sorted(times)[int(len(times) * 0.99)]
        print(
            f"{what}, {COMMITS} commits by {kind}: the first {1000 * first:.0f} ms, the last {1000 * last:.0f} ms ({last / first:.2f} x; "
            f"medians of {EDGE}), mean {1000 * statistics.mean(times):.0f}, p99 {1000 * p99:.0f} ms",
            flush=True,
        )
