"""The rate limit and the read-ahead."""

from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.fetch.prefetch import MOST_AHEAD, READ_AHEAD_BYTES, ReadAhead
from connector_runner.sources.ethereum.rpc.pacing import RateLimit, backoff


@given(st.lists(st.floats(0, 0.2), min_size=50, max_size=200), st.integers(1, 200))
def test_the_rate_is_never_exceeded(pauses: list[float], per_second: int) -> None:
    limit = RateLimit(per_second)
    now, sent = 100.0, []
    for pause in pauses:
        now += pause
        now += limit.reserve(now)
        sent.append(now)
    for start in sent:
        within = [moment for moment in sent if start <= moment < start + 1]
        assert len(within) <= per_second * 1.25 + 1


def test_no_rate_never_waits() -> None:
    assert RateLimit(None).reserve(5.0, 1000) == 0


def test_read_ahead_starts_with_one_and_is_bounded_in_bytes() -> None:
    ahead = ReadAhead()
    assert ahead.pieces == 1  # how large pieces are is not known
    grown = []
    for _ in range(6):
        ahead.arrived(1000)
        grown.append(ahead.pieces)
    assert grown == [2, 4, 8, MOST_AHEAD, MOST_AHEAD, MOST_AHEAD]
    ahead.arrived(READ_AHEAD_BYTES // 2)
    assert ahead.pieces == 2
    ahead.arrived(10 * READ_AHEAD_BYTES)
    assert ahead.pieces == 1
    for _ in range(100):
        ahead.arrived(1000)
    assert ahead.pieces == MOST_AHEAD


@given(st.integers(0, 60))
def test_backoff_is_capped(attempt: int) -> None:
    assert 0 < backoff(attempt, 2.0) <= 2.0
