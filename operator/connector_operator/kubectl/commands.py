"""What each subcommand does: asks the API server, prints what the pure modules make of the answer."""

from __future__ import annotations

import json
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from connector_operator.kubectl import logs
from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.fields import find_text
from connector_operator.kubectl.refusals import RefusedError, say_nearest
from connector_operator.kubectl.rows import (
    OPTIONAL,
    build_cells,
    build_document,
    build_header,
    build_summary,
    format_plain,
    sort_summaries,
)
from connector_operator.kubectl.sentences import explain, format_lines
from connector_operator.kubectl.streams import (
    HEADER,
    OPTIONAL_OF_STREAMS,
    build_stream_cells,
    list_streams,
    say_missing_streams,
)
from connector_runner.schemas.printable import printable, printable_lines

FAILED = 1
Answer = TypeVar("Answer")


def show_status(cluster: Cluster, flags: Namespace) -> int:
    """`status`."""
    namespace = "" if flags.all_namespaces else flags.namespace
    if flags.watch:
        from connector_operator.kubectl import watching

        if flags.output != "json" and sys.stdout.isatty():
            watching.show_live(cluster, namespace)
        watching.print_changes(cluster, namespace, as_json=flags.output == "json")
    rows = sort_summaries(map(build_summary, cluster.list(namespace)["items"]))
    if flags.output == "json":
        return print_json({"items": [build_document(entry) for entry in rows]})
    if not rows:
        place = f"in the namespace {namespace}" if namespace else "in any namespace"
        sys.stderr.write(f"There are no connectors {place} of the context {cluster.context}.\n")
        return 0
    now = datetime.now(UTC)
    print_table(
        build_header(with_namespace=not namespace),
        [build_cells(entry, now, with_namespace=not namespace) for entry in rows],
        OPTIONAL,
    )
    return 0


def show_why(cluster: Cluster, flags: Namespace) -> int:
    """`why`."""
    lines = explain(get_connector(cluster, flags), datetime.now(UTC))
    if flags.output == "json":
        (name, headline), *rest = lines
        return print_json({"name": name, "headline": headline, "lines": [{"label": a, "text": b} for a, b in rest]})
    if sys.stdout.isatty():
        shown = [(label, printable(text)) for label, text in lines]
        sys.stdout.write(format_lines(shown, shutil.get_terminal_size().columns))
    else:
        sys.stdout.write(format_lines(lines))
    return 0


def show_streams(cluster: Cluster, flags: Namespace) -> int:
    """`streams`."""
    connector = get_connector(cluster, flags)
    try:
        streams = list_streams(connector, flags.like)  # before a Job is made: whether the pattern can be read
        if flags.every:
            from connector_operator.kubectl.listing import with_all_streams

            connector = with_all_streams(cluster, connector, flags)
            streams = list_streams(connector, flags.like)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    note = "" if flags.every else say_missing_streams(connector)
    if flags.output == "json":
        return print_json({"items": streams, "note": note})
    if streams:
        print_table(HEADER, [build_stream_cells(stream) for stream in streams], OPTIONAL_OF_STREAMS)
    elif not note:
        note = f"No stream is like {flags.like}: `*` stands for any characters, `?` for one."
    sys.stderr.write(note and f"{printable_lines(note)}\n")
    return 0


def show_logs(cluster: Cluster, flags: Namespace) -> int:
    """`logs`."""
    get_connector(cluster, flags)  # a misspelled name must not look like a connector without a log
    (logs.follow_logs if flags.follow else logs.print_log)(cluster, flags.namespace, flags.name)
    return 0


def build_change(command: str, now: datetime) -> dict[str, str]:
    """What start, stop, restart or rediscover merges into spec. Any new text restarts or lists the streams again."""
    if command in {"start", "stop"}:
        return {"status": "running" if command == "start" else "stopped"}
    return {f"{command}edAt" if command == "restart" else f"{command}At": now.isoformat()}


def say_changed(command: str, connector: Mapping[str, object]) -> str:
    """What was asked of a connector, as one line without its end."""
    name = find_text(connector, "metadata", "name")
    if command == "restart" and find_text(connector, "spec", "status") != "running":
        return f"{name}: restart asked for, but it is not asked to run: `kubectl connectors start {name}`"
    done = {"start": "asked to run", "stop": "asked to stop", "restart": "restart asked for"}
    return f"{name}: {done.get(command, 'asked to list its streams again')}"


def change(cluster: Cluster, flags: Namespace) -> int:
    """`start`, `stop`, `restart`, `rediscover`: each name, also after one that fails."""
    failed = 0
    for name in flags.names:
        try:
            changed = or_nearest(
                cluster,
                flags.namespace,
                name,
                lambda each: cluster.patch(flags.namespace, each, build_change(flags.command, datetime.now(UTC))),
            )
        except RefusedError as error:
            failed = FAILED
            sys.stderr.write(f"{name}: {printable_lines(str(error))}\n")
        else:
            sys.stdout.write(f"{say_changed(flags.command, changed)}\n")
    return failed


def get_connector(cluster: Cluster, flags: Namespace) -> Json:
    """The connector that was named.

    Raises:
        RefusedError: There is none; the text names the nearest ones.
    """
    return or_nearest(cluster, flags.namespace, flags.name, lambda name: cluster.get(flags.namespace, name))


def or_nearest(cluster: Cluster, namespace: str, name: str, call: Callable[[str], Answer]) -> Answer:
    """What the call returns; if there is no such connector, the refusal names the nearest ones."""
    try:
        return call(name)
    except RefusedError as error:
        if not error.is_missing:
            raise
        missing = str(error)
    try:
        names = [item["metadata"]["name"] for item in cluster.list(namespace)["items"]]
    except RefusedError:
        raise RefusedError(missing) from None  # one may read a connector without the right to list them
    raise RefusedError(f"{missing} {say_nearest(name, names)}")


def print_table(header: Sequence[str], lines: Sequence[Sequence[str]], optional: Sequence[str]) -> None:
    """A table that fits the terminal, on a narrow one without some `optional` columns; where the output is none, all is there."""
    if not sys.stdout.isatty():
        sys.stdout.write(format_plain([header, *lines]))
        return
    from rich.console import Console

    from connector_operator.kubectl.tables import build_table

    console = Console()
    console.print(build_table(header, lines, width=console.width, optional=optional))


def print_json(document: object) -> int:
    """A document for programs; returns the exit code."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return 0
