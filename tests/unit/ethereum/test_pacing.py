"""Ranges that tune themselves, the rate limit and the read-ahead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.pacing import (
    GROW_AFTER,
    MOST_AHEAD,
    READ_AHEAD_BYTES,
    RangeTuner,
    RateLimit,
    ReadAhead,
    backoff,
)


@pytest.mark.parametrize(
    ("asked", "suggested", "size"),
    [(1000, None, 500), (1000, 10, 10), (1000, 5000, 500), (1, None, 1), (1000, 0, 500), (3, None, 1)],
)
def test_shrinking(asked: int, suggested: int | None, size: int) -> None:
    tuner = RangeTuner(1000)
    tuner.shrink(asked, suggested)
    assert tuner.size == size
    tuner.shrink(asked, suggested)  # a second one of the same size, in flight at once, changes nothing
    assert tuner.size == size


@given(limit=st.integers(1, 3000))
def test_it_finds_a_hidden_limit_and_stays_near_it(limit: int) -> None:
    tuner = RangeTuner(2000)
    refusals = 0
    for _ in range(400):
        if tuner.size > limit:
            refusals += 1
            tuner.shrink(tuner.size)
        else:
            tuner.succeeded(tuner.size)
    assert min(limit, 2000) // 3 <= tuner.size <= 2000
    assert refusals < 400 / GROW_AFTER + 15


def test_short_answers_do_not_grow_it() -> None:
    tuner = RangeTuner(100)
    tuner.shrink(100)
    for _ in range(50):
        tuner.succeeded(3)
    assert tuner.size == 50


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


def test_no_rate_waits_only_when_held() -> None:
    limit = RateLimit(None)
    assert limit.reserve(5.0, 1000) == 0
    limit.hold(5.0, 2.0)
    assert limit.reserve(6.0) == 1.0
    assert limit.reserve(7.5) == 0


def test_read_ahead_is_bounded_in_bytes() -> None:
    ahead = ReadAhead()
    assert ahead.pieces == MOST_AHEAD
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
