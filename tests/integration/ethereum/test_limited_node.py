"""A node with small limits is asked for as much as it takes, all the time: in virtual time, so that the machine's load changes nothing."""

from collections.abc import Iterator

import pytest

from benchmarks.ethereum.limited import AT_ONCE, SECONDS, fewest_requests, read_together
from connector_runner.sources.ethereum.chain import RING_BLOCKS
from connector_runner.sources.ethereum.endpoints.limits import KNOWN_LIMITS
from tests.kit.virtual_time import run_virtually

BLOCKS, LEARNING = 2000, 80
"""Requests that it takes to find the limits, and that are smaller than the node would allow."""


@pytest.fixture(autouse=True)
def _nothing_is_known() -> Iterator[None]:
    KNOWN_LIMITS.clear()
    yield
    KNOWN_LIMITS.clear()


def test_a_backfill_keeps_a_limited_node_busy_with_requests_as_large_as_it_takes() -> None:
    seconds, answered = run_virtually(read_together(BLOCKS))
    assert answered >= 0.95 * AT_ONCE * seconds / SECONDS, f"{answered} requests in {seconds} s: it waited for nothing"
    one_by_one = 2 * RING_BLOCKS  # the newest blocks: header and logs of each
    assert answered <= fewest_requests(BLOCKS) + one_by_one + LEARNING
