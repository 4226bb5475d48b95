"""The table: what is in a row, and that nothing of it is lost."""

import io
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from connector_operator.kubectl.fields import describe_age, describe_time
from connector_operator.kubectl.rows import (
    build_cells,
    build_document,
    build_header,
    build_summary,
    fit_columns,
    format_plain,
    sort_summaries,
)
from connector_operator.kubectl.sentences import explain, format_lines
from connector_operator.kubectl.streams import build_stream_cells, list_streams, say_missing_streams
from connector_operator.kubectl.tables import build_live_table, build_table, count_room
from connector_operator.resources.times import format_time
from connector_runner.schemas.printable import cells
from tests.unit.kubectl.objects import NOW, connector

WORDS = st.sampled_from(
    ["metadata", "name", "spec", "status", "state", "conditions", "type", "Ready", "reason", "message", "progress",
     "failures", "streams", "id", "selection", "idle", "problems", "discovery", "lastExecution", "run", "exitCode", "include"]
)  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=15,
)

SLOWLY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""On a loaded machine."""


def test_a_row_has_what_the_status_says() -> None:
    progress = {"text": "copying 40 %, 12m left", "lag": "3h"}
    row = build_summary(connector(progress=progress, selection={"text": "37 streams"}))
    line = ("trades", "COINBASE", "running", "True", "Running", "37 streams", "copying 40 %, 12m left", "3h", "4d")
    assert build_cells(row, NOW, with_namespace=False) == line
    assert build_cells(row, NOW, with_namespace=True) == ("shop", *line)
    assert len(build_header(with_namespace=True)) == len(line) + 1


def test_what_an_older_operator_does_not_write_is_shown_as_unknown() -> None:
    made = connector()
    del made["status"]
    row = build_summary(made)
    assert build_cells(row, NOW, with_namespace=False)[2:] == ("-", "-", "-", "ticker", "-", "-", "4d")
    assert not row.is_observed
    assert build_document(row)["progress"] == ""


def test_patterns_stand_for_streams_until_these_are_known() -> None:
    made = connector()
    made["spec"] = {"streams": {"include": ["shop.*", "crm.*"]}}
    assert build_summary(made).streams == "shop.*, crm.*"


def test_rows_are_in_the_order_of_their_names() -> None:
    names = [row.name for row in sort_summaries(build_summary(connector(name)) for name in ("b", "c", "a"))]
    assert names == ["a", "b", "c"]


CELLS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=90)


@SLOWLY
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5))
def test_nothing_is_cut_where_the_output_is_no_terminal(lines: list[list[str]]) -> None:
    assert [line.split() for line in format_plain(lines).split("\n")[:-1]] == lines


def drawn(table: object, width: int, height: int = 10) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(table)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_on_a_narrow_terminal_a_cell_is_folded_not_cut() -> None:
    said = "".join(drawn(build_table(("A", "B"), [("x" * 50, "y")], width=20), 20).split())
    assert said.count("x") == 50


def test_a_terminal_that_is_too_narrow_does_without_columns_and_names_them() -> None:
    lines = [("billing-0001", "COINBASE", "running", "shop.orders"), ("店", "MYSQL", "stopped", "-")]
    header, optional = ("NAME", "TYPE", "STATE", "STREAMS"), ("TYPE", "STREAMS")
    said = drawn(build_table(header, lines, width=36, optional=optional), 36)
    assert said.partition("\n")[0].split() == ["NAME", "STATE", "STREAMS"]
    assert "billing-0001" in said
    assert "not shown, too wide: TYPE" in said
    assert "not shown" not in drawn(build_table(header, lines, width=44, optional=optional), 44)


@SLOWLY
@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5), st.integers(min_value=1, max_value=300)
)
def test_columns_are_left_out_in_order_and_no_more_than_needed(lines: list[list[str]], width: int) -> None:
    chosen = fit_columns(("A", "B", "C"), lines, width, ("C", "B"), 2)
    assert chosen in ([0, 1, 2], [0, 1], [0])
    widths = [max(cells(line[place]) for line in lines) for place in range(3)]
    if len(chosen) < 3:
        assert sum(widths[: len(chosen) + 1]) + 2 * len(chosen) > width


def test_a_live_table_fits_and_says_how_many_rows_do_not() -> None:
    lines = [(f"c{number}", "word " * 20) for number in range(20)]
    shown = lines[: count_room(10, has_problem=False)]
    said = drawn(build_live_table(("NAME", "MESSAGE"), shown, width=40, more=len(lines) - len(shown)), 40)
    assert said.count("\n") <= 10
    assert "c4" in said
    assert "15 more" in said


def test_a_live_table_says_why_it_is_not_up_to_date_on_one_line() -> None:
    shown = [(f"c{number}", "") for number in range(count_room(10, has_problem=True))]
    said = drawn(
        build_live_table(("NAME", "MESSAGE"), shown, width=40, more=7, problem="No answer \x1b[2J" + "x" * 90), 40
    )
    assert said.count("\n") <= 10
    assert "7 more" in said
    assert "No answer \\x1b[2J" in said


def test_a_cell_does_not_drive_the_terminal() -> None:
    assert "\x1b" not in drawn(build_table(("A",), [("\x1b[31mred\x07",)], width=40), 40)


@SLOWLY
@given(st.dictionaries(WORDS, JUNK, max_size=6))
def test_any_object_is_shown(made: dict[str, Any]) -> None:
    cells = build_cells(build_summary(made), NOW, with_namespace=True)
    assert all(cells)
    assert format_lines(explain(made, NOW))
    assert all(build_stream_cells(stream) for stream in list_streams(made))
    assert isinstance(say_missing_streams(made), str)


@pytest.mark.parametrize(
    ("seconds", "age"), [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (86_400 * 3, "3d")]
)
def test_ages_are_as_kubectl_shows_them(seconds: int, age: str) -> None:
    assert describe_age(format_time(NOW - timedelta(seconds=seconds)), NOW) == age


def test_a_time_says_how_far_away_it_is() -> None:
    assert describe_time("2026-11-28T14:58:00Z", NOW) == "2026-11-28T14:58:00Z (2m ago)"
    assert describe_time("2026-11-28T15:00:40Z", NOW) == "2026-11-28T15:00:40Z (in 40s)"
    assert describe_time("soon", NOW) == "soon"
