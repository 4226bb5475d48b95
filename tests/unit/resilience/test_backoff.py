"""When to try again."""

from hypothesis import given
from hypothesis import strategies as st

from connector_runner.resilience.backoff import UPPER_HALF, Backoff, backoff_delay

JITTERS = st.sampled_from([UPPER_HALF, (0.5, 1.5), (0.8, 1.2)])


@given(st.integers(0, 5000), st.floats(0.01, 1.0), st.floats(1.0, 600.0), st.floats(0, 1), JITTERS)
def test_a_delay_doubles_up_to_the_longest_with_jitter(
    attempt: int, first: float, longest: float, chance: float, jitter: tuple[float, float]
) -> None:
    whole = min(longest, first * 2 ** min(attempt, 100))
    least, greatest = whole * jitter[0], whole * jitter[1]
    delay = backoff_delay(attempt, first, longest, chance, jitter)
    assert least * 0.999999 <= delay <= greatest * 1.000001


def test_chance_chooses_within_the_jitter() -> None:
    assert [backoff_delay(3, 1, 60, chance) for chance in (0, 0.5, 1)] == [4, 6, 8]


def test_a_success_starts_over_and_what_was_asked_is_not_capped() -> None:
    backoff = Backoff(lambda: 1.0, first=1, longest=4)
    assert [backoff.next_delay() for _ in range(4)] == [1, 2, 4, 4]
    assert backoff.next_delay(at_least=90) == 90
    backoff.reset()
    assert backoff.next_delay() == 1
