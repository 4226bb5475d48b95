"""Rows of a dataset as text for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector_runner.datasets.dead_letters import json_value
from connector_runner.schemas.printable import printable
from connector_runner.schemas.text_tables import GAP, build_text_list, build_text_table

__all__ = ["GAP", "build_list", "build_table", "show_value"]


def show_value(value: Any) -> str:
    """A value on one line, whole; what would move the cursor or change colours is written as an escape. NULL is shown as empty."""
    return "" if value is None else printable(str(json_value(value)))


def build_table(names: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> list[str]:
    """The lines of a table; see `build_text_table`."""
    return build_text_table(*_as_texts(names, rows), width)


def build_list(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """The lines of all rows, a line for each value, with an empty line between rows."""
    return build_text_list(*_as_texts(names, rows))


def _as_texts(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[list[str], list[list[str]]]:
    return [show_value(name) for name in names], [[show_value(value) for value in row] for row in rows]
