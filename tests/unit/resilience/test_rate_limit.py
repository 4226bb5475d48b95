"""A rate is kept; after a pause a burst of known size may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.resilience.rate_limit import RateLimit

PAUSES = st.lists(st.floats(0, 0.5), min_size=50, max_size=200)


@given(PAUSES, st.integers(1, 200), st.floats(0, 2))
def test_the_rate_is_never_exceeded(pauses: list[float], per_second: int, burst: float) -> None:
    limit = RateLimit(per_second, burst)
    now, sent = 100.0, []
    for pause in pauses:
        now += pause
        now += limit.reserve(now)
        sent.append(now)
    for start in sent:
        within = [moment for moment in sent if start <= moment < start + 1]
        assert len(within) <= per_second * (1 + burst) + 1


@given(PAUSES, st.integers(1, 200), st.floats(0.1, 3))
def test_it_is_a_token_bucket_that_is_full_at_first(pauses: list[float], per_second: int, burst: float) -> None:
    limit = RateLimit(per_second, burst)
    tokens, last, now = per_second * burst, 50.0, 50.0
    for pause in pauses:
        now += pause
        tokens, last = min(per_second * burst, tokens + (now - last) * per_second) - 1, now
        assert limit.reserve(now) == pytest.approx(max(0.0, -tokens / per_second), abs=1e-9)


@given(PAUSES, st.integers(1, 5))
def test_a_batch_counts_as_its_requests(pauses: list[float], amount: int) -> None:
    together, apart, now = RateLimit(7), RateLimit(7), 9.0
    for pause in pauses:
        now += pause
        assert together.reserve(now, amount) == pytest.approx([apart.reserve(now) for _ in range(amount)][-1])


def test_no_rate_never_waits() -> None:
    assert RateLimit(None).reserve(5.0, 1000) == 0
