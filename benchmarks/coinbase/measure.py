"""One measurement in a process of its own: prints seconds, messages and resident memory as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import connect

from benchmarks.coinbase.blaster import PRODUCT, payloads
from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.sink import Claim, Receipt, RefusedRows, SinkContext, Transaction
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.registry import build_sink
from connector_runner.sources.coinbase import build_source
from connector_runner.sources.coinbase.decode import messages
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.building import build_reader
from connector_runner.sources.coinbase.streams import STREAMS

REQUEST = json.dumps({"type": "subscribe", "product_ids": [PRODUCT], "channels": ["ticker", "heartbeat"]})


class Clock:
    """Wall-clock and processor seconds from now on; the latter is the steadier figure on a shared machine."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._wall, "processor": time.process_time() - self._processor}


class Silent:
    """A report that nobody reads."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


class NullSink:
    """Takes everything at once."""

    async def claim(self) -> Claim:
        return Claim({"ticker": None}, 1, 0)

    async def prepare(self, schema: object, *, renews: bool = False) -> None: ...

    async def write(self, transaction: Transaction) -> Receipt:
        return Receipt()

    async def recover(self) -> int:
        return 0

    async def close(self) -> None: ...


class Watched:
    """A sink that notes when rows were committed, and stops the run with the last."""

    def __init__(self, sink: Any, count: int, *, with_latency: bool = False) -> None:
        self._sink = sink
        self._left = count
        self._with_latency = with_latency
        self.done = asyncio.Event()
        self.clock: Clock | None = None
        self.figures: dict[str, float] = {}
        self.latencies: list[float] = []
        self.transactions = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    async def write(self, transaction: Transaction) -> Receipt:
        self.clock = self.clock or Clock()
        receipt: Receipt = await self._sink.write(transaction)
        self.figures, now = self.clock.read(), time.time()
        self.transactions += 1
        for batch in transaction.batches:
            self._left -= len(batch.rows)
            if self._with_latency:
                self.latencies += [now - row[13].timestamp() for row in batch.rows]
        if self._left <= 0:
            self.done.set()
        return receipt


def resident() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def config(port: str) -> dict[str, Any]:
    return {"url": f"ws://127.0.0.1:{port}", "restUrl": f"http://127.0.0.1:{port}", "productId": [PRODUCT]}


def source(port: str) -> Any:
    return build_source(SourceContext(config(port), "bench/mark", WriteMode.UPSERT, Silent()))


async def receive(port: str, count: int, decode: Callable[[bytes], object] | None) -> dict[str, float]:
    """websockets as it comes; with `decode`, each message on top."""
    async with connect(f"ws://127.0.0.1:{port}", max_size=None, ping_interval=None) as socket:
        await socket.send(REQUEST)
        await socket.recv()
        payload = await socket.recv(decode=False)
        clock = Clock()
        for _ in range(count - 1):
            payload = await socket.recv(decode=False)
            if decode is not None:
                decode(payload)
        return clock.read()


async def read_source(port: str, count: int) -> dict[str, float]:
    """The source alone: typed rows in batches, nobody takes them further."""
    reading = source(port)
    await reading.open("ticker", None)
    batches: AsyncIterator[Batch] = reading.batches()
    clock, left = Clock(), count
    async for batch in batches:
        if left == count:
            clock = Clock()
        left -= len(batch.rows)
        if left <= 0:
            break
    figures = clock.read()
    await reading.close()
    return figures


async def run_engine(port: str, count: int, sink: Any, *, wait: bool, with_latency: bool = False) -> Watched:
    watched = Watched(sink, count, with_latency=with_latency)
    telemetry = Telemetry(lambda *_, **__: None, NoMeters())
    engine = Engine(lambda: source(port), watched, telemetry, wait=wait)
    running = asyncio.create_task(engine.run())
    done = asyncio.create_task(watched.done.wait())
    await asyncio.wait({running, done}, return_when=asyncio.FIRST_COMPLETED)
    engine.stop()
    await running
    return watched


def sink_for(url: str, *, wait: bool) -> Any:
    return build_sink(
        SinkContext(
            read_url=lambda: url,
            tables={"ticker": "ticker"},
            connector="bench/mark",
            uid="bench",
            run=1,
            refused_rows=RefusedRows.DEAD_LETTER,
            wait=wait,
        )
    )


async def bare_sink(url: str, count: int) -> dict[str, float]:
    """Rows ready in memory into the sink alone, in transactions as large as the pipeline's largest."""
    sink = sink_for(url, wait=True)
    spec = STREAMS["ticker"]
    raws = payloads("ticker", count)
    reader, prepared = build_reader(spec, None, ()), []
    for start in range(0, count, 2500):
        builder = BatchBuilder()
        reader.read(raws[start : start + 2500], builder, 0.0)
        prepared.append(builder.build(spec.schema, reader.position()))
    await sink.claim()
    await sink.prepare(spec.schema)
    clock = Clock()
    for number, start in enumerate(range(0, len(prepared), 4), 1):
        await sink.write(Transaction(number, tuple(prepared[start : start + 4]), "127.0.0.1"))
    figures = clock.read()
    await sink.close()
    return figures


def decode_only(count: int) -> dict[str, float]:
    """In memory, processor seconds, best of three in turn: bare msgspec that throws each message away, bare msgspec that keeps
    a batch of them as rows must be kept, and typed rows as the reader makes them."""
    raws = payloads("ticker", count)
    bare = msgspec.json.Decoder(messages.Ticker).decode
    chunks = [raws[start : start + 2500] for start in range(0, count, 2500)]
    figures = dict.fromkeys(("bare", "kept", "rows"), float("inf"))
    for _ in range(3):
        began = time.process_time()
        for raw in raws:
            bare(raw)
        figures["bare"] = min(figures["bare"], time.process_time() - began)
        began = time.process_time()
        for chunk in chunks:
            _ = [bare(raw) for raw in chunk]
        figures["kept"] = min(figures["kept"], time.process_time() - began)
        reader = build_reader(STREAMS["ticker"], None, ())
        began = time.process_time()
        for chunk in chunks:
            reader.read(chunk, BatchBuilder(), 0.0)
        figures["rows"] = min(figures["rows"], time.process_time() - began)
    return figures


def main() -> None:
    what, port, count, url = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        url = url.replace("TEMPORARY", folder)
        match what:
            case "decode":
                result = decode_only(count)
            case "receive":
                result = asyncio.run(receive(port, count, None))
            case "receive-decode":
                result = asyncio.run(receive(port, count, msgspec.json.Decoder(messages.Ticker).decode))
            case "source":
                result = asyncio.run(read_source(port, count))
            case "bare-sink":
                result = asyncio.run(bare_sink(url, count))
            case "engine" | "latency":
                sink = NullSink() if url == "null" else sink_for(url, wait=True)
                watched = asyncio.run(run_engine(port, count, sink, wait=True, with_latency=what == "latency"))
                result = watched.figures | {"transactions": watched.transactions}
                if watched.latencies:
                    ordered = sorted(watched.latencies)
                    result |= {f"p{p}": ordered[int(len(ordered) * p / 100)] * 1000 for p in (50, 99)}
    print(json.dumps(result | {"megabytes": resident()}))


if __name__ == "__main__":
    main()
