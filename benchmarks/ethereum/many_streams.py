"""Four streams of one chain in one connector beside each of them alone: what is asked of the node, and CPU time, in one process.

`python -m benchmarks.ethereum.many_streams [--blocks N] [--rounds N]` prints a table. The canned node is a process of its own; all
variants take turns in this process, so that a busy machine slows all of them. CPU time is that of the source: what it yields is dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import time
import urllib.request
from typing import Any

from benchmarks.ethereum.measure import FIRST, Silent, node
from connector_runner.pipeline.engine import OBJECTS_BETWEEN_COLLECTIONS
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.sources.ethereum import build_source

STREAMS = ("blocks", "transactions", "receipts", "logs")
VARIANTS: dict[str, tuple[str, ...]] = {**{stream: (stream,) for stream in STREAMS}, "together": STREAMS}
MOST_REQUESTS, MOST_CPU = 1.15, 1.5


def asked(url: str) -> dict[str, int]:
    """HTTP requests and JSON-RPC calls that the node has had."""
    with urllib.request.urlopen(f"{url}/asked", timeout=30) as answer:  # noqa: S310
        found: dict[str, int] = json.loads(answer.read())
    return found


async def read(url: str, streams: tuple[str, ...], count: int, prove: bool) -> dict[str, float]:
    """Reads so many blocks at least, from the first one; what it took."""
    config = {"url": url, "startBlock": FIRST, "proveBackfill": prove}
    before = await asyncio.to_thread(asked, url)
    start = time.process_time()
    source = build_source(SourceContext(config, "bench/chain", WriteMode.UPSERT, Silent()))
    await source.open(dict.fromkeys(streams))
    rows = 0
    async for batch in source.batches():
        rows += len(batch.rows)
        if batch.position["number"] >= FIRST + count - 1 and not batch.more and rows:
            break
    blocks = batch.position["number"] - FIRST + 1
    await source.close()
    used = time.process_time() - start
    after = await asyncio.to_thread(asked, url)
    return {"rows": rows, "blocks": blocks, "cpu": used, **{name: after[name] - before[name] for name in after}}


def table(found: dict[str, list[dict[str, float]]], count: int) -> dict[str, Any]:
    """The medians of all rounds, and the ratios to the most expensive stream alone, each of its own round."""
    lines = {
        name: {
            "ms of CPU a block": round(statistics.median(one["cpu"] for one in rounds) / count * 1000, 3),
            "calls a block": round(statistics.median(one["calls"] for one in rounds) / count, 3),
            "requests": statistics.median(one["requests"] for one in rounds),
            "rows": rounds[0]["rows"],
        }
        for name, rounds in found.items()
    }
    ratios = {}
    for what in ("cpu", "calls", "requests"):
        each = [
            whole[what] / max(found[stream][number][what] for stream in STREAMS)
            for number, whole in enumerate(found["together"])
        ]
        ratios[what] = {"median": round(statistics.median(each), 3), "all": [round(one, 3) for one in sorted(each)]}
    return {"streams": lines, "together / the most expensive alone": ratios}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    results: dict[str, Any] = {"blocks": options.blocks, "rounds": options.rounds, "load average": os.getloadavg()[0]}
    with node(options.blocks) as url:
        for prove in (True, False):
            found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
            for _ in range(options.rounds):
                for name, streams in VARIANTS.items():
                    found[name].append(await read(url, streams, options.blocks, prove))
            results[f"proveBackfill: {str(prove).lower()}"] = table(found, options.blocks)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
