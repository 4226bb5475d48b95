"""Many streams on a terminal while they run: those that matter by name, all others counted, no line wider than the terminal."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from connector_runner.pipeline.live_lines import MOST_LINES, build_live_lines
from connector_runner.schemas.printable import cells
from connector_runner.schemas.progress import Copying, FailedStream, Progress, StreamLag
from tests.kit.progress import RECORDS


def test_of_two_hundred_streams_those_that_matter_are_named_and_the_rest_is_counted() -> None:
    progress = Progress(
        selected=200, following=169, copying=30, failed=1, unit="rows",
        failures=(FailedStream("shop.b", "KeyMissing", "It has no \x1b[31mkey."),),
        copies=(Copying("shop.a", 29_000, 40_000), Copying("店.表", 7), Copying("shop.b", 1, 2)),
        slowest=(StreamLag("shop.a", 90), StreamLag("shop.z", 3_200)),
    )  # fmt: skip
    assert build_live_lines(progress, 80, 24) == [
        "shop.b  failed   KeyMissing: It has no \\x1b[31mkey.",
        "shop.a  copying   72 % of 40,000 rows",
        "店.表   copying  7 rows",
        "shop.z  behind   3,200 s",
        "and 196 more: 28 copying, 168 following",
    ]


def test_a_single_stream_has_its_figures_alone() -> None:
    assert build_live_lines(Progress(selected=1, copies=(Copying("a", 1, 2),)), 80, 24) == []


def test_where_nothing_matters_all_are_counted() -> None:
    assert build_live_lines(Progress(selected=40, following=40), 80, 24) == ["40 streams: 40 following"]


@given(RECORDS, st.integers(min_value=1, max_value=200), st.integers(min_value=1, max_value=60))
def test_every_line_fits_and_is_printable(progress: Progress, width: int, height: int) -> None:
    lines = build_live_lines(progress, width, height)
    assert len(lines) <= min(MOST_LINES, max(1, height // 2)) + 1
    for line in lines:
        assert cells(line) <= width
        assert line.isprintable()


@given(st.integers(min_value=2, max_value=500), st.data())
def test_the_counts_are_those_of_all_streams(selected: int, data: st.DataObject) -> None:
    failed = data.draw(st.integers(min_value=0, max_value=selected))
    copying = data.draw(st.integers(min_value=0, max_value=selected - failed))
    progress = Progress(
        selected=selected, failed=failed, copying=copying, following=selected - failed - copying,
        failures=tuple(FailedStream(f"f{at}", "Broken") for at in range(min(20, failed))),
        copies=tuple(Copying(f"c{at}", at) for at in range(min(5, copying))),
    )  # fmt: skip
    *named, last = build_live_lines(progress, 200, 100)
    counted = {
        word: int(number.replace(",", "")) for number, word in re.findall(r"([\d,]+) ([a-z]+)", last.partition(":")[2])
    }
    if not counted:
        named.append(last)
    for state, number in (("failed", failed), ("copying", copying)):
        shown = sum(f"  {state}" in line for line in named)
        assert shown + counted.get(state, 0) == number
    assert sum(counted.values()) + len(named) == selected
