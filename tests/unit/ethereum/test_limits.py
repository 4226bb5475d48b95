"""What an endpoint allows: ranges, batches, requests at a time and time-outs that tune themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.endpoints.limits import (
    AT_ONCE,
    FIRST_RANGE,
    GROW_AFTER,
    KNOWN_LIMITS,
    LONGEST_SILENCE,
    QUICK_ANSWERS,
    RANGE_BYTES,
    ConcurrencyLimit,
    Limit,
    RangeTuner,
    ReadTimeout,
    limits_of,
)
from connector_runner.sources.ethereum.rpc.transport import SILENCE_SECONDS


def grown(maximum: int) -> RangeTuner:
    """One that nothing limited so far."""
    tuner = RangeTuner(maximum)
    while tuner.size < maximum:
        tuner.measured(tuner.take(maximum), 100)
    return tuner


@pytest.mark.parametrize(
    ("asked", "suggested", "size"),
    [(1000, None, 500), (1000, 10, 10), (1000, 5000, 500), (1, None, 1), (1000, 0, 500), (3, None, 1)],
)
def test_shrinking(asked: int, suggested: int | None, size: int) -> None:
    tuner = grown(1000)
    tuner.refused(asked, suggested)
    assert tuner.size == size
    tuner.refused(asked, suggested)  # a second one of the same size, in flight at once, changes nothing
    assert tuner.size == size


def test_it_starts_with_a_few_blocks_as_their_size_is_not_known() -> None:
    assert RangeTuner(2000).size == FIRST_RANGE
    assert RangeTuner(3).size == 3


@given(limit=st.integers(1, 3000))
def test_it_finds_a_hidden_limit_and_stays_near_it(limit: int) -> None:
    tuner = RangeTuner(2000)
    refusals = 0
    for _ in range(400):
        if (asked := tuner.take(2000)) > limit:
            refusals += 1
            tuner.refused(asked)
        else:
            tuner.measured(asked, 0)
    assert min(limit, 2000) // 3 <= tuner.size <= 2000
    assert refusals < 400 / GROW_AFTER + 15


@given(each=st.integers(1, 20_000_000))
def test_answers_stay_small(each: int) -> None:
    """Blocks of `each` bytes: after the first few, no answer is larger than it should be, and none needlessly small."""
    tuner = RangeTuner(2000)
    for _ in range(300):
        asked = tuner.take(2000)
        tuner.measured(asked, asked * each)
    assert tuner.size == 1 or tuner.size * each <= 1.25 * RANGE_BYTES
    assert tuner.size == 2000 or (tuner.size + 1) * each > RANGE_BYTES / 2


def test_short_answers_do_not_grow_it() -> None:
    tuner = RangeTuner(100)
    for _ in range(50):
        tuner.measured(3, 100)
    assert tuner.size == FIRST_RANGE


def asked_of(limit: Limit, allowed: int, answers: int, *, is_certain: bool) -> tuple[int, int]:
    """Blocks that a server of a fixed limit answers for with so many answers, and how many refusals it takes."""
    done = refusals = 0
    for _ in range(answers):
        while (asked := limit.take(10_000)) > allowed:
            limit.refused(asked, is_certain=is_certain)
            refusals += 1
        limit.answered(asked)
        done += asked
    return done, refusals


@pytest.mark.parametrize("is_certain", [True, False])
@given(allowed=st.integers(1, 3000))
def test_a_limit_in_unknown_words_is_found_and_kept_to(is_certain: bool, allowed: int) -> None:
    limit = RangeTuner(2000)
    asked_of(limit, allowed, 60, is_certain=is_certain)
    done, refusals = asked_of(limit, allowed, 1000, is_certain=is_certain)
    assert done >= 0.9 * 1000 * min(allowed, 2000)
    assert refusals <= 40


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20), is_certain=st.booleans())
def test_every_refusal_leads_to_something_smaller(sizes: list[int], is_certain: bool) -> None:
    limit = Limit(40, 40)
    for asked in sizes:
        limit.refused(asked, is_certain=is_certain)
        assert 1 <= limit.size <= max(1, asked - 1)


def test_trouble_that_the_smallest_request_gets_too_is_no_limit() -> None:
    limit = grown(1000)
    limit.refused(1000, is_certain=False)
    while limit.size > 1:
        limit.refused(limit.size, is_certain=False)
    limit.restore()
    assert limit.size == 1000


def test_a_limit_that_is_gone_is_found_gone() -> None:
    limit = Limit(40, 40)
    asked_of(limit, 3, 500, is_certain=False)
    assert limit.size <= 4
    asked_of(limit, 40, 3000, is_certain=False)
    assert limit.size == 40


@pytest.mark.parametrize(("suggested", "size"), [(100, 100), (128, 127), (129, 64), (0, 64)])
def test_a_suggestion_that_was_refused_itself_is_taken_for_the_difference_of_both_ends(
    suggested: int, size: int
) -> None:
    limit = Limit(2000, 128)
    limit.refused(128, suggested)
    assert limit.size == size


@given(allowed=st.integers(1, 3000), suggested=st.integers(1, 3000))
def test_a_number_that_is_no_limit_hinders_nothing(allowed: int, suggested: int) -> None:
    """Each refusal contains the same number, which was mistaken for the limit."""
    limit, done = RangeTuner(2000), 0
    for number in range(400):
        if (asked := limit.take(2000)) > allowed:
            limit.refused(asked, suggested)
        else:
            limit.answered(asked)
            done += asked if number >= 100 else 0
    assert done >= 0.8 * 300 * min(allowed, 2000)


@given(allowed=st.integers(1, 3000))
def test_a_refusal_that_repeats_what_was_asked_for_is_no_suggestion(allowed: int) -> None:
    limit, refusals = Limit(10_000, 5000), 0
    for _ in range(60):
        if (asked := limit.take(10_000)) > allowed:
            limit.refused(asked, asked)
            refusals += 1
        else:
            limit.answered(asked)
    assert refusals <= 40
    assert limit.size >= 0.5 * allowed


def test_fewer_requests_at_a_time_and_more_again() -> None:
    concurrency = ConcurrencyLimit()
    for _ in range(AT_ONCE):  # all that are on their way fail together
        concurrency.failed(AT_ONCE)
    assert concurrency.size == AT_ONCE // 2
    for in_flight in (16, 8, 4, 2, 1, 1):
        concurrency.failed(in_flight)
    assert concurrency.size == 1
    for _ in range(AT_ONCE * AT_ONCE):
        concurrency.answered()
    assert concurrency.size == AT_ONCE


def test_a_slow_answer_is_waited_for_longer_each_time() -> None:
    patience = ReadTimeout()
    seen = []
    for _ in range(8):
        patience.timed_out(patience.seconds)
        seen.append(patience.seconds)
    assert seen[:3] == [2 * SILENCE_SECONDS, 4 * SILENCE_SECONDS, 8 * SILENCE_SECONDS]
    assert seen[-1] == LONGEST_SILENCE
    for _ in range(10 * QUICK_ANSWERS):
        patience.answered(0.1)
    assert patience.seconds == SILENCE_SECONDS


def test_what_is_known_of_an_endpoint_outlives_a_source() -> None:
    limits_of("http://one").batch.refused(40)
    assert limits_of("http://one").batch.size == 20
    assert limits_of("http://two").batch.size == 40
    assert limits_of("http://one").log_range(100) is limits_of("http://one").log_range(100)
    KNOWN_LIMITS.clear()
    assert limits_of("http://one").batch.size == 40


def test_more_is_tried_by_one_request_at_a_time() -> None:
    limit = Limit(40, 2)
    limit.answered(2)
    assert [limit.take(40) for _ in range(3)] == [4, 2, 2]
    assert limit.allows(4)
    assert not limit.allows(3)
    limit.answered(4)
    assert [limit.take(40) for _ in range(3)] == [8, 4, 4]
    limit.refused(8)
    assert limit.size == 4


def test_a_trial_waits_for_a_request_that_is_large_enough() -> None:
    limit = Limit(40, 2)
    limit.answered(2)
    assert limit.take(3) == 2
    assert limit.take(4) == 4
