"""Tables on a terminal by rich; where the output is none, `rows.format_plain` prints them."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in line))
    return table


def build_live_table(console: Console, header: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """As many rows as the terminal is high; the caption says how many more there are."""
    room = max(1, console.height - 4)
    table = build_table(header, lines[:room], is_live=True)
    if len(lines) > room:
        table.caption = f"{len(lines) - room} more; all without -w"
    return table
