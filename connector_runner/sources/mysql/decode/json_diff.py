"""Applies the differences of partial JSON updates (binlog_row_value_options=PARTIAL_JSON) to a document's tree.

Format: `json_diff.h` of MySQL 8.0. The log has paths as the client wrote them, so the whole grammar is parsed
(https://dev.mysql.com/doc/refman/8.0/en/json.html#json-path-syntax): blanks, quoted names, cells counted from the end. As in
the server, a value that is not an array is treated as an array with this one element.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast

from connector_runner.sources.mysql.decode.json_binary import Node, parse

_REPLACE, _INSERT, _REMOVE = range(3)
_LEG = re.compile(
    r"""\s*(?:\.\s*(?P<quoted>"(?:[^"\\]|\\.)*")|\.\s*(?P<key>[^\s.\[*]+)"""
    r"""|\[\s*(?:(?P<index>\d+)|last\s*(?:-\s*(?P<back>\d+))?)\s*\])""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of an array, counted from its start or from its end (`last` is 0)."""

    index: int
    from_end: bool = False

    def place(self, size: int) -> int:
        """Its index in an array of this size; -1 or `size` if it is outside."""
        return max(-1, size - 1 - self.index) if self.from_end else min(self.index, size)


Leg = str | Cell


def parse_path(path: str) -> list[Leg]:
    """The legs of a path without wildcards.

    Raises:
        ValueError: The text is not such a path.
    """
    legs: list[Leg] = []
    at = path.find("$") + 1
    end = len(path.rstrip())
    while at < end:
        leg = _LEG.match(path, at)
        if leg is None:
            raise ValueError(f"JSON path {path!r}")
        at = leg.end()
        if leg["quoted"] or leg["key"]:
            legs.append(json.loads(leg["quoted"] or f'"{leg["key"]}"'))
        else:
            legs.append(Cell(int(leg["index"])) if leg["index"] else Cell(int(leg["back"] or 0), from_end=True))
    return legs


def _packed_length(raw: bytes, at: int) -> tuple[int, int]:
    first = raw[at]
    if first <= 250:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(raw[at + 1 : at + 1 + size], "little"), at + 1 + size


def apply_differences(node: Node, raw: bytes) -> Node:
    """The document after a partial update.

    Args:
        node: The document before the update; changed in place.
        raw: The differences: operation, path and value of each.

    Raises:
        ValueError: A difference is damaged or does not fit the document.
    """
    at = 0
    try:
        while at < len(raw):
            operation = raw[at]
            length, at = _packed_length(raw, at + 1)
            path = raw[at : at + length].decode("utf-8")
            at += length
            value: Node | None = None
            if operation != _REMOVE:
                length, at = _packed_length(raw, at)
                value = parse(raw[at : at + length])
                at += length
            node = _apply(node, operation, path, value)
    except LookupError as error:
        raise ValueError(f"damaged differences of a JSON document, {len(raw)} bytes") from error
    return node


def _apply(node: Node, operation: int, path: str, value: Node | None) -> Node:
    legs = parse_path(path)
    if operation == _INSERT and legs:
        parent, last = _seek(node, legs[:-1], path)[1], legs[-1]
        if isinstance(parent, list) and isinstance(last, Cell):
            parent.insert(max(0, last.place(len(parent))), value)
            return node
        if isinstance(parent, dict) and isinstance(last, str):
            parent[last] = cast("Node", value)
            return node
        raise _misfit(path)
    place = _seek(node, legs, path)[0]
    if place is None:
        if operation == _REMOVE:
            raise _misfit(path)
        return cast("Node", value)
    container, key = place
    if operation == _REMOVE:
        del container[key]
    else:
        container[key] = value
    return node


def _misfit(path: str) -> ValueError:
    return ValueError(f"a partial JSON update does not fit the row before it, at {path}")


def _seek(node: Node, legs: list[Leg], path: str) -> tuple[tuple[Any, Any] | None, Any]:
    """The value at a path: (its container and its key or index there, None for the whole document; the value)."""
    place: tuple[Any, Any] | None = None
    current: Any = node
    for leg in legs:
        if isinstance(leg, Cell):
            is_array = isinstance(current, list)
            at = leg.place(len(current) if is_array else 1)
            if not 0 <= at < (len(current) if is_array else 1):
                raise _misfit(path)
            if not is_array:
                continue
        elif not isinstance(current, dict) or leg not in current:
            raise _misfit(path)
        else:
            at = leg  # type: ignore[assignment]
        place, current = (current, at), current[at]
    return place, current
