"""What a checkpoint holds of a stream: the mark of each product, and what else its reader needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector_runner.protocols.batch import Position
from connector_runner.protocols.errors import START_OVER, ActionRequiredError

POSITION_FORMAT = 2


# The field that holds the marks in each format; format 1 repeated them with every row in append mode.
MARKS_OF_FORMAT: Mapping[object, str] = {1: "last", POSITION_FORMAT: "_last"}


def require_format(position: Position) -> None:
    """Checks that this version can read a position.

    Raises:
        ActionRequiredError: Another version made it.
    """
    if position.get("format") not in MARKS_OF_FORMAT:
        raise ActionRequiredError(
            f"the position {dict(position)!r} was not made by this version of the COINBASE source; "
            f"use the version that made it, or {START_OVER}"
        )


READER_POSITION: Position = {"format": POSITION_FORMAT}
"""What the streams of one connector share of their positions: nothing but the format, as each has marks of its own."""


def position_of(marks: Mapping[str, int], **more: Mapping[str, Any]) -> Position:
    """A position: the marks of all products, which only the checkpoint keeps (see `place_of`), and `more`, unless empty."""
    return {"format": POSITION_FORMAT, "_last": marks} | {f"_{name}": dict(kept) for name, kept in more.items() if kept}
