"""`logs`: the log of the live execution, with `-f` from one execution to the next."""

from __future__ import annotations

import json
import sys
import time

from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.fields import find, find_text
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.resources.names import CONTAINER, LABEL_RUN
from connector_runner.schemas.printable import printable

_ON_THE_LINE = ("time", "level", "message")
PAUSE_SECONDS = 1.0
"""Between two looks for the next execution's pod."""


def run_of(pod: Json) -> int:
    """The number of the execution that a pod belongs to; 0 if its label is no number."""
    text = str(find(pod, "metadata", "labels", LABEL_RUN) or "")
    return int(text) if text.isdecimal() else 0


def has_started(pod: Json) -> bool:
    """Whether the runner's container has started, so that there is a log."""
    containers = find(pod, "status", "containerStatuses") or []
    states = [each.get("state") or {} for each in containers if each.get("name") == CONTAINER]
    return any("running" in state or "terminated" in state for state in states)


def choose_pod(pods: list[Json], after: int = 0) -> Json | None:
    """The pod of the latest execution that has a log and a higher number than `after`."""
    fitting = [pod for pod in pods if has_started(pod) and run_of(pod) > after]
    return max(fitting, key=lambda pod: (run_of(pod), find_text(pod, "metadata", "creationTimestamp")), default=None)


def format_line(line: str) -> str:
    """A line of a runner's log for a terminal: time, level, message and fields, as the runner itself writes it there; others as they are."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return printable(line)
    if not isinstance(said, dict) or not isinstance(said.get("message"), str):
        return printable(line)
    time_of_day = find_text(said, "time").partition("T")[2].partition(".")[0]
    fields = "  ".join(f"{name}={json.dumps(value)}" for name, value in said.items() if name not in _ON_THE_LINE)
    head = f"{time_of_day or '-':<8} {find_text(said, 'level'):<7} {said['message']}"
    return printable(f"{head}  {fields}" if fields else head)


def print_log(cluster: Cluster, namespace: str, name: str) -> None:
    """Prints the log of the latest execution whose pod is there.

    Raises:
        RefusedError: There is none, or the API server refuses.
    """
    pod = choose_pod(cluster.list_pods(namespace, name)["items"])
    if pod is None:
        raise RefusedError(f"No execution of {name} has a log at the moment: `kubectl connectors why {name}` says why.")
    _print(cluster, namespace, pod, follow=False)


def follow_logs(cluster: Cluster, namespace: str, name: str) -> None:
    """Prints the logs of the present execution and of those after it, until Ctrl-C or until it is not asked to run.

    Raises:
        RefusedError: The API server refuses.
    """
    run = 0
    while True:
        pod = choose_pod(cluster.list_pods(namespace, name)["items"], run)
        if pod is not None:
            run = run_of(pod)
            sys.stderr.write(f"--- execution {run}: pod {pod['metadata']['name']}\n")
            try:
                _print(cluster, namespace, pod, follow=True)
            except RefusedError as error:
                if not error.is_missing:  # the pod was removed after it was listed
                    raise
            sys.stderr.write(f"--- execution {run} has no more lines; waiting for the next one\n")
        elif find_text(cluster.get(namespace, name), "spec", "status") != "running":
            sys.stderr.write(f"--- {name} is not asked to run, so no execution follows\n")
            return
        time.sleep(PAUSE_SECONDS)


def _print(cluster: Cluster, namespace: str, pod: Json, *, follow: bool) -> None:
    show = format_line if sys.stdout.isatty() else str
    for line in cluster.read_log(namespace, pod["metadata"]["name"], follow=follow):
        sys.stdout.write(f"{show(line)}\n")
        sys.stdout.flush()
