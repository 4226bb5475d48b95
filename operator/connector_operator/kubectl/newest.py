"""`rows`: the newest rows of a connector's dataset, read by a Job of the person's own."""

from __future__ import annotations

import json
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from connector_operator.kubectl.asking import asking
from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.commands import get_connector
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.kubectl.streams import list_streams
from connector_operator.workloads.asked_jobs import (
    NotPossibleError,
    UnknownImageError,
    find_end,
    find_execution,
    read_last_words,
)
from connector_operator.workloads.rows_jobs import build_rows_job, read_rows
from connector_runner.schemas.printable import printable
from connector_runner.schemas.text_tables import build_text_list, build_text_table

FORBIDDEN = 403
NAMED = 5
"""So many streams are named where one must be chosen."""


def show_rows(cluster: Cluster, flags: Namespace) -> int:
    """`rows`.

    Raises:
        RefusedError: There is nothing to read, the Job has failed, or the API server refuses.
    """
    body = build_job(cluster, get_connector(cluster, flags), flags)
    with asking(cluster, flags.namespace, body, flags.timeout, f"Reading the rows of {flags.name}") as (code, pod):
        if code:
            words = ": ".join(filter(None, read_last_words(find_end(pod) or {})))
            raise RefusedError(
                f"The rows of {flags.name} can't be read (exit code {code}): {words or 'no words were left.'}"
            )
        log = "\n".join(cluster.read_log(flags.namespace, pod["metadata"]["name"]))
    rows = read_rows(log)
    if flags.output == "json":
        sys.stdout.write(json.dumps({"items": rows}, indent=2) + "\n")
    elif not rows:
        sys.stderr.write(f"The dataset has no rows of {flags.name} yet.\n")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() and not flags.wide else None
        sys.stdout.writelines(f"{line}\n" for line in format_rows(rows, width, is_vertical=flags.vertical))
    return 0


def build_job(cluster: Cluster, connector: Json, flags: Namespace) -> Json:
    """The Job that reads the rows: as the last execution, or as the spec says where there is none to be seen.

    Raises:
        RefusedError: There is nothing to read, or the API server refuses.
    """
    try:
        jobs: Sequence[Json] = cluster.list_jobs(flags.namespace, flags.name)["items"]
    except RefusedError as error:
        if error.status != FORBIDDEN:
            raise
        jobs = ()
    datasets = () if find_execution(connector, jobs) else cluster.list_datasets(flags.namespace)["items"]
    try:
        return build_rows_job(
            connector, jobs, datasets, stream=flags.stream, limit=flags.limit, seconds=flags.timeout, image=flags.image
        )
    except UnknownImageError as error:
        raise RefusedError(f"{error} Or name one by --image.") from None
    except NotPossibleError as error:
        raise RefusedError(f"{error}{_say_streams(connector)}") from None


def _say_streams(connector: Json) -> str:
    """Which streams `--stream` may name, where there are several; else nothing."""
    names = [stream["id"] for stream in list_streams(connector) if stream["selected"]]
    if len(names) < 2:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f" By --stream: {', '.join(names[:NAMED])}{more}."


def format_rows(rows: Sequence[Json], width: int | None, *, is_vertical: bool) -> list[str]:
    """The lines of a table, or a line for each value.

    Args:
        rows: By column; the columns are those of all rows, in the order in which they come.
        width: Cells in a line; None: no limit.
        is_vertical: A line for each value.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    texts = [[_show(row.get(name)) for name in names] for row in rows]
    shown = [printable(name) for name in names]
    return build_text_list(shown, texts) if is_vertical else build_text_table(shown, texts, width)


def _show(value: Any) -> str:
    """A value of JSON as the runner's own table shows it."""
    if value is None:
        return ""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
