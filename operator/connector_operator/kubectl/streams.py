"""The table of a source's streams, as a connector's status lists them. Pure."""

from __future__ import annotations

from typing import Any

from connector_operator.kubectl.fields import Object, find, find_count, find_objects, find_text, find_texts
from connector_operator.kubectl.rows import UNKNOWN
from connector_runner.schemas.selection import Selection, may_take, parse_selection

HEADER = ("STREAM", "SELECTED", "KEY", "MODES", "COLUMNS", "NOW")
OPTIONAL_OF_STREAMS = ("COLUMNS", "MODES", "KEY")
"""Columns that a terminal that is too narrow does without, the first ones first."""


def list_streams(connector: Object, like: str = "") -> list[dict[str, Any]]:
    """The streams of the status whose name a pattern takes in, for `-o json` and the table.

    Args:
        connector: A Connector as the API server returns it.
        like: A pattern as in spec.streams: `*` and `?`, parts joined by dots; "" for all.

    Raises:
        ValueError: The pattern can't be read; the message says why.
    """
    wanted = parse_selection([like], path="--like") if like else None
    selected = _read_selection(connector)
    aside = find_texts(connector, "status", "selection", "aside")
    now = _activities(connector)
    return [
        {
            "id": name,
            "selected": name == find_text(connector, "spec", "selectedStream")
            or (selected is not None and name not in aside and _takes(selected, name)),
            "key": find_texts(stream, "key"),
            "modes": find_texts(stream, "modes"),
            "columns": find_count(stream, "columns"),
            "now": now.get(name, ""),
        }
        for stream in find_objects(connector, "status", "streams")
        if (name := str(stream.get("id", ""))) and (wanted is None or may_take(wanted, name))
    ]


def build_stream_cells(stream: Object) -> tuple[str, ...]:
    """What is in the columns of a row."""
    return (
        find_text(stream, "id"),
        "yes" if stream["selected"] else "no",
        ",".join(stream["key"]) or UNKNOWN,
        ",".join(stream["modes"]) or UNKNOWN,
        str(stream["columns"] or UNKNOWN),
        stream["now"] or UNKNOWN,
    )


def say_missing_streams(connector: Object) -> str:
    """That the status lists only some streams, or none yet; "" if it lists all."""
    listed, total = len(find_objects(connector, "status", "streams")), find_count(connector, "status", "streamsTotal")
    if total > listed:
        return (
            f"The status lists {listed} of {total} streams, those that are selected by name first. "
            f"All are listed by `kubectl connectors streams {find_text(connector, 'metadata', 'name')} --all`."
        )
    name = find_text(connector, "metadata", "name")
    return "" if listed else f"No streams are known yet: `kubectl connectors why {name}` says why."


def _read_selection(connector: Object) -> Selection | None:
    include = find_texts(connector, "spec", "streams", "include")
    try:
        return parse_selection(include, find_texts(connector, "spec", "streams", "exclude")) if include else None
    except ValueError:
        return None  # the condition ConfigValid says what is wrong with it


def _takes(selection: Selection, name: str) -> bool:
    return may_take(selection, name) and not may_take(Selection(selection.exclude), name)


def _activities(connector: Object) -> dict[str, str]:
    progress = find(connector, "status", "progress") or {}
    found = {}
    for lag in find_objects(progress, "slowest"):
        found[find_text(lag, "stream")] = f"{find_count(lag, 'seconds')}s behind"
    for copy in find_objects(progress, "copies"):
        total = f" of {find_count(copy, 'total')}" if find_count(copy, "total") else ""
        found[find_text(copy, "stream")] = f"copying: {find_count(copy, 'done')}{total}"
    for failure in find_objects(progress, "failures"):
        found[find_text(failure, "stream")] = f"failed: {find_text(failure, 'reason')}"
    return found
