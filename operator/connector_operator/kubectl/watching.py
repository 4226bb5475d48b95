"""`status -w`: the table, drawn again whenever a connector changes; where the output is no terminal, a line for each change."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live

from connector_operator.kubectl.cluster import GONE, Cluster, Json
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.kubectl.rows import (
    OPTIONAL,
    Summary,
    build_cells,
    build_document,
    build_header,
    build_summary,
    format_plain,
    sort_summaries,
)
from connector_operator.kubectl.tables import build_live_table, count_room

PAUSE_SECONDS = 1.0
"""Between the end of a watch and the next list."""
DRAWN_PER_SECOND = 4
Rows = dict[tuple[str, str], Summary]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a watch knows at a moment.

    Attributes:
        rows: All connectors.
        problem: Why it is not up to date; "" if it is.
    """

    rows: Rows
    problem: str = ""


def follow_rows(cluster: Cluster, namespace: str) -> Iterator[Seen]:
    """All rows after each list and each change; ends never, also while the API server does not answer.

    Raises:
        RefusedError: The API server refuses to list or to watch, or does not answer from the beginning.
    """
    seen, has_begun = Seen({}), False
    while True:
        try:
            found = cluster.list(namespace)
            seen = Seen({(entry.namespace, entry.name): entry for entry in map(build_summary, found["items"])})
            has_begun = True
            yield seen
            for event in cluster.watch(namespace, found["metadata"]["resourceVersion"]):
                seen = Seen(apply_event(seen.rows, event))
                yield seen
        except RefusedError as error:
            if not (error.status == GONE or (error.is_passing and has_begun)):
                raise
            if error.status != GONE:
                seen = Seen(seen.rows, str(error).partition("\n")[0])
                yield seen
        time.sleep(PAUSE_SECONDS)


def apply_event(rows: Rows, event: Json) -> Rows:
    """The rows after an event of a watch."""
    entry = build_summary(event["object"])
    key = (entry.namespace, entry.name)
    others = {other: row for other, row in rows.items() if other != key}
    return others if event["type"] == "DELETED" else {**others, key: entry}


def show_live(cluster: Cluster, namespace: str) -> None:
    """Draws the table until Ctrl-C; ages go on between changes."""
    console, seen = Console(), Seen({})

    def draw() -> object:
        now, rows = datetime.now(UTC), sort_summaries(seen.rows.values())
        room = count_room(console.height, bool(seen.problem))
        lines = [build_cells(entry, now, with_namespace=not namespace) for entry in rows[:room]]
        return build_live_table(
            build_header(with_namespace=not namespace),
            lines,
            width=console.width,
            optional=OPTIONAL,
            more=len(rows) - len(lines),
            problem=seen.problem,
        )

    with Live(console=console, get_renderable=draw, refresh_per_second=DRAWN_PER_SECOND, screen=True):  # type: ignore[arg-type]
        for found in follow_rows(cluster, namespace):
            seen = found


def print_changes(cluster: Cluster, namespace: str, *, as_json: bool) -> None:
    """Prints all rows, then each row whenever what is shown of it has changed, until Ctrl-C."""
    before = Seen({})
    say: Callable[[list[Summary]], str] = _say_json if as_json else lambda rows: _say_plain(rows, not namespace)
    if not as_json:
        sys.stdout.write(format_plain([build_header(with_namespace=not namespace)]))
    for seen in follow_rows(cluster, namespace):
        changed = [entry for key, entry in seen.rows.items() if before.rows.get(key) != entry]
        sys.stdout.write(say(sort_summaries(changed)))
        sys.stdout.flush()
        if seen.problem and not before.problem:
            sys.stderr.write(f"{seen.problem}\nIt is asked again until it answers.\n")
        before = seen


def _say_json(rows: list[Summary]) -> str:
    return "".join(json.dumps(build_document(entry), ensure_ascii=False) + "\n" for entry in rows)


def _say_plain(rows: list[Summary], with_namespace: bool) -> str:
    now = datetime.now(UTC)
    return format_plain([build_cells(entry, now, with_namespace=with_namespace) for entry in rows])
