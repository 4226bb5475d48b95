"""Many seeds of the net of nodes: `python -m tests.integration.ethereum.many_seeds 0-1999 --results FILE`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence

from tests.integration.ethereum.net import hurried, run_seed
from tests.simulators.ethereum.recording import record
from tests.simulators.seeds import Result, main


def run(seeds: Sequence[int]) -> Iterator[Result]:
    """Each in an event loop of its own, against one recording."""
    recording = record() if seeds else None
    for seed in seeds:
        assert recording is not None

        async def one(seed: int = seed) -> Result:
            async with hurried():
                outcome = await run_seed(seed, recording)
            return Result(
                seed, outcome.stream, outcome.draws.active, dict(outcome.draws.drawn), bool(outcome.told), outcome.fault
            )

        yield asyncio.run(one())


if __name__ == "__main__":
    sys.exit(main("ETHEREUM", run))
