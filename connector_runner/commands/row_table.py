"""Rows as text for people: a table of the columns that fit whole, or one line a value. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector_runner.datasets.dead_letters import json_value
from connector_runner.schemas.printable import cells, printable

GAP = "  "


def show_value(value: Any) -> str:
    """A value on one line, whole; what would move the cursor or change colours is written as an escape. NULL is shown as empty."""
    return "" if value is None else printable(str(json_value(value)))


def build_table(names: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> list[str]:
    """The lines of a table.

    Columns stay in order; one that does not fit whole is left out, and a last line names it. If not even the first one fits, the
    values are listed as in `build_list`.

    Args:
        names: The columns.
        rows: Their values.
        width: Cells in a line; None: no limit.
    """
    shown_names = [show_value(name) for name in names]
    texts = [[show_value(value) for value in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(shown_names, *texts, strict=True)]
    chosen, used = [], -len(GAP)
    for place, wide in enumerate(widths):
        if width is None or used + len(GAP) + wide <= width:
            chosen.append(place)
            used += len(GAP) + wide
        elif not chosen:
            return build_list(names, rows)
    lines = [_line(line, chosen, widths) for line in [shown_names, *texts]]
    left_out = [name for place, name in enumerate(shown_names) if place not in chosen]
    if left_out:
        lines.append(f"not shown, too wide: {', '.join(left_out)} (--wide, --vertical or --output json shows all)")
    return lines


def _line(texts: Sequence[str], chosen: Sequence[int], widths: Sequence[int]) -> str:
    padded = [texts[place] + " " * (widths[place] - cells(texts[place])) for place in chosen]
    return GAP.join(padded).rstrip()


def build_list(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """The lines of all rows, a line for each value, with an empty line between rows."""
    shown_names = [show_value(name) for name in names]
    wide = max(map(cells, shown_names), default=0)
    lines: list[str] = []
    for row in rows:
        if lines:
            lines.append("")
        for name, value in zip(shown_names, row, strict=True):
            lines.append(f"{name}{' ' * (wide - cells(name))}{GAP}{show_value(value)}".rstrip())
    return lines
