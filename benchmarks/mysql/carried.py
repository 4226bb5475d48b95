"""What is measured of the whole source: alone, into datasets, how late, how much memory."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.carrying import Noting, Replay, carry
from benchmarks.mysql.workload import STREAM, config_of
from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.source import Checkpoint, Opened, Source, SourceContext, WriteMode
from connector_runner.sources.mysql import build_source
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer

RATE = 1_000
LATENCY_ROWS = 10_000


class From:
    """A source that begins at a position, whatever the dataset holds."""

    def __init__(self, source: Source, checkpoint: Checkpoint) -> None:
        self._source, self._checkpoint = source, checkpoint
        self.discover, self.close = source.discover, source.close

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        return await self._source.open(dict.fromkeys(checkpoints, self._checkpoint))

    def batches(self) -> AsyncIterator[Batch]:
        return self._source.batches()


def copying(server: DatabaseServer, telemetry: Telemetry) -> Source:
    """The source from the start of the table."""
    return build_source(SourceContext(config_of(server), "bench/mysql", WriteMode.UPSERT, telemetry))


def following(server: DatabaseServer, checkpoint: Checkpoint, telemetry: Telemetry) -> Source:
    """The source from a place in the log."""
    return From(copying(server, telemetry), checkpoint)


async def end_of_copy(server: DatabaseServer) -> Checkpoint:
    """The point after a copy of the table as it is now."""
    source = copying(server, Noting())
    opened = await source.open({STREAM: None})
    try:
        async for batch in source.batches():
            if batch.position.get("copy") is None:
                return Checkpoint(batch.position, opened.identity, batch.schema.version)
    finally:
        await source.close()
    raise RuntimeError("the log has ended")


async def drain(source: Source, rows: int) -> tuple[dict[str, float], list[Batch]]:
    """The figures of the source alone, from its opening to its last row; and its batches."""
    start, used = time.perf_counter(), time.process_time()
    await source.open({STREAM: None})
    batches, seen = [], 0
    async for batch in source.batches():
        batches.append(batch)
        seen += len(batch.rows)
        if seen >= rows:
            break
    figures = {"rows": rows, "seconds": time.perf_counter() - start, "processor": time.process_time() - used}
    await source.close()
    return figures, batches


def _replay(batches: list[Batch], _: Telemetry) -> Source:
    return Replay(batches)


async def into(dataset: str, rows: int, build: Callable[[Telemetry], Source]) -> dict[str, float]:
    """The figures of one way through: the source alone, its batches from memory into the dataset, and both together.

    Each from its start (connecting, claiming, making the table) to the last row, or its commit.
    """
    alone, batches = await drain(build(Noting()), rows)
    used = time.process_time()
    sink = await carry(dataset, STREAM, rows, partial(_replay, batches))
    sink_used = time.process_time() - used
    del batches
    used = time.process_time()
    whole = await carry(dataset, STREAM, rows, build)
    return {
        "rows": rows, "seconds": whole, "processor": time.process_time() - used, "source alone": alone["seconds"],
        "source alone, processor": alone["processor"], "sink alone": sink,
        "sink alone, processor": sink_used,
    }  # fmt: skip


def _write_steadily(server: DatabaseServer, committed: dict[int, float]) -> None:
    """One row a transaction, so many a second."""
    with server.session() as cursor:
        start = time.perf_counter()
        for number in range(LATENCY_ROWS):
            time.sleep(max(0.0, start + number / RATE - time.perf_counter()))
            cursor.execute("INSERT INTO d.l (a) VALUES (1)")
            committed[cursor.lastrowid] = time.perf_counter()


async def latency(server: DatabaseServer, dataset: str) -> dict[str, float]:
    """Milliseconds from a commit's answer to the commit in the dataset, and the rate that the writer reached."""
    server.execute("DROP TABLE IF EXISTS d.l", "CREATE TABLE d.l (id BIGINT PRIMARY KEY AUTO_INCREMENT, a INT)")
    server.execute("INSERT INTO d.l (a) VALUES (0)")
    stored: dict[int, float] = {}

    def note(transaction: Transaction) -> None:
        now = time.perf_counter()
        stored.update((row[0], now) for batch in transaction.batches for row in batch.rows if len(row) > 1)

    telemetry = Noting(note)
    committed: dict[int, float] = {}
    carrying = asyncio.create_task(carry(dataset, "d.l", LATENCY_ROWS + 1, partial(copying, server), telemetry))
    await telemetry.until(1)
    writer = threading.Thread(target=_write_steadily, args=(server, committed))
    writer.start()
    await carrying
    writer.join()
    lags = sorted((stored[key] - at) * 1000 for key, at in committed.items())
    seconds = max(committed.values()) - min(committed.values())
    return {
        "p50": statistics.median(lags), "p99": lags[int(len(lags) * 0.99)],
        "rows/s": (len(committed) - 1) / seconds,
    }  # fmt: skip


def memory(server: DatabaseServer, folder: Path) -> dict[str, float]:
    """Peak resident megabytes of a runner that copies the whole table into SQLite, and its seconds, start included."""
    (count,) = server.query(f"SELECT COUNT(*) FROM {STREAM}")[0]
    manifest = folder / "connector.yaml"
    manifest.write_text(
        "apiVersion: apperate.io/v1\nkind: Connector\nmetadata: {name: bench}\nspec: {connectorType: MYSQL, datasetId: bench, "
        f"config: {{host: 127.0.0.1, port: {server.port}, user: {ADMIN_USER}, password: {ADMIN_PASSWORD}, snapshot: only}}, "
        f"selectedStream: {STREAM}, status: running}}\n---\napiVersion: apperate.io/v1\nkind: Dataset\n"
        "metadata: {name: bench}\nspec: {url: 'sqlite:///copy.db'}\n"
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
    return {"rows": count, "seconds": time.perf_counter() - start, "MB": max(peaks)}
