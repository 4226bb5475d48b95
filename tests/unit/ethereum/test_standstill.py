"""When a head that stands still is reported."""

from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.endpoints.standstill import STANDSTILL_SECONDS, Standstill


def test_it_is_reported_late_and_then_ever_more_rarely() -> None:
    standstill = Standstill()
    moments = [now for now in range(0, 20_000, 10) if standstill.observe("a", 5.0 + now) is not None]
    assert moments == [900, 1800, 3600, 7200, 14400]
    assert standstill.observe("b", 20_010.0) is None
    assert standstill.observe("b", 20_010.0 + STANDSTILL_SECONDS) == STANDSTILL_SECONDS


@given(st.lists(st.floats(0, STANDSTILL_SECONDS - 1), max_size=50))
def test_a_head_that_moves_is_never_reported(gaps: list[float]) -> None:
    standstill, now = Standstill(), 0.0
    for number, gap in enumerate(gaps):
        assert standstill.observe(str(number), now) is None
        assert standstill.observe(str(number), now + gap) is None
        now += gap
