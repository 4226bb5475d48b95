"""How near the pipeline comes to its limit, and how much memory it takes; see README.md."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

from connector_runner.pipeline.engine import OBJECTS_BETWEEN_COLLECTIONS, Engine
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch, Incident, Row
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, SinkContext, Transaction
from connector_runner.protocols.source import Checkpoint, Opened, WriteMode
from connector_runner.protocols.types import BOOL, FLOAT64, INT64, STRING
from connector_runner.registry import build_sink
from connector_runner.schemas.catalogue import Catalogue
from tests.servers.postgresql import PostgresServer

COLUMNS = (
    Column("id", INT64), Column("product", STRING), Column("side", STRING), Column("price", FLOAT64), Column("size", FLOAT64),
    Column("is_open", BOOL), Column("note", STRING), Column("a", INT64), Column("b", INT64), Column("c", INT64),
)  # fmt: skip
SCHEMA = StreamSchema("bench", COLUMNS, ("id",))
ROWS_A_TRANSACTION = 10_000
MEMORY_LIMIT_MB = 150.0
# Between the halves of the run; noise of the allocator, not growth with the number of rows.
MEMORY_GROWTH_MB = 10.0


def row(number: int) -> Row:
    return (number, "BTC-USD", "buy", number * 0.5, 1.25, True, "a text of some length", number, 7, number % 100)


class Source:
    """Rows made on the way, as a decoder would make them."""

    def __init__(self, rows: int, size: int) -> None:
        self.rows, self.size = rows, size

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        return Catalogue((), 0)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        return Opened({SCHEMA.stream: SCHEMA}, "bench")

    async def batches(self) -> AsyncIterator[Batch]:
        for start in range(0, self.rows, self.size):
            made = [row(number) for number in range(start, min(start + self.size, self.rows))]
            yield Batch(SCHEMA, made, {"next": start + len(made)}, size=128 * len(made))

    async def close(self) -> None:
        pass


class SlowSink:
    """Takes everything, so many rows a second."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    async def claim(self) -> Claim:
        return Claim({SCHEMA.stream: None}, 1, 0)

    async def prepare(self, schema: StreamSchema, *, renews: bool = False) -> None:
        pass

    async def write(self, transaction: Transaction) -> Receipt:
        await asyncio.sleep(sum(len(batch.rows) for batch in transaction.batches) / self.rate)
        return Receipt()

    async def recover(self) -> int:
        return 0

    async def select(self, tables: Mapping[str, str] | None, record: str = "") -> Claim:
        return Claim(dict.fromkeys(tables or ()), 1, 0)

    async def park(self, stream: str, incident: Incident) -> None:
        pass

    async def close(self) -> None:
        pass


def context(url: str, table: str, mode: WriteMode, *, wait: bool) -> SinkContext:
    return SinkContext(lambda: url, {SCHEMA.stream: table}, f"bench/{table}", write_mode=mode, wait=wait)


async def source_alone(rows: int, size: int) -> float:
    start = time.perf_counter()
    async for _ in Source(rows, size).batches():
        pass
    return rows / (time.perf_counter() - start)


async def bare_sink(rows: int, url: str, table: str, mode: WriteMode, size: int) -> float:
    """Batches ready in memory, transactions of a fixed number of rows one after the other, position and epoch included."""
    batches = [batch async for batch in Source(rows, size).batches()]
    together = max(1, ROWS_A_TRANSACTION // size)
    groups = [tuple(batches[first : first + together]) for first in range(0, len(batches), together)]
    sink = build_sink(context(url, table, mode, wait=True))
    claim = await sink.claim()
    await sink.prepare(SCHEMA)
    gc.collect()
    start = time.perf_counter()
    for number, group in enumerate(groups, claim.number + 1):
        await sink.write(Transaction(number, group, "bench"))
    seconds = time.perf_counter() - start
    await sink.close()
    return rows / seconds


async def pipeline(rows: int, url: str, table: str, mode: WriteMode, size: int, *, wait: bool) -> float:
    engine = Engine(
        lambda: Source(rows, size), build_sink(context(url, table, mode, wait=wait)),
        Telemetry(lambda *_, **__: None, NoMeters()), wait=wait,
    )  # fmt: skip
    start = time.perf_counter()
    await engine.run()
    return rows / (time.perf_counter() - start)


async def speed(rows: int) -> None:
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)  # for all that is measured, as the pipeline has it
    with PostgresServer(["fsync=on"]) as server, tempfile.TemporaryDirectory() as folder:
        urls = {"sqlite": f"sqlite:///{folder}/bench.db", "postgresql": server.url()}
        for name, url in urls.items():
            for mode in WriteMode:
                for size in (1, 100, 10_000):
                    source = await source_alone(rows, size)
                    bare = await bare_sink(rows, url, f"bare_{mode}_{size}", mode, size)
                    limit = 1 / (1 / source + 1 / bare)
                    for wait in (True, False):
                        table = f"pipe_{mode}_{size}_{wait}"
                        reached = await pipeline(rows, url, table, mode, size, wait=wait)
                        figures = {
                            "sink": name, "mode": mode.value, "batch": size, "wait": wait, "source": round(source),
                            "bare": round(bare), "limit": round(limit), "pipeline": round(reached),
                            "ratio": round(reached / limit, 2),
                        }  # fmt: skip
                        print(json.dumps(figures), flush=True)


def resident() -> float:
    """Megabytes now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def memory(rows: int, rate: float) -> dict[str, float]:
    engine = Engine(lambda: Source(rows, 100), SlowSink(rate), Telemetry(lambda *_, **__: None, NoMeters()), wait=False)
    running = asyncio.create_task(engine.run())
    samples = []
    while not running.done():
        await asyncio.sleep(0.1)
        samples.append(resident())
    await running
    half = len(samples) // 2
    return {
        "rows": rows, "firstHalfMaxMB": round(max(samples[:half]), 1), "secondHalfMaxMB": round(max(samples[half:]), 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--memory-rows", type=int, default=5_000_000)
    parser.add_argument("--only-memory", action="store_true")
    arguments = parser.parse_args()
    if arguments.only_memory:
        figures = asyncio.run(memory(arguments.memory_rows, 300_000))
        print(json.dumps(figures))
        first, second = figures["firstHalfMaxMB"], figures["secondHalfMaxMB"]
        if max(first, second) > MEMORY_LIMIT_MB or second > first + MEMORY_GROWTH_MB:
            raise SystemExit(f"more than {MEMORY_LIMIT_MB} MB resident, or more and more")
        return
    asyncio.run(speed(arguments.rows))
    # In a process of its own, so that it is the pipeline's memory that is measured.
    command = [
        sys.executable,
        "-m",
        "benchmarks.dataplane",
        "--only-memory",
        "--memory-rows",
        str(arguments.memory_rows),
    ]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
