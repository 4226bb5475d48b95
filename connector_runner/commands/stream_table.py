"""A source's streams as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connector_runner.commands.row_table import GAP, build_table
from connector_runner.schemas.catalogue import Catalogue, StreamInfo, summarise_selections
from connector_runner.schemas.kinds.streams import StreamsSpec
from connector_runner.schemas.printable import cells, printable
from connector_runner.schemas.selection import Selection

FEWEST = 12
"""Cells that the names of columns get at the least; where there is less room the line is longer than the terminal is wide."""


def build_stream_lines(
    catalogue: Catalogue, selections: Sequence[StreamsSpec], width: int | None, like: Selection | None = None
) -> list[str]:
    """The table of the streams, and the notes below it.

    Names of streams and keys are whole. Of the columns as many are named as fit, the others are counted.

    Args:
        catalogue: What the source has.
        selections: The selection of the manifest, if it has one; others are not shown.
        width: Cells in a line; None: no limit, and each column is named.
        like: Only streams that it takes in are listed.
    """
    chosen = [stream for stream in catalogue.streams if like is None or like.takes(stream.named)]
    selection = selections[0].parse() if selections else None
    names = ["STREAM", *(["SELECTED"] if selection else []), "KEY", "MODES", "ROWS", "COLUMNS"]
    rows = [_cells(stream, selection) for stream in chosen]
    widths = [max(map(cells, column)) for column in zip(names[:-1], *rows, strict=True)]
    room = None if width is None else max(FEWEST, width - sum(widths) - len(GAP) * len(widths))
    lines = build_table(
        names, [[*row, name_columns(stream, room)] for row, stream in zip(rows, chosen, strict=True)], None
    )
    if like is not None:
        lines.append(f"{len(chosen)} of {len(catalogue.streams)} streams are like the pattern")
    if catalogue.total > len(catalogue.streams):
        lines.append(f"{catalogue.total - len(catalogue.streams)} more are not listed")
    notes = (*catalogue.notes, *_selection_notes(catalogue, selections))
    return [*lines, *(f"note: {printable(note)}" for note in notes)]


def name_columns(stream: StreamInfo, room: int | None) -> str:
    """The names of a stream's columns in at most `room` cells (None: all); how many there are besides. Without room for one: their number."""
    names = [printable(column.name) for column in stream.columns]
    for count in range(len(names), 0, -1):
        rest = len(names) - count
        text = ", ".join(names[:count]) + (f" and {rest} more" if rest else "")
        if room is None or cells(text) <= room:
            return text
    return str(len(names)) if names else "-"


def _cells(stream: StreamInfo, selection: Selection | None) -> list[str]:
    rows = "-" if stream.rows is None else f"{stream.rows:,}"
    marks = [_mark(stream, selection)] if selection else []
    return [
        printable(text)
        for text in (stream.id, *marks, ", ".join(stream.key) or "-", ", ".join(stream.modes) or "-", rows)
    ]


def _mark(stream: StreamInfo, selection: Selection) -> str:
    if not selection.takes(stream.named):
        return "-"
    return "can't be read" if stream.obstacle else "yes"


def _selection_notes(catalogue: Catalogue, selections: Sequence[StreamsSpec]) -> Iterator[str]:
    """What the selection takes, and what a person should know of it."""
    for found in summarise_selections(catalogue, selections[:1]):
        yield f"spec.streams takes {found.matched} of {catalogue.total} streams"
        for pattern, near in found.idle.items():
            yield f"nothing matches {pattern}" + (f"; did you mean {', '.join(near)}?" if near else "")
        if found.aside:
            yield f"shadow tables, which only their exact names select: {', '.join(found.aside)}"
        yield from found.problems
