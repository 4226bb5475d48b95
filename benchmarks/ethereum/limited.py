"""A backfill of the stream logs from a node that takes 3 requests a batch and 100 blocks a log query, and 50 ms for each, 4 at a time.

`python -m benchmarks.ethereum.limited [--blocks N]` prints how near to the node's own limit it came (N/100 log queries and N/3
batches of headers, four at a time), and to what a plain client reaches of it beside, before and after, on this machine.
`--virtual` computes the waiting instead (`tests.kit.virtual_time`): that is what requests and their order cost, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.sources.ethereum import build_source
from connector_runner.sources.ethereum.verify.bloom import bloom_of
from tests.kit.virtual_time import run_virtually

ROOT = Path(__file__).parents[2]
BATCH, RANGE, SECONDS, AT_ONCE = 3, 100, 0.05, 4
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def log_of(number: int) -> dict[str, Any]:
    return {
        "blockNumber": hex(number), "blockHash": f"0x{number:064x}", "logIndex": "0x0", "transactionIndex": "0x0",
        "transactionHash": f"0x{number:064x}", "address": "0x" + "a0" * 20, "topics": [TRANSFER], "data": "0x", "removed": False,
    }  # fmt: skip


BLOOM = f"0x{bloom_of([log_of(1)]):0512x}"


def header_of(number: int) -> dict[str, Any]:
    return {
        "number": hex(number), "hash": f"0x{number:064x}", "parentHash": f"0x{max(0, number - 1):064x}",
        "timestamp": hex(number), "logsBloom": BLOOM, "transactions": [f"0x{number:064x}"], "transactionsRoot": "0x" + "11" * 32,
    }  # fmt: skip


def refusal(message: str) -> dict[str, Any]:
    return {"error": {"code": -32602, "message": message}}


class Node:
    """A chain of `count` blocks, each with a log.

    Attributes:
        answered: How many HTTP requests it answered.
    """

    def __init__(self, count: int) -> None:
        self.answered = 0
        self._count = count
        self._gate = asyncio.Semaphore(AT_ONCE)

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        params = call["params"]
        match call["method"]:
            case "eth_chainId":
                return {"result": "0x1"}
            case "eth_getBlockByNumber":
                number = self._count - 1 if params[0] == "latest" else int(params[0], 16)
                return {"result": header_of(number) if number < self._count else None}
            case "eth_getLogs" if "blockHash" in params[0]:
                return {"result": [log_of(int(params[0]["blockHash"], 16))]}
            case "eth_getLogs":
                first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
                if last - first >= RANGE:
                    return refusal(f"query exceeds max block range {RANGE}")
                return {"result": [log_of(number) for number in range(first, last + 1)]}
        return {"error": {"code": -32601, "message": "Method not found"}}

    async def handle(self, request: web.Request) -> web.Response:
        calls = msgspec.json.decode(await request.read())
        async with self._gate:
            await asyncio.sleep(SECONDS)
        self.answered += 1
        if isinstance(calls, list) and len(calls) > BATCH:
            message = f"Batch of more than {BATCH} requests are not allowed on free tier"
            found: Any = [{"id": call["id"], "error": {"code": 31, "message": message}} for call in calls]
            return web.Response(status=500, body=msgspec.json.encode(found))
        found = [
            {"jsonrpc": "2.0", "id": call["id"], **self._answer(call)}
            for call in (calls if isinstance(calls, list) else [calls])
        ]
        return web.Response(body=msgspec.json.encode(found if isinstance(calls, list) else found[0]))


@asynccontextmanager
async def served(node: Node) -> AsyncIterator[str]:
    """Its URL."""
    app = web.Application()
    app.router.add_post("/", node.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    finally:
        await runner.cleanup()


async def serve(count: int) -> None:
    async with served(Node(count)) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


def fewest_requests(count: int) -> int:
    """For so many blocks, by ranges and batches as large as the node takes."""
    return math.ceil(count / RANGE) + math.ceil(count / BATCH)


async def read_together(count: int) -> tuple[float, int]:
    """Node and source in one event loop: seconds, and HTTP requests that the node answered."""
    node = Node(count + 1)
    async with served(node) as url:
        return await read(url, count + 1), node.answered


async def plain(url: str, requests: int = 400) -> float:
    """Seconds that each request takes of a client that does nothing but keep as many on their way as the node answers at a time."""
    import aiohttp

    body = msgspec.json.encode(
        [{"jsonrpc": "2.0", "id": n, "method": "eth_getBlockByNumber", "params": [hex(n), False]} for n in range(BATCH)]
    )
    left = iter(range(requests))
    async with aiohttp.ClientSession() as session:

        async def work() -> None:
            for _ in left:
                async with session.post(url, data=body) as response:
                    await response.read()

        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return (time.perf_counter() - start) / requests


async def read(url: str, count: int) -> float:
    """Seconds until the last block was handed over."""
    now = asyncio.get_running_loop().time
    telemetry = Telemetry(lambda *_args, **_fields: None, NoMeters())
    config = {"url": url, "startBlock": 1, "maxBlockRange": 2000, "proveBackfill": False}
    source = build_source(SourceContext(config, "bench/chain", WriteMode.UPSERT, telemetry))
    start = now()
    await source.open({"logs": None})
    rows = 0
    async for batch in source.batches():
        rows += len(batch.rows)
        if batch.position["number"] == count - 1:
            break
    seconds = now() - start
    assert rows == count - 1
    await source.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=10_000)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--virtual", action="store_true", help="compute the waiting instead of waiting")
    arguments = parser.parse_args()
    count = arguments.blocks
    requests = fewest_requests(count)
    limit = requests * SECONDS / AT_ONCE
    if arguments.serve:
        asyncio.run(serve(count))
        return
    if arguments.virtual:
        seconds, answered = run_virtually(read_together(count))
        figures = {
            "blocks": count,
            "virtual seconds": round(seconds, 1),
            "limit, seconds": round(limit, 1),
            "of the limit": round(limit / seconds, 3),
            "requests": answered,
            "fewest requests": requests,
        }
        print(json.dumps(figures))
        return
    command = [sys.executable, "-m", "benchmarks.ethereum.limited", "--serve", "--blocks", str(count + 1)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        before = asyncio.run(plain(url))
        seconds = asyncio.run(read(url, count + 1))
        each = (before + asyncio.run(plain(url))) / 2
    finally:
        process.kill()
        process.wait()
    figures = {
        "blocks": count,
        "seconds": round(seconds, 1),
        "limit, seconds": round(limit, 1),
        "of the limit": round(limit / seconds, 3),
        "of what a plain client reaches": round(requests * each / seconds, 3),
        "load average": os.getloadavg()[0],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
