"""The ETHEREUM source against canned full blocks: decoding alone, end to end, memory, head lag; beside web3.py and ethereum-etl.

`python -m benchmarks.ethereum.measure [--blocks N]` prints a table and writes results.json beside itself.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.carrying import Replay
from benchmarks.ethereum.canned import Canned
from benchmarks.ethereum.peer import compare, cpu_seconds, measure_peer
from connector_runner.pipeline.engine import OBJECTS_BETWEEN_COLLECTIONS, Engine
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.sink import Receipt, SinkContext, Transaction
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.registry import build_sink
from connector_runner.sources.ethereum import build_source
from connector_runner.sources.ethereum.decode import tables
from connector_runner.sources.ethereum.decode.responses import decode_block, decode_header, decode_objects
from connector_runner.sources.ethereum.verify.consistency import check_logs, check_transactions
from tests.servers.anvil import AnvilServer
from tests.servers.postgresql import PostgresServer

ROOT = Path(__file__).parents[2]
FIRST = 0x10000000
STREAMS = ("blocks", "transactions", "logs")
MEMORY_SECONDS = 15.0


@contextmanager
def node(count: int) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ethereum.canned", str(count)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


def best(work: Callable[[], Any], rounds: int = 5) -> float:
    """Seconds of the fastest of some rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


ROWS_EACH = {"blocks": 1, "transactions": 200, "logs": 400}


def decode_only() -> dict[str, dict[str, float]]:
    """From raw bytes to checked rows, by stream; beside web3.py's formatters on the same bytes."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)  # as in a runner, for both
    canned = Canned(48)
    raw = {name: [canned.result(name, number) for number in range(1, 41)] for name in ("light", "full", "logs")}

    def blocks() -> None:
        for body in raw["light"]:
            found = decode_block(body, tables.KNOWN_BLOCK)
            assert found
            assert tables.block_rows(*found)

    def transactions() -> None:
        for body in raw["full"]:
            found = decode_block(body, tables.KnownFullBlock)
            assert found
            assert len(tables.transaction_rows(found[0], check_transactions(*found))) == 200

    def logs() -> None:
        for light, body in zip(raw["light"], raw["logs"], strict=True):
            found, objects = decode_header(light), decode_objects(body, "logs", tables.KNOWN_LOG)
            assert found
            assert objects
            check_logs(found, objects)
            assert len(tables.log_rows(found, objects)) == 400

    theirs = web3_formatters(canned)
    figures = {}
    for work in (blocks, transactions, logs):
        name, seconds = work.__name__, best(work) / 40
        figures[name] = {
            "blocks/s": 1 / seconds, "rows/s": ROWS_EACH[name] / seconds, "ms a block": seconds * 1000,
            "web3.py, ms a block": theirs[name] * 1000, "ratio": theirs[name] / seconds,
        }  # fmt: skip
    return figures


def web3_formatters(canned: Canned) -> dict[str, float]:
    """Seconds a block."""
    from web3 import Web3
    from web3.providers.base import JSONBaseProvider

    class CannedProvider(JSONBaseProvider):
        body = b""

        def make_request(self, method: Any, params: Any) -> Any:
            return self.decode_rpc_response(b'{"jsonrpc":"2.0","id":1,"result":' + self.body + b"}")

    provider = CannedProvider()
    w3 = Web3(provider)
    figures = {}
    asks: dict[str, tuple[str, Callable[[], Any]]] = {
        "blocks": ("light", lambda: w3.eth.get_block(1)),
        "transactions": ("full", lambda: w3.eth.get_block(1, True)),
        "logs": ("logs", lambda: w3.eth.get_logs({})),
    }
    for name, (what, ask) in asks.items():
        provider.body = canned.result(what, 1)
        figures[name] = best(ask)
    return figures


class Silent(Telemetry):
    """Telemetry that notes when each row's block was committed."""

    def __init__(self) -> None:
        super().__init__(lambda *_args, **_fields: None, NoMeters())
        self.commits: dict[int, float] = {}
        self.is_subscribed = asyncio.Event()

    def note(self, message: str, **fields: Any) -> None:
        super().note(message, **fields)
        if message.startswith("subscribed"):
            self.is_subscribed.set()

    def committed(self, transaction: Transaction, receipt: Receipt, seconds: float) -> None:
        super().committed(transaction, receipt, seconds)
        if transaction.position is not None:
            self.commits[transaction.position["number"]] = time.perf_counter()


def source_of(url: str, telemetry: Telemetry, start: int = FIRST) -> Any:
    config = {"url": url, "startBlock": start, "maxBlockRange": 20}
    return build_source(SourceContext(config, "bench/chain", WriteMode.UPSERT, telemetry))


def _replay(batches: list[Batch], _telemetry: Telemetry) -> Replay:
    return Replay(batches)


async def drain(url: str, stream: str, count: int) -> tuple[float, list[Batch]]:
    """Seconds of the source alone, and its batches."""
    source = source_of(url, Silent())
    start = time.perf_counter()
    await source.open({stream: None})
    batches = []
    async for batch in source.batches():
        batches.append(batch)
        if batch.position["number"] == FIRST + count - 1:
            break
    seconds = time.perf_counter() - start
    await source.close()
    return seconds, batches


async def into(dataset: str, stream: str, last: int, build: Callable[[Silent], Any]) -> tuple[float, Silent]:
    """Seconds until the last block is committed."""
    telemetry = Silent()
    sink = build_sink(SinkContext(lambda: dataset, {stream: f"t_{time.monotonic_ns()}"}, "bench/chain", uid="u"))
    engine = Engine(lambda: build(telemetry), sink, telemetry, wait=True)
    start = time.perf_counter()
    task = asyncio.create_task(engine.run())
    while last not in telemetry.commits:
        await asyncio.sleep(0.01)
        if task.done():
            task.result()
    seconds = telemetry.commits[last] - start
    engine.stop()
    await task
    return seconds, telemetry


async def end_to_end(url: str, datasets: dict[str, str], count: int) -> list[dict[str, Any]]:
    results = []
    last = FIRST + count - 1
    for stream in STREAMS:
        before = cpu_seconds(resource.RUSAGE_SELF)
        alone, batches = await drain(url, stream, count)
        used = cpu_seconds(resource.RUSAGE_SELF) - before
        rows = sum(len(batch.rows) for batch in batches)
        for name, dataset in datasets.items():
            sink, _ = await into(dataset, stream, last, partial(_replay, batches))
            whole, _ = await into(dataset, stream, last, partial(source_of, url))
            results.append(
                {
                    "stream": stream, "sink": name, "blocks/s": count / whole, "rows/s": rows / whole,
                    "source alone, blocks/s": count / alone, "source alone, ms of CPU a block": used / count * 1000, "sink alone, blocks/s": count / sink,
                    "of the additive limit": (alone + sink) / whole,
                }
            )  # fmt: skip
            print(json.dumps(results[-1]), flush=True)
    return results


def memory(url: str, folder: str, stream: str) -> float:
    """Peak MB of a runner process in backfill, with the configuration's defaults."""
    manifest = Path(folder) / "connector.yaml"
    manifest.write_text(
        f"apiVersion: apperate.io/v1\nkind: Connector\nmetadata: {{name: bench}}\nspec: {{connectorType: ETHEREUM, datasetId: bench, "
        f"config: {{url: '{url}', startBlock: {FIRST}}}, selectedStream: {stream}, status: running}}\n"
        f"---\napiVersion: apperate.io/v1\nkind: Dataset\nmetadata: {{name: bench}}\nspec: {{url: 'sqlite:///{stream}.db'}}\n"
    )
    runner = Path(sys.executable).parent / "connector-runner"
    process = subprocess.Popen([runner, "run", "-f", manifest], cwd=folder, stderr=subprocess.DEVNULL)
    peak = 0.0
    end = time.monotonic() + MEMORY_SECONDS
    try:
        while time.monotonic() < end and process.poll() is None:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peak = max(peak, *(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))
            time.sleep(0.1)
    finally:
        process.terminate()
        process.wait(60)
    return peak


async def head_lag(dataset: str, count: int = 100) -> dict[str, float]:
    """Milliseconds from the node having a block (mining it has been answered) to its commit, over websockets."""
    with AnvilServer() as anvil:
        started: asyncio.Future[Silent] = asyncio.get_running_loop().create_future()

        def build(telemetry: Silent) -> Any:
            if not started.done():
                started.set_result(telemetry)
            return source_of(anvil.websocket_url, telemetry, 0)

        one, two, *_ = anvil.rpc("eth_accounts")
        anvil.mine(1)
        mined: dict[int, float] = {}

        async def produce() -> None:
            await (await started).is_subscribed.wait()
            for _ in range(count):
                for wei in range(5):
                    await asyncio.to_thread(
                        anvil.rpc, "eth_sendTransaction", {"from": one, "to": two, "value": hex(wei)}
                    )
                await asyncio.to_thread(anvil.rpc, "evm_mine")
                mined[len(mined) + 2] = time.perf_counter()
                await asyncio.sleep(0.1)

        producer = asyncio.create_task(produce())
        _, telemetry = await into(dataset, "transactions", count + 1, build)
        await producer
        lags = sorted(
            (telemetry.commits[number] - at) * 1000 for number, at in mined.items() if number in telemetry.commits
        )
        return {"p50": statistics.median(lags), "p95": lags[int(len(lags) * 0.95)], "blocks": len(lags)}


def conditions(count: int) -> dict[str, Any]:
    return {
        "blocks": count, "rows a block": ROWS_EACH, "python": platform.python_version(), "cores": os.cpu_count(),
        "load average before": os.getloadavg()[0], "transport": "HTTP on a loopback, the canned node on the same cores",
    }  # fmt: skip


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=400)
    count = parser.parse_args().blocks
    results: dict[str, Any] = {"conditions": conditions(count), "decoding": decode_only()}
    print(json.dumps(results), flush=True)
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as postgres:
        datasets = {"sqlite": f"sqlite:///{folder}/bench.db", "postgresql": postgres.url()}
        with node(count) as url:
            results["end to end"] = await end_to_end(url, datasets, count)
            peer = await asyncio.to_thread(measure_peer, url, datasets["postgresql"], FIRST, min(count, 300))
            results["ethereum-etl"] = peer
            results["blocks and transactions"] = compare(results["end to end"], peer)
        with node(20_000) as url:
            results["memory, MB"] = {name: await asyncio.to_thread(memory, url, folder, name) for name in STREAMS}
        results["head lag, ms"] = {name: await head_lag(dataset) for name, dataset in datasets.items()}
    Path(__file__).with_name("results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
