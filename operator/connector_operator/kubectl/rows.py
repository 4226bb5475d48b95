"""The table of connectors: one row each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector_operator.kubectl.fields import (
    Object,
    describe_age,
    describe_selection,
    find_condition,
    find_text,
    is_observed,
)
from connector_runner.schemas.printable import cells

UNKNOWN = "-"
"""Stands for what is absent: a column is never empty, so that a line can be split at spaces."""
GAP = "   "
OPTIONAL = ("TYPE", "STREAMS", "AGE", "READY", "LAG", "PROGRESS")
"""Columns that a terminal that is too narrow does without, the first ones first: whole names are worth more."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One connector.

    Attributes:
        ready: True, False or Unknown, of the condition Ready; "" before the operator has seen the connector.
        reason: Why, in one word.
        message: Why, in a sentence.
        is_observed: Whether all of this is about the present spec.
        created: RFC 3339.
    """

    namespace: str
    name: str
    type: str
    dataset: str
    state: str
    ready: str
    reason: str
    message: str
    streams: str
    progress: str
    lag: str
    is_observed: bool
    created: str


def build_summary(connector: Object) -> Summary:
    """The row of one Connector as the API server returns it."""
    ready = find_condition(connector, "Ready")
    return Summary(
        namespace=find_text(connector, "metadata", "namespace"),
        name=find_text(connector, "metadata", "name"),
        type=find_text(connector, "spec", "connectorType"),
        dataset=find_text(connector, "spec", "datasetId"),
        state=find_text(connector, "status", "state", "status"),
        ready=find_text(ready, "status"),
        reason=find_text(ready, "reason"),
        message=find_text(ready, "message"),
        streams=describe_selection(connector),
        progress=find_text(connector, "status", "progress", "text"),
        lag=find_text(connector, "status", "progress", "lag"),
        is_observed=is_observed(connector),
        created=find_text(connector, "metadata", "creationTimestamp"),
    )


def build_document(entry: Summary) -> dict[str, Any]:
    """The row for `-o json`."""
    return {
        "namespace": entry.namespace,
        "name": entry.name,
        "type": entry.type,
        "dataset": entry.dataset,
        "state": entry.state,
        "ready": entry.ready,
        "reason": entry.reason,
        "message": entry.message,
        "streams": entry.streams,
        "progress": entry.progress,
        "lag": entry.lag,
        "observed": entry.is_observed,
        "created": entry.created,
    }


def build_header(*, with_namespace: bool) -> tuple[str, ...]:
    """The names of the columns."""
    names = ("NAME", "TYPE", "STATE", "READY", "REASON", "STREAMS", "PROGRESS", "LAG", "AGE")
    return ("NAMESPACE", *names) if with_namespace else names


def build_cells(entry: Summary, now: datetime, *, with_namespace: bool) -> tuple[str, ...]:
    """What is in the columns of a row."""
    shown = (
        entry.name,
        entry.type,
        entry.state,
        entry.ready,
        entry.reason,
        entry.streams,
        entry.progress,
        entry.lag,
        describe_age(entry.created, now),
    )
    return tuple(cell or UNKNOWN for cell in ((entry.namespace, *shown) if with_namespace else shown))


def sort_summaries(rows: Iterable[Summary]) -> list[Summary]:
    """By namespace and name."""
    return sorted(rows, key=lambda entry: (entry.namespace, entry.name))


def format_plain(lines: Sequence[Sequence[str]]) -> str:
    """Columns side by side as `kubectl get` prints them, each as wide as its widest cell; nothing is cut."""
    if not lines:
        return ""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "".join(
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def fit_columns(
    header: Sequence[str], lines: Sequence[Sequence[str]], width: int, optional: Sequence[str], gap: int
) -> list[int]:
    """The places of the columns that are shown.

    Args:
        header: The columns' names.
        lines: The cells of each row; as the names they are printable.
        width: Cells in a line of the terminal.
        optional: Columns that may be left out, the first to go first. If all others are still too wide, they stay.
        gap: Cells between two columns.
    """
    widths = [max(map(cells, column)) for column in zip(header, *lines, strict=True)]
    chosen = list(range(len(header)))
    for name in optional:
        if sum(widths[place] + gap for place in chosen) - gap <= width:
            break
        chosen = [place for place in chosen if header[place] != name]
    return chosen
