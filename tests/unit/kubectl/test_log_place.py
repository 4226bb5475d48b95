"""Up to where a log was read: cut anywhere, read again from a whole second on, each line comes once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connector_operator.kubectl.log_place import LogPlace

START = datetime(2026, 11, 29, 23, 59, 57, tzinfo=UTC)
STEPS = st.lists(st.tuples(st.sampled_from([0, 1, 400, 999, 2500]), st.sampled_from(["a", "b"])), max_size=12)
"""Milliseconds after the line before, and what the line says: the same text at the same time is another line."""


def build_log(steps: list[tuple[int, str]], zone: str = "Z") -> list[str]:
    moment, lines = START, []
    for step, text in steps:
        moment += timedelta(milliseconds=step)
        lines.append(f"{moment:%Y-%m-%dT%H:%M:%S.%f}000{zone} {text}")
    return lines


def serve(log: list[str], since: str) -> list[str]:
    """What an API server returns: it knows no parts of seconds."""
    return [line for line in log if not since or line[:19] >= since[:19]]


@given(steps=STEPS, cuts=st.lists(st.integers(0, 12), max_size=5), zone=st.sampled_from(["Z", "+02:00"]))
def test_each_line_comes_once_and_in_order(steps: list[tuple[int, str]], cuts: list[int], zone: str) -> None:
    log, place, taken = build_log(steps, zone), LogPlace(), []
    for cut in [*cuts, len(log)]:
        place.begin()
        assert place.since == "" or place.since.endswith(zone)
        taken += [said for line in serve(log, place.since)[:cut] if (said := place.take(line)) is not None]
    assert taken == [text for _, text in steps]


def test_lines_that_overtake_each_other_at_the_turn_of_a_second_come_once() -> None:
    log = [f"2026-11-29T00:00:{second}Z x" for second in ("01.000000001", "00.999999999", "01.000000002")]
    place = LogPlace()
    for count in (2, 3):
        place.begin()
        assert len([line for line in serve(log, place.since)[:count] if place.take(line)]) == count - (count == 3) * 2


def test_what_has_no_time_is_as_it_is() -> None:
    place = LogPlace()
    assert place.take("unable to retrieve container logs") == "unable to retrieve container logs"
    assert place.since == ""
