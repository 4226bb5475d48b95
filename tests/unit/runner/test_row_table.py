"""Rows on a terminal: whole values, columns that fit, the others by name; nothing in a value moves the cursor."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from connector_runner.commands.row_table import GAP, build_list, build_table, show_value

VALUES = st.one_of(
    st.none(), st.integers(), st.text(max_size=30), st.decimals(allow_nan=False), st.binary(max_size=20), st.dates()
)
NAMES = st.lists(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), min_size=1, max_size=8, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    names = draw(NAMES)
    return names, draw(st.lists(st.lists(VALUES, min_size=len(names), max_size=len(names)), max_size=5))


def test_a_table_that_fits() -> None:
    rows = [[1, Decimal("1.50"), None], [20, Decimal("0.1"), dt.date(2026, 1, 2)]]
    assert build_table(["id", "price", "day"], rows, 80) == [
        "id  price  day",
        "1   1.50",
        "20  0.1    2026-01-02",
    ]


def test_a_column_that_does_not_fit_is_named_and_the_next_one_is_tried() -> None:
    lines = build_table(["id", "body", "n"], [[1, "x" * 100, 7]], 20)
    assert lines[:2] == ["id  n", "1   7"]
    assert lines[2] == "not shown, too wide: body (--wide, --vertical or --output json shows all)"


def test_where_the_first_column_does_not_fit_there_is_a_line_for_each_value() -> None:
    rows = [["x" * 100, 1], ["y", 2]]
    assert build_table(["body", "n"], rows, 20) == build_list(["body", "n"], rows)
    assert build_list(["body", "n"], rows) == [f"body  {'x' * 100}", "n     1", "", "body  y", "n     2"]


def test_wide_characters_keep_the_columns_straight() -> None:
    lines = build_table(["name", "n"], [["日本", 1], ["ab", 2]], 80)
    assert [cell_len(line) for line in lines] == [7, 7, 7]


def test_what_would_drive_the_terminal_is_shown_as_an_escape() -> None:
    assert show_value("a\x1b[31mred\nnext\u202e\x9b") == "a\\x1b[31mred\\nnext\\u202e\\x9b"


@given(tables(), st.integers(min_value=1, max_value=120))
def test_values_are_whole_and_no_column_is_lost(table: tuple[list[str], list[list[Any]]], width: int) -> None:
    names, rows = table
    lines = build_table(names, rows, width)
    if lines == build_list(names, rows):
        return
    named = lines[-1].partition(": ")[2].partition(" (")[0].split(", ") if lines[-1].startswith("not shown") else []
    shown = lines[: len(rows) + 1]
    assert [name for name in names if name not in named] == shown[0].split()
    assert all(cell_len(line) <= width for line in shown)
    for line, row in zip(shown[1:], rows, strict=True):
        for name, value in zip(names, row, strict=True):
            assert name in named or show_value(value).strip() in line


@given(tables())
def test_without_a_limit_every_value_is_there(table: tuple[list[str], list[list[Any]]]) -> None:
    names, rows = table
    lines = build_table(names, rows, None)
    assert lines[0].split(GAP.strip() or None) == names
    assert len(lines) == len(rows) + 1
