"""Random tests: whatever a node does to its responses, each stream's dataset is right, or the error is reported.

One seed again: `NET_SEEDS=17 pytest tests/integration/ethereum/test_net.py`; some: `NET_SEEDS=0-99`.
"""

import os
from collections.abc import Sequence

import pytest

from tests.integration.ethereum.net import World, hurried, run_seed
from tests.simulators.draws import Report
from tests.simulators.ethereum.recording import Recording, record, record_geth

FEW, MANY, CHUNK, WITH_GETH = 24, 2000, 100, 150
FOUND = (24, 28, 42, 43, 44, 45, 46, 47, 57, 59, 91, 109)
"""Seeds that find faults that were put back, and that no seed below `FEW` finds."""
ENOUGH = int(os.environ.get("NET_FAILURES", "3"))
"""Failures after which no more seeds are run."""


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record()


@pytest.fixture(scope="module")
def geth_recording() -> Recording:
    return record_geth()


def chosen(default: Sequence[int]) -> Sequence[int]:
    """The seeds from the environment, or the default."""
    first, _, last = os.environ.get("NET_SEEDS", "").partition("-")
    return range(int(first), int(last or first) + 1) if first else default


async def caught(seeds: Sequence[int], recording: Recording) -> Report:
    """What became of them; printed, for how often each misbehaviour was drawn."""
    report = Report()
    async with hurried():
        for seed in seeds:
            if len(report.failures) == ENOUGH:
                break
            outcome = await run_seed(seed, recording)
            if outcome.fault:
                report.fail(seed, f"{outcome.stream}, {', '.join(outcome.draws.active)}: {outcome.fault}")
            else:
                report.add(outcome.draws, bool(outcome.told))
    print(report.text())
    return report


@pytest.mark.timeout(900)
async def test_a_few_seeds(recording: Recording) -> None:
    report = await caught(chosen([*range(FEW), *FOUND]), recording)
    assert not report.failures, report.text()


@pytest.mark.fault
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(0, MANY, CHUNK))
async def test_two_thousand_seeds(recording: Recording, first: int) -> None:
    report = await caught(range(first, first + CHUNK), recording)
    assert not report.failures, report.text()


@pytest.mark.fault
@pytest.mark.timeout(3600)
async def test_seeds_with_geth(geth_recording: Recording) -> None:
    """Its headers, receipts and roots are those of the newest forks; traces are not recorded (they are in `test_geth.py`)."""
    assert geth_recording.new.head() > geth_recording.old.head()
    report = await caught(
        [seed for seed in chosen(range(WITH_GETH)) if World.of(seed).stream != "traces"], geth_recording
    )
    assert not report.failures, report.text()
