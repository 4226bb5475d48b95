"""What the proofs of lists cost in a backfill: each stream with `proveBackfill` on and off, in pairs, in one process.

`python -m benchmarks.ethereum.proofs [--blocks N] [--pairs N]` prints the CPU time of the source for each block (what it yields is dropped), and the requests. The
canned node is a process of its own, and has 128 blocks more than are read, as the newest 128 are always proven.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
from typing import Any

from benchmarks.ethereum.many_streams import STREAMS, read
from benchmarks.ethereum.measure import node
from connector_runner.pipeline.engine import OBJECTS_BETWEEN_COLLECTIONS
from connector_runner.sources.ethereum.chain import RING_BLOCKS


def line(pairs: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    """Medians of all pairs, and how they scatter."""

    def median(place: int, what: str) -> float:
        return round(statistics.median(pair[place][what] / pair[place]["blocks"] for pair in pairs), 4)

    more = sorted(1000 * (on["cpu"] / on["blocks"] - off["cpu"] / off["blocks"]) for on, off in pairs)
    return {
        "CPU seconds a block, on": median(0, "cpu"),
        "CPU seconds a block, off": median(1, "cpu"),
        "more, ms": round(statistics.median(more), 2),
        "more, of all pairs": [round(one, 2) for one in more],
        "requests a block, on": median(0, "requests"),
        "requests a block, off": median(1, "requests"),
    }


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    results: dict[str, Any] = {"blocks": options.blocks, "pairs": options.pairs, "load average": os.getloadavg()[0]}
    with node(options.blocks + RING_BLOCKS) as url:
        for stream in STREAMS:
            pairs = []
            for _ in range(options.pairs):
                on = await read(url, (stream,), options.blocks, True)
                off = await read(url, (stream,), options.blocks, False)
                pairs.append((on, off))
            results[stream] = line(pairs)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
