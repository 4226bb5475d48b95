"""`status -w`: the table, drawn again whenever a connector changes; where the output is no terminal, a line for each change."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live

from connector_operator.kubectl.cluster import GONE, Cluster
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.kubectl.rows import (
    Summary,
    build_cells,
    build_document,
    build_header,
    build_summary,
    format_plain,
    sort_summaries,
)
from connector_operator.kubectl.tables import build_live_table

PAUSE_SECONDS = 1.0
"""Between the end of a watch and the next list."""
Rows = dict[tuple[str, str], Summary]


def follow_rows(cluster: Cluster, namespace: str) -> Iterator[tuple[Rows, Summary | None]]:
    """All rows after each list and each change, with the row that has changed (None after a list); ends never.

    Raises:
        RefusedError: The API server refuses to list or to watch.
    """
    while True:
        found = cluster.list(namespace)
        rows = {(entry.namespace, entry.name): entry for entry in map(build_summary, found["items"])}
        yield rows, None
        try:
            for event in cluster.watch(namespace, found["metadata"]["resourceVersion"]):
                entry = build_summary(event["object"])
                rows = {key: other for key, other in rows.items() if key != (entry.namespace, entry.name)}
                if event["type"] != "DELETED":
                    rows[entry.namespace, entry.name] = entry
                yield rows, entry
        except RefusedError as error:
            if error.status != GONE:
                raise
        time.sleep(PAUSE_SECONDS)


def show_live(cluster: Cluster, namespace: str) -> None:
    """Draws the table until Ctrl-C; ages go on between changes."""
    console, rows = Console(), Rows()

    def draw() -> object:
        now = datetime.now(UTC)
        lines = [build_cells(entry, now, with_namespace=not namespace) for entry in sort_summaries(rows.values())]
        return build_live_table(console, build_header(with_namespace=not namespace), lines)

    with Live(console=console, get_renderable=draw, refresh_per_second=1, screen=True) as live:  # type: ignore[arg-type]
        for found, _ in follow_rows(cluster, namespace):
            rows = found
            live.refresh()


def print_changes(cluster: Cluster, namespace: str, *, as_json: bool) -> None:
    """Prints all rows, then each row whenever what is shown of it has changed, until Ctrl-C."""
    shown = Rows()
    say: Callable[[list[Summary]], str] = _say_json if as_json else lambda rows: _say_plain(rows, not namespace)
    if not as_json:
        sys.stdout.write(format_plain([build_header(with_namespace=not namespace)]))
    for rows, _ in follow_rows(cluster, namespace):
        changed = [entry for key, entry in rows.items() if shown.get(key) != entry]
        sys.stdout.write(say(sort_summaries(changed)))
        sys.stdout.flush()
        shown = rows


def _say_json(rows: list[Summary]) -> str:
    return "".join(json.dumps(build_document(entry), ensure_ascii=False) + "\n" for entry in rows)


def _say_plain(rows: list[Summary], with_namespace: bool) -> str:
    now = datetime.now(UTC)
    return format_plain([build_cells(entry, now, with_namespace=with_namespace) for entry in rows])
