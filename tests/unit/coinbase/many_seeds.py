"""Many seeds of the net of the feed: `python -m tests.unit.coinbase.many_seeds 0-1999 --results FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from tests.simulators.seeds import Result, main
from tests.unit.coinbase.net import World
from tests.unit.coinbase.net_truth import problems


def run(seeds: Sequence[int]) -> Iterator[Result]:
    for seed in seeds:
        world = World(seed)
        world.run()
        found = next(iter(problems(world)), "")
        told = bool(world.incidents or world.notes)
        yield Result(seed, world.stream, world.draws.active, dict(world.draws.drawn), told, found)


if __name__ == "__main__":
    sys.exit(main("COINBASE", run))
