"""Ranges that tune themselves, the rate limit and the read-ahead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.pacing import (
    FIRST_RANGE,
    GROW_AFTER,
    MOST_AHEAD,
    RANGE_BYTES,
    READ_AHEAD_BYTES,
    RangeTuner,
    RateLimit,
    ReadAhead,
    backoff,
)


def grown(maximum: int) -> RangeTuner:
    """One that nothing limited so far."""
    tuner = RangeTuner(maximum)
    while tuner.size < maximum:
        tuner.answered(tuner.size, 100)
    return tuner


@pytest.mark.parametrize(
    ("asked", "suggested", "size"),
    [(1000, None, 500), (1000, 10, 10), (1000, 5000, 500), (1, None, 1), (1000, 0, 500), (3, None, 1)],
)
def test_shrinking(asked: int, suggested: int | None, size: int) -> None:
    tuner = grown(1000)
    tuner.shrink(asked, suggested)
    assert tuner.size == size
    tuner.shrink(asked, suggested)  # a second one of the same size, in flight at once, changes nothing
    assert tuner.size == size


def test_it_starts_with_a_few_blocks_as_their_size_is_not_known() -> None:
    assert RangeTuner(2000).size == FIRST_RANGE
    assert RangeTuner(3).size == 3


@given(limit=st.integers(1, 3000))
def test_it_finds_a_hidden_limit_and_stays_near_it(limit: int) -> None:
    tuner = RangeTuner(2000)
    refusals = 0
    for _ in range(400):
        if tuner.size > limit:
            refusals += 1
            tuner.shrink(tuner.size)
        else:
            tuner.answered(tuner.size, 0)
    assert min(limit, 2000) // 3 <= tuner.size <= 2000
    assert refusals < 400 / GROW_AFTER + 15


@given(each=st.integers(1, 20_000_000))
def test_answers_stay_small(each: int) -> None:
    """Blocks of `each` bytes: after the first few, no answer is larger than it should be, and none needlessly small."""
    tuner = RangeTuner(2000)
    for _ in range(300):
        tuner.answered(tuner.size, tuner.size * each)
    assert tuner.size == 1 or tuner.size * each <= 1.25 * RANGE_BYTES
    assert tuner.size == 2000 or (tuner.size + 1) * each > RANGE_BYTES / 2


def test_short_answers_do_not_grow_it() -> None:
    tuner = RangeTuner(100)
    for _ in range(50):
        tuner.answered(3, 100)
    assert tuner.size == FIRST_RANGE


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
