"""Builds the Job that shows the newest rows of a connector's dataset, and reads what it printed. Pure.

The runner's port never serves rows: it has no authentication. A Job is made with the rights of who asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from connector_operator.resources import names
from connector_operator.workloads.asked_jobs import (
    SECONDS,
    NotPossibleError,
    Object,
    build_asked_job,
    build_execution,
    find_execution,
)

DEFAULT_ROWS, MOST_ROWS = 20, 100


def build_rows_job(
    connector: Object,
    jobs: Iterable[Object],
    datasets: Iterable[Object],
    *,
    stream: str = "",
    limit: int = DEFAULT_ROWS,
    seconds: int = SECONDS,
    image: str = "",
) -> dict[str, Any]:
    """The Job that a person makes: the pod of the newest execution, with `rows` instead of `run`.

    While no Job of an execution exists (the connector is stopped, or never ran), the pod is built from the spec and the
    Dataset, without the installation's defaults for pods.

    Args:
        connector: The Connector.
        jobs: Its Jobs.
        datasets: All Datasets of its namespace; not used if there is an execution.
        stream: Which one, of a connector with many; "" for the selected one.
        limit: The most rows.
        seconds: After this time its pod is ended.
        image: Of the runner; "" for that of the last execution or discovery.

    Raises:
        NotPossibleError: No Dataset, no known image, or it is not said which of many streams.
    """
    spec, name = connector.get("spec") or {}, str(connector["metadata"]["name"])
    if not stream and not spec.get("selectedStream"):
        many = bool(spec.get("streams"))
        raise NotPossibleError(
            f"{name} carries many streams; say which one." if many else f"{name} has no stream; select one first."
        )
    execution = find_execution(connector, jobs) or build_execution(connector, datasets, image)
    arguments = ["rows", "--output", "json", "--limit", str(limit), *_of_stream(stream)]
    return build_asked_job(execution, name, "rows", names.LABEL_ROWS, arguments, seconds)


def _of_stream(stream: str) -> list[str]:
    """The argument that names a stream: one, so that it is never an option; Kubernetes would replace `$(NAME)` in it by a variable, perhaps a secret."""
    return [f"--stream={stream.replace('$', '$$')}"] if stream else []


def read_rows(log: str) -> list[dict[str, Any]]:
    """The rows in the log of a `rows` that has succeeded, in its order (the newest last); values as the runner prints them.

    Then the runner has logged nothing itself; what is not an object (a library's warning) is left out.
    """
    found = []
    for line in log.splitlines():
        try:
            value = msgspec.json.decode(line)
        except (msgspec.MsgspecError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
