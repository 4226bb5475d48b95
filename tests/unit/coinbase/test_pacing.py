"""When to try again."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.coinbase.pacing import backoff


@given(st.floats(0.01, 1.0), st.floats(1.0, 60.0))
def test_delays_double_up_to_the_longest_with_jitter(first: float, longest: float) -> None:
    for number, delay in enumerate(islice(backoff(first, longest), 20)):
        whole = min(longest, first * 2**number)
        assert 0.5 * whole <= delay <= 1.5 * whole


def test_delays_of_many_are_spread() -> None:
    assert len({next(backoff(1.0, 30.0)) for _ in range(50)}) > 40
