"""`logs`: the log of the live execution, with `-f` from one execution to the next."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable

from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.fields import find, find_text
from connector_operator.kubectl.log_place import LogPlace
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.resources.names import CONTAINER, LABEL_RUN
from connector_runner.schemas.printable import printable

_ON_THE_LINE = ("time", "level", "message")
PAUSE_SECONDS = 1.0
"""Between two looks at the pods of the executions."""


def run_of(pod: Json) -> int:
    """The number of the execution that a pod belongs to; 0 if its label is no number."""
    text = str(find(pod, "metadata", "labels", LABEL_RUN) or "")
    return int(text) if text.isdecimal() else 0


def has_started(pod: Json) -> bool:
    """Whether the runner's container has started, so that there is a log."""
    containers = find(pod, "status", "containerStatuses") or []
    states = [each.get("state") or {} for each in containers if each.get("name") == CONTAINER]
    return any("running" in state or "terminated" in state for state in states)


def has_ended(pod: Json) -> bool:
    """Whether the runner's container has ended, so that its log does not grow any more."""
    containers = find(pod, "status", "containerStatuses") or []
    return any("terminated" in (each.get("state") or {}) for each in containers if each.get("name") == CONTAINER)


def age_of(pod: Json) -> tuple[str, int]:
    """By which pods come one after the other: a connector that is deleted and made again counts its executions from 1."""
    return find_text(pod, "metadata", "creationTimestamp"), run_of(pod)


def choose_pod(pods: list[Json], after: tuple[str, int] = ("", 0)) -> Json | None:
    """The pod of the latest execution that has a log, and came later than `after`."""
    fitting = [pod for pod in pods if has_started(pod) and age_of(pod) > after]
    return max(fitting, key=age_of, default=None)


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
    _print(cluster.read_log(namespace, pod["metadata"]["name"]))


def follow_logs(cluster: Cluster, namespace: str, name: str) -> None:
    """Prints the logs of the present execution and of those after it, until Ctrl-C or until it is not asked to run.

    Where the connection ends or nothing comes any more, it is read again from there: no line is lost, and none comes twice.

    Raises:
        RefusedError: The API server refuses, or does not answer from the beginning.
    """
    following = _Following(cluster, namespace, name)
    while True:
        try:
            if not following.go_on():
                return
        except RefusedError as error:
            if not (error.is_passing and following.has_begun):
                raise
            if not (error.is_silent or following.is_said):
                sys.stderr.write(f"{str(error).partition(chr(10))[0]}\nIt is asked again until it answers.\n")
                following.is_said = True
        time.sleep(PAUSE_SECONDS)


class _Following:
    """The execution whose log is read, and up to where.

    Attributes:
        has_begun: Whether the API server has answered before.
        is_said: Whether it was said that it does not answer now.
    """

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name
        self._age, self._pod, self._place = ("", 0), "", LogPlace()
        self.has_begun = self.is_said = False

    def go_on(self) -> bool:
        """The lines of an execution, until they end or the connection does; whether to look again.

        Raises:
            RefusedError: As its text says.
        """
        pods = self._cluster.list_pods(self._namespace, self._name)["items"]
        self.has_begun = True
        if not (self._pod or self._begin_next(pods)):
            return self._is_asked_to_run()
        pod = next((each for each in pods if each["metadata"]["name"] == self._pod), None)
        is_over = pod is None or has_ended(pod)
        try:
            self._read(follow=not is_over)
        except RefusedError as error:
            if not error.is_missing:  # the pod was removed after it was listed
                raise
            is_over = True
        if is_over:
            sys.stderr.write(f"--- execution {self._age[1]} has no more lines; waiting for the next one\n")
            self._pod = ""
        return True

    def _begin_next(self, pods: list[Json]) -> bool:
        pod = choose_pod(pods, self._age)
        if pod is None:
            return False
        self._pod, self._age, self._place = pod["metadata"]["name"], age_of(pod), LogPlace()
        sys.stderr.write(f"--- execution {self._age[1]}: pod {self._pod}\n")
        return True

    def _is_asked_to_run(self) -> bool:
        if find_text(self._cluster.get(self._namespace, self._name), "spec", "status") == "running":
            return True
        sys.stderr.write(f"--- {self._name} is not asked to run, so no execution follows\n")
        return False

    def _read(self, *, follow: bool) -> None:
        self._place.begin()
        for line in self._cluster.read_log_since(self._namespace, self._pod, self._place.since, follow=follow):
            self.is_said = False
            if (said := self._place.take(line)) is not None:
                _print([said])


def _print(lines: Iterable[str]) -> None:
    show = format_line if sys.stdout.isatty() else str
    for line in lines:
        sys.stdout.write(f"{show(line)}\n")
        sys.stdout.flush()
