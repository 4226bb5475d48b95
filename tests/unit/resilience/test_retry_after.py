"""One rule for the header of every server."""

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.resilience.retry_after import parse_retry_after

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), (" ", None), ("0", 0.0), ("3", 3.0), (" 3 ", 3.0), ("0.5", 0.5), ("-1", 0.0), ("soon", None),
     ("nan", None), ("inf", None), ("-inf", None), ("99999", 600.0), ("1e9", 600.0),
     ("Tue, 24 Nov 2026 00:00:30 GMT", 30.0), ("Tue, 24 Nov 2026 00:00:30 -0000", 30.0), ("Mon, 23 Nov 2026 00:00:00 GMT", 0.0),
     ("Tuesday, 24-Nov-26 00:00:30 GMT", 30.0), ("Tue Nov 24 00:00:30 2026", 30.0),
     ("Fri, 31 Dec 9999 23:59:59 GMT", 600.0), ("Tue, 99 Nov 2026 00:00:30 GMT", None)],
)  # fmt: skip
def test_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW, longest=600) == seconds


def test_a_date_needs_a_clock() -> None:
    assert parse_retry_after("Tue, 24 Nov 2026 00:00:30 GMT") is None


@given(st.text() | st.from_regex(r"\w{3}, \d{1,30} \w{3} \d{1,30} \d+:\d+:\d+ [+-]?\w+", fullmatch=True))
def test_whatever_a_server_sends_is_a_wait_or_nothing(header: str) -> None:
    seconds = parse_retry_after(header, NOW, longest=60)
    assert seconds is None or (0 <= seconds <= 60 and math.isfinite(seconds))
