"""The net of the feed: by seed, everything that feeds are known to do; each dataset equals the truth, or a person is told.

`COINBASE_NET_SEEDS=5` or `COINBASE_NET_SEEDS=100-200` runs other seeds than the few of the ordinary suite, and prints the report.
"""

import os
from collections.abc import Iterable

import pytest

from tests.simulators.coinbase.relay import KINDS
from tests.simulators.draws import Report
from tests.unit.coinbase.net import World
from tests.unit.coinbase.net_truth import problems

FEW = range(150)
MANY = [range(first, first + 250) for first in range(0, 2000, 250)]
ENOUGH = int(os.environ.get("NET_FAILURES", "5"))
"""So many failures are shown; more would say nothing new."""
REPLAY = "COINBASE_NET_SEEDS"


def run(seeds: Iterable[int]) -> Report:
    report = Report()
    for seed in seeds:
        world = World(seed)
        world.run()
        found = list(problems(world))
        if found:
            report.fail(seed, f"({world.stream}, {world.mode}, {', '.join(world.draws.active)}) {found[0]}")
        else:
            report.add(world.draws, bool(world.incidents or world.notes))
        if len(report.failures) == ENOUGH:
            break
    print(report.text())
    return report


def chosen() -> Iterable[int]:
    """The seeds of the ordinary suite, or those that somebody wants to see again."""
    text = os.environ.get(REPLAY, "")
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1) if text else FEW


def test_a_few_seeds() -> None:
    report = run(chosen())
    assert not report.failures, report.text()


@pytest.mark.fault
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seeds", MANY, ids=str)
def test_two_thousand_seeds_draw_every_misbehaviour(seeds: range) -> None:
    report = run(seeds)
    assert not report.failures, report.text()
    assert set(KINDS) == set(report.drawn), report.text()


def test_a_seed_is_the_same_each_time() -> None:
    worlds = World(7), World(7)
    for world in worlds:
        world.run()
    assert [(w.stream, w.draws.drawn, w.told, w.incidents, dict(w.stored.writes)) for w in worlds[:1]] == [
        (w.stream, w.draws.drawn, w.told, w.incidents, dict(w.stored.writes)) for w in worlds[1:]
    ]
