"""MYSQL end to end: copy and log into SQLite and PostgreSQL beside the additive limit, latency at 1,000 rows/s, memory of a large copy.

    python -m benchmarks.mysql.through [mysql|mariadb] [--rows N] [--copy-rows N]

Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from benchmarks.carrying import Noting, Replay, carry
from benchmarks.mysql.measure import BULK, TABLE
from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.source import Checkpoint, Opened, Source, SourceContext, WriteMode
from connector_runner.sources.mysql import build_source
from tests.integration.mysql.reading import build_config
from tests.servers.mariadb import mariadb
from tests.servers.mysql import mysql
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer
from tests.servers.postgresql import PostgresServer

RATE, SECONDS = 1_000, 10
ROWS_A_STATEMENT = 50_000


class From:
    """A source that begins at a position, whatever the dataset holds."""

    def __init__(self, source: Source, checkpoint: Checkpoint) -> None:
        self._source, self._checkpoint = source, checkpoint
        self.discover, self.close = source.discover, source.close

    async def open(self, stream: str, checkpoint: Checkpoint | None) -> Opened:
        return await self._source.open(stream, self._checkpoint)

    def batches(self) -> AsyncIterator[Batch]:
        return self._source.batches()


def source_of(server: DatabaseServer, telemetry: Telemetry, **options: Any) -> Source:
    context = SourceContext(build_config(server, **options), "bench/mysql", WriteMode.UPSERT, telemetry)
    return build_source(context)


async def beginning(server: DatabaseServer) -> Checkpoint:
    """The point after the copy of an empty table."""
    source = source_of(server, Noting())
    opened = await source.open("d.t", None)
    async for batch in source.batches():
        if batch.position.get("copy") is None:
            await source.close()
            return Checkpoint(batch.position, opened.identity, batch.schema.version)
    raise RuntimeError("the log has ended")


async def drain(source: Source, rows: int) -> tuple[float, list[Batch]]:
    """Seconds of the source alone, and its batches."""
    start = time.perf_counter()
    await source.open("d.t", None)
    batches, seen = [], 0
    async for batch in source.batches():
        batches.append(batch)
        seen += len(batch.rows)
        if seen >= rows:
            break
    seconds = time.perf_counter() - start
    await source.close()
    return seconds, batches


async def speed(server: DatabaseServer, datasets: dict[str, str], rows: int) -> None:
    begin = await beginning(server)
    for _ in range(rows // ROWS_A_STATEMENT):
        server.execute(BULK)
    print(
        "| | into | rows/s end to end | source alone | sink alone | of the additive limit |\n|---|---|---|---|---|---|"
    )

    def copy(telemetry: Telemetry) -> Source:
        return source_of(server, telemetry)

    def log(telemetry: Telemetry) -> Source:
        return From(source_of(server, telemetry), begin)

    for what, build in {"copy": copy, "log": log}.items():
        alone, batches = await drain(build(Noting()), rows)
        for name, dataset in datasets.items():
            sink = await carry(dataset, "d.t", rows, lambda _, kept=batches: Replay(kept))
            whole = await carry(dataset, "d.t", rows, build)
            figures = " | ".join(f"{rows / seconds:,.0f}" for seconds in (whole, alone, sink))
            print(f"| {what} | {name} | {figures} | {(alone + sink) / whole:.2f} |", flush=True)


def write_steadily(server: DatabaseServer, committed: dict[int, float]) -> None:
    """One row a transaction, so many a second."""
    with server.session() as cursor:
        start = time.perf_counter()
        for number in range(RATE * SECONDS):
            time.sleep(max(0.0, start + number / RATE - time.perf_counter()))
            cursor.execute("INSERT INTO d.l (a) VALUES (1)")
            committed[cursor.lastrowid] = time.perf_counter()


async def latency(server: DatabaseServer, dataset: str) -> tuple[float, float]:
    """Milliseconds from a commit's answer to the commit in the dataset: median and 99th percentile."""
    server.execute("DROP TABLE IF EXISTS d.l", "CREATE TABLE d.l (id BIGINT PRIMARY KEY AUTO_INCREMENT, a INT)")
    server.execute("INSERT INTO d.l (a) VALUES (0)")
    stored: dict[int, float] = {}

    def note(transaction: Transaction) -> None:
        now = time.perf_counter()
        stored.update((row[0], now) for batch in transaction.batches for row in batch.rows if len(row) > 1)

    telemetry = Noting(note)
    committed: dict[int, float] = {}
    carrying = asyncio.create_task(
        carry(dataset, "d.l", RATE * SECONDS + 1, lambda report: source_of(server, report), telemetry)
    )
    await telemetry.until(1)
    writer = threading.Thread(target=write_steadily, args=(server, committed))
    writer.start()
    await carrying
    writer.join()
    lags = sorted((stored[key] - at) * 1000 for key, at in committed.items())
    return statistics.median(lags), lags[int(len(lags) * 0.99)]


def memory(server: DatabaseServer, rows: int, folder: Path) -> None:
    """Prints the peak MB of a runner that copies so many rows into SQLite."""
    for _ in range(rows // ROWS_A_STATEMENT):
        server.execute(BULK)
    (count,) = server.query("SELECT COUNT(*) FROM d.t")[0]
    manifest = folder / "connector.yaml"
    manifest.write_text(
        "apiVersion: apperate.io/v1\nkind: Connector\nmetadata: {name: bench}\nspec: {connectorType: MYSQL, datasetId: bench, "
        f"config: {{host: 127.0.0.1, port: {server.port}, user: {ADMIN_USER}, password: {ADMIN_PASSWORD}, snapshot: only}}, "
        "selectedStream: d.t, status: running}\n---\napiVersion: apperate.io/v1\nkind: Dataset\nmetadata: {name: bench}\n"
        "spec: {url: 'sqlite:///copy.db'}\n"
    )
    start = time.perf_counter()
    runner = [str(Path(sys.executable).parent / "connector-runner"), "run", "-f", str(manifest)]
    process = subprocess.Popen(runner, cwd=folder, stderr=subprocess.PIPE, text=True)
    peaks = [0.0]

    def watch() -> None:
        while process.poll() is None:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peaks.extend(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
            time.sleep(0.1)

    watching = threading.Thread(target=watch)
    watching.start()
    _, told = process.communicate()
    watching.join()
    if process.returncode != 0:
        raise RuntimeError(told[-2000:])
    print(
        f"\nCopy of {count:,} rows into SQLite, as a runner: {max(peaks):.0f} MB, {count / (time.perf_counter() - start):,.0f} rows/s"
    )
    return max(peaks), time.perf_counter() - start


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dialect", nargs="?", default="mysql", choices=("mysql", "mariadb"))
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--copy-rows", type=int, default=0, help="also measure the memory of a copy of so many rows")
    flags = parser.parse_args()
    distribution = mysql() if flags.dialect == "mysql" else mariadb()
    options = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"] if flags.dialect == "mysql" else []
    quick = ["--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--binlog-row-metadata=FULL"]
    print(f"\n{distribution.name}\n")
    with (
        tempfile.TemporaryDirectory() as folder,
        PostgresServer() as postgres,
        DatabaseServer(distribution, [*options, *quick]) as server,
    ):
        datasets = {"SQLite": f"sqlite:///{folder}/bench.db", "PostgreSQL": postgres.url()}
        server.execute("CREATE DATABASE d", TABLE)
        await speed(server, datasets, flags.rows)
        print("\n| commit to dataset at 1,000 rows/s | p50, ms | p99, ms |\n|---|---|---|")
        for name, dataset in datasets.items():
            median, tail = await latency(server, dataset)
            print(f"| {name} | {median:.1f} | {tail:.1f} |", flush=True)
        if flags.copy_rows:
            await asyncio.to_thread(memory, server, flags.copy_rows, Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
