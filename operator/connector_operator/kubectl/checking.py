"""`check`: a Job that asks whether a run would work, made, read and removed with the rights of who types it."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator

import msgspec

from connector_operator.kubectl.cluster import Cluster, Json
from connector_operator.kubectl.commands import FAILED, get_connector
from connector_operator.kubectl.fields import find, find_text
from connector_operator.kubectl.refusals import RefusedError
from connector_operator.resources.dataset import resolve_dataset
from connector_operator.resources.names import CONTAINER
from connector_operator.workloads.check_jobs import build_check_job
from connector_operator.workloads.jobs import RunnerSettings, Subject
from connector_runner.schemas.kinds.connector import ConnectorSpec

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
    metadata, raw = connector["metadata"], connector.get("spec") or {}
    try:
        spec = msgspec.convert(raw, ConnectorSpec)
    except msgspec.ValidationError as error:
        raise RefusedError(f"spec of {metadata['name']}: {error}; fix that first") from None
    view = resolve_dataset(
        spec.dataset_id, {each["metadata"]["name"]: each for each in datasets}, is_many=spec.streams is not None
    )
    if view.spec is None:
        raise RefusedError(f"{view.message} There is no dataset to check.")
    image = flags.image or find_image(connector)
    if not image:
        raise RefusedError(
            f"Which image of the runner {metadata['name']} gets is not known yet: wait until the operator has listed its streams, or name one "
            "by --image."
        )
    subject = Subject(metadata["namespace"], metadata["name"], metadata["uid"], spec)
    arguments = () if flags.output == "table" else ("-o", flags.output)
    return build_check_job(subject, view, RunnerSettings(image=image), flags.timeout, arguments)


def find_image(connector: Json) -> str:
    """The image of the last execution, else of the last discovery; "" if there was none."""
    places = (("status", "ordered", "image"), ("status", "discovery", "ordered", "image"))
    return next((image for place in places if (image := find_text(connector, *place))), "")


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


def exit_code_of(pod: Json) -> int | None:
    """The exit code of the runner's container; None while it has not ended."""
    for status in find(pod, "status", "containerStatuses") or []:
        if status.get("name") == CONTAINER and (ended := find(status, "state", "terminated")):
            return int(ended.get("exitCode", FAILED))
    return None


def say_waiting(pod: Json) -> str:
    """What a pod waits for."""
    if not pod:
        return "its Job has made no pod; `kubectl describe job` and the namespace's events say why (quota, admission)."
    for status in find(pod, "status", "containerStatuses") or []:
        if waiting := find(status, "state", "waiting"):
            return f"its container waits: {waiting.get('reason', '')} {waiting.get('message', '')}".rstrip() + "."
    for condition in find(pod, "status", "conditions") or []:
        if condition.get("status") == "False" and condition.get("message"):
            return f"its pod waits: {condition['message']}"
    return f"its pod is {find_text(pod, 'status', 'phase') or 'pending'}: {find_text(pod, 'status', 'message') or 'no message'}."
