"""`check`: a Job that asks whether a run would work, made, read and removed with the rights of who types it."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator

from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.commands import FAILED, get_connector
from connector_operator.kubectl.fields import find_text
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.workloads.asked_jobs import NotPossibleError, UnknownImageError, exit_code_of, say_waiting
from connector_operator.workloads.check_jobs import build_check_job

PAUSE_SECONDS = 1.0
"""Between two looks at the Job's pod."""
LOG_LINE = '{"time":'
"""How the lines begin that the runner writes for programs, between those of the report."""


def show_check(cluster: Cluster, flags: Namespace) -> int:
    """`check`; returns the exit code of the check."""
    body = build_job(get_connector(cluster, flags), cluster.list_datasets(flags.namespace)["items"], flags)
    job = cluster.create_job(flags.namespace, body)["metadata"]["name"]
    try:
        code, pod = _await_end(cluster, flags, job)
        for line in report_of(cluster.read_log(flags.namespace, pod, follow=False)):
            sys.stdout.write(f"{line}\n")
    finally:
        cluster.delete_job(flags.namespace, job)
    return code


def build_job(connector: Json, datasets: list[Json], flags: Namespace) -> Json:
    """The Job of a check.

    Args:
        connector: The Connector.
        datasets: All Datasets of its namespace.
        flags: `image`, `timeout`, `output`.

    Raises:
        RefusedError: Something is missing without which there is nothing to check.
    """
    arguments = () if flags.output == "table" else ("-o", flags.output)
    try:
        return build_check_job(connector, datasets, flags.timeout, arguments, flags.image)
    except UnknownImageError as error:
        raise RefusedError(f"{error} Or name one by --image.") from None
    except NotPossibleError as error:
        raise RefusedError(f"{error} There is nothing to check.") from None


def report_of(lines: Iterator[str]) -> Iterator[str]:
    """The lines of the report, without the runner's log."""
    return (line for line in lines if not line.startswith(LOG_LINE))


def _await_end(cluster: Cluster, flags: Namespace, job: str) -> tuple[int, str]:
    """The exit code of the Job's container and the name of its pod.

    Raises:
        RefusedError: It has not ended in time, or it never ran.
    """
    deadline, pod = time.monotonic() + flags.timeout, Json()
    while time.monotonic() < deadline:
        pod = next(iter(cluster.list_job_pods(flags.namespace, job)["items"]), pod)
        if (code := exit_code_of(pod)) is not None:
            return code, pod["metadata"]["name"]
        if find_text(pod, "status", "phase") in {"Failed", "Succeeded"}:
            break
        time.sleep(PAUSE_SECONDS)
    raise RefusedError(
        f"The check of {flags.name} has not ended after {flags.timeout} s: {say_waiting(pod)}", status=FAILED
    )
