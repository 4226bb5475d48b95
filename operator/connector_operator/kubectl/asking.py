"""Jobs that answer a question, made, waited for and removed with the rights of who types the command."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.fields import find_text
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.workloads.asked_jobs import exit_code_of, say_waiting
from connector_runner.schemas.printable import printable_lines

FAILED = 1
PAUSE_SECONDS = 1.0
"""Between two looks at the Job's pod."""


@contextmanager
def asking(cluster: Cluster, namespace: str, body: Json, seconds: float, what: str) -> Iterator[tuple[int, Json]]:
    """Makes a Job and waits; gives the exit code of its container and its pod. The Job is removed afterwards, in any case.

    Args:
        cluster: The cluster.
        namespace: Where.
        body: The Job.
        seconds: How long it may take.
        what: What it is, for a message: `The check of trades`.

    Raises:
        RefusedError: It has not ended in time, it never ran, or the API server refuses.
    """
    job = cluster.create_job(namespace, body)["metadata"]["name"]
    try:
        yield _await_end(cluster, namespace, job, seconds, what)
    finally:
        _remove(cluster, namespace, job)


def _remove(cluster: Cluster, namespace: str, job: str) -> None:
    """Deletes the Job, at a second try if need be; a failure is told beside what the command has found, not instead of it."""
    try:
        try:
            cluster.delete_job(namespace, job)
        except RefusedError as error:
            if error.is_missing:
                return
            cluster.delete_job(namespace, job)
    except RefusedError as error:
        if not error.is_missing:
            note = f"The Job {job} could not be removed; it goes by itself, or by `kubectl -n {namespace} delete job {job}`: {error}"
            sys.stderr.write(f"{printable_lines(note)}\n")


def _await_end(cluster: Cluster, namespace: str, job: str, seconds: float, what: str) -> tuple[int, Json]:
    deadline, pod = time.monotonic() + seconds, Json()
    while time.monotonic() < deadline:
        pod = next(iter(cluster.list_job_pods(namespace, job)["items"]), pod)
        if (code := exit_code_of(pod)) is not None:
            return code, pod
        if find_text(pod, "status", "phase") in {"Failed", "Succeeded"}:
            break
        time.sleep(PAUSE_SECONDS)
    raise RefusedError(f"{what} has not ended after {seconds:.0f} s: {say_waiting(pod)}", status=FAILED)
