"""Texts in columns for people: a table of the columns that fit whole, or one line a value. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from connector_runner.schemas.printable import cells

GAP = "  "


def build_text_table(names: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """The lines of a table.

    Columns stay in order; one that does not fit whole is left out, and a last line names it. If not even the first one fits, the
    values are listed as in `build_text_list`.

    Args:
        names: The columns; as all texts they are printable.
        rows: Their values.
        width: Cells in a line; None: no limit.
    """
    widths = [max(map(cells, column)) for column in zip(names, *rows, strict=True)]
    chosen, used = [], -len(GAP)
    for place, wide in enumerate(widths):
        if width is None or used + len(GAP) + wide <= width:
            chosen.append(place)
            used += len(GAP) + wide
        elif not chosen:
            return build_text_list(names, rows)
    lines = [_line(line, chosen, widths) for line in [names, *rows]]
    left_out = [name for place, name in enumerate(names) if place not in chosen]
    if left_out:
        lines.append(f"not shown, too wide: {', '.join(left_out)} (--wide, --vertical or --output json shows all)")
    return lines


def _line(texts: Sequence[str], chosen: Sequence[int], widths: Sequence[int]) -> str:
    padded = [texts[place] + " " * (widths[place] - cells(texts[place])) for place in chosen]
    return GAP.join(padded).rstrip()


def build_text_list(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of all rows, a line for each value, with an empty line between rows."""
    wide = max(map(cells, names), default=0)
    lines: list[str] = []
    for row in rows:
        if lines:
            lines.append("")
        for name, text in zip(names, row, strict=True):
            lines.append(f"{name}{' ' * (wide - cells(name))}{GAP}{text}".rstrip())
    return lines
