"""Tables on a terminal by rich; where the output is none, `rows.format_plain` prints them."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from connector_runner.schemas.printable import printable

_STYLES = {"True": "green", "False": "red", "Unknown": "yellow", "running": "green"}


def build_table(header: Sequence[str], lines: Sequence[Sequence[str]], *, is_live: bool = False) -> Table:
    """A table; a cell that does not fit is folded, in a live table cut, so that each row is one line.

    Args:
        header: The columns' names.
        lines: The cells of each row.
        is_live: Whether it is drawn again and again.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in header:
        table.add_column(column, overflow="ellipsis" if is_live else "fold", no_wrap=is_live)
    for line in lines:
        table.add_row(*(Text(printable(cell), style=_STYLES.get(cell, "")) for cell in line))
    return table


def count_room(height: int, has_problem: bool) -> int:
    """How many rows a live table has on a terminal of so many lines."""
    return max(1, height - (5 if has_problem else 4))


def build_live_table(
    header: Sequence[str], lines: Sequence[Sequence[str]], *, more: int = 0, problem: str = ""
) -> RenderableType:
    """The rows that fit; below them how many more there are, and why the table is not up to date."""
    table = build_table(header, lines, is_live=True)
    if more > 0:
        table.caption = f"{more} more; all without -w"
    if not problem:
        return table
    return Group(table, Text(printable(problem), style="red", no_wrap=True, overflow="ellipsis"))
