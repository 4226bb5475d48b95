"""Tables on a terminal by rich; where the output is none, `rows.format_plain` prints them."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from connector_operator.kubectl.rows import fit_columns
from connector_runner.schemas.printable import printable

GAP = 2
_STYLES = {"True": "green", "False": "red", "Unknown": "yellow", "running": "green"}


def build_table(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    width: int,
    optional: Sequence[str] = (),
    is_live: bool = False,
) -> RenderableType:
    """A table whose cells are whole: columns that do not fit are named below it.

    Where not even the others fit, a cell is folded, in a live table cut, so that each row is one line.

    Args:
        header: The columns' names.
        lines: The cells of each row.
        width: Of the terminal, in cells.
        optional: Columns that may be left out, the first to go first.
        is_live: Whether it is drawn again and again.
    """
    shown = [[printable(cell) for cell in line] for line in lines]
    chosen = fit_columns(header, shown, width, optional, GAP)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for place in chosen:
        table.add_column(header[place], overflow="ellipsis" if is_live else "fold", no_wrap=is_live)
    for line in shown:
        table.add_row(*(Text(line[place], style=_STYLES.get(line[place], "")) for place in chosen))
    left_out = [name for place, name in enumerate(header) if place not in chosen]
    if not left_out:
        return table
    said = f"not shown, too wide: {', '.join(left_out)} (-o json shows all)"
    return Group(table, _line(said, "dim") if is_live else Text(said, style="dim"))


def count_room(height: int, has_problem: bool) -> int:
    """How many rows a live table has on a terminal of so many lines: a line each is for what was left out, of columns and rows."""
    return max(1, height - (6 if has_problem else 5))


def build_live_table(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    width: int,
    optional: Sequence[str] = (),
    more: int = 0,
    problem: str = "",
) -> RenderableType:
    """The rows that fit; below them how many more there are, and why the table is not up to date."""
    parts = [build_table(header, lines, width=width, optional=optional, is_live=True)]
    if more > 0:
        parts.append(_line(f"{more} more; all without -w", "dim"))
    if problem:
        parts.append(_line(printable(problem), "red"))
    return Group(*parts)


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
