"""Any progress that somebody may claim to be a runner's."""

from __future__ import annotations

from hypothesis import strategies as st

from connector_runner.schemas.progress import Copying, FailedStream, Progress, StreamLag

NAMES = st.text(max_size=300)
NUMBERS = st.integers(-(2**80), 2**80)
RECORDS = st.builds(
    Progress, selected=NUMBERS, following=NUMBERS, copying=NUMBERS, failed=NUMBERS, done=NUMBERS, total=st.none() | NUMBERS,
    unit=NAMES, per_second=st.none() | NUMBERS, seconds_left=st.none() | NUMBERS, lag_seconds=st.none() | NUMBERS, rows=NUMBERS,
    rows_per_minute=st.none() | NUMBERS, commit_milliseconds=st.none() | NUMBERS,
    copies=st.lists(st.builds(Copying, NAMES, NUMBERS, st.none() | NUMBERS), max_size=9).map(tuple),
    slowest=st.lists(st.builds(StreamLag, NAMES, NUMBERS), max_size=9).map(tuple), last_commit=NAMES, problem=NAMES,
    failures=st.lists(st.builds(FailedStream, NAMES, NAMES, NAMES, NAMES), max_size=40).map(tuple),
)  # fmt: skip
