"""Jobs that a person asks for: the pod of an execution with another command, unknown to the operator. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from connector_operator.resources import names
from connector_operator.resources.dataset import resolve_dataset
from connector_operator.resources.workload import read_job
from connector_operator.workloads.jobs import ORDERS_VOLUME, Claim, RunnerSettings, Subject, build_runner_job
from connector_runner.schemas.kinds.connector import ConnectorSpec
from connector_runner.schemas.outcome import Termination

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""

SECONDS = 120
"""After this time a Job's pod is ended, if nothing else is said."""
KEPT_SECONDS = 600
"""How long the Job stays if nobody removes it."""
GRACE_SECONDS = 5
SPARE_SECONDS = 60
"""So much longer than its pod the Job itself may take: a pod that never gets a node has no deadline that counts."""
_OF_AN_EXECUTION = ("ports", "startupProbe", "livenessProbe", "readinessProbe")
_SCRAPED = "prometheus.io/"
_SET_BY_CLUSTER = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
"""Labels that the API server adds to the template of each Job."""


class NotPossibleError(Exception):
    """Such a Job can't be made; the text says what is missing, as a sentence."""


class UnknownImageError(NotPossibleError):
    """Neither an execution nor a discovery says which image the runner has."""


def build_asked_job(
    execution: Object, connector: str, word: str, label: str, arguments: Iterable[str], seconds: int
) -> dict[str, Any]:
    """The Job that a person makes; it has none of the labels by which the operator knows its own, and no owner.

    Args:
        execution: The Job of an execution, as built or as the API server returns it.
        connector: The connector's name.
        word: What it is for; a part of its name.
        label: Its label; the value is the connector's name.
        arguments: Of the command line, with the command.
        seconds: After this time its pod is ended.
    """
    metadata, own = execution["metadata"], {label: connector}
    template: dict[str, Any] = copy.deepcopy(execution["spec"]["template"])
    pod, of_pod = template["spec"], template.setdefault("metadata", {})
    container = next(one for one in pod["containers"] if one["name"] == names.CONTAINER)
    container["args"] = [*arguments]
    for name in _OF_AN_EXECUTION:
        container.pop(name, None)
    container["volumeMounts"] = [one for one in container.get("volumeMounts") or () if one["name"] != ORDERS_VOLUME]
    pod["volumes"] = [volume for volume in pod.get("volumes") or () if volume["name"] != ORDERS_VOLUME]
    pod["activeDeadlineSeconds"], pod["terminationGracePeriodSeconds"] = seconds, GRACE_SECONDS
    kept = (of_pod.get("annotations") or {}).items()
    of_pod["annotations"] = {
        name: value for name, value in kept if name != names.ANNOTATION_UID and not name.startswith(_SCRAPED)
    }
    of_pod["labels"] = {**_without_ours(of_pod.get("labels") or {}), **own}
    of_pod.pop("creationTimestamp", None)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "generateName": f"{connector}-{word}-",
            "namespace": metadata["namespace"],
            "labels": {**_without_ours(metadata.get("labels") or {}), **own},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds + SPARE_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": template,
        },
    }


def build_execution(connector: Object, datasets: Iterable[Object], image: str = "") -> dict[str, Any]:
    """The Job of an execution as the operator would make it, without the installation's defaults for pods.

    Args:
        connector: The Connector.
        datasets: All Datasets of its namespace.
        image: Of the runner; "" for that of the last execution or discovery.

    Raises:
        NotPossibleError: Something is missing without which there is nothing to run.
    """
    metadata, raw = connector["metadata"], connector.get("spec") or {}
    try:
        spec = msgspec.convert(raw, ConnectorSpec)
    except msgspec.ValidationError as error:
        raise NotPossibleError(f"spec of {metadata['name']}: {error}; fix that first") from None
    existing = {each["metadata"]["name"]: each for each in datasets}
    view = resolve_dataset(spec.dataset_id, existing, is_many=spec.streams is not None)
    if view.spec is None:
        raise NotPossibleError(view.message)
    image = image or find_image(connector)
    if not image:
        raise UnknownImageError(
            f"Which image of the runner {metadata['name']} gets is not known yet: wait until the operator has listed its streams."
        )
    subject = Subject(metadata["namespace"], metadata["name"], metadata["uid"], spec)
    claim = Claim(take_over=spec.take_over and spec.take_over.within(subject.namespace))
    return build_runner_job(subject, "", 0, view, RunnerSettings(image=image), claim)


def find_execution(connector: Object, jobs: Iterable[Object]) -> Object | None:
    """The Job among `jobs` of the execution that the connector's status names and that has not ended; None without one.

    Owner, labels and name are not enough: whoever may make Jobs can give them to a Job of their own, under a number that
    is not taken. Only the operator writes the status.
    """
    uid, status = connector["metadata"]["uid"], connector.get("status") or {}
    run, last = status.get("run") or 0, status.get("lastExecution") or {}
    if not run or (last.get("run") == run and last.get("finishedAt")):
        return None
    known = [(read_job(job), job) for job in jobs]
    return next(
        (job for seen, job in known if (seen.owner, seen.role, seen.run) == (uid, names.ROLE_RUNNER, run)), None
    )


def find_image(connector: Object) -> str:
    """The image of the last execution, else of the last discovery; "" if there was none."""
    status = connector.get("status") or {}
    places = (status.get("ordered"), (status.get("discovery") or {}).get("ordered"))
    return next((str(place["image"]) for place in places if place and place.get("image")), "")


def find_end(pod: Object) -> Object | None:
    """How the runner's container ended (`exitCode`, `message`, …); None while it has not."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        ended: Object | None = (status.get("state") or {}).get("terminated")
        if status.get("name") == names.CONTAINER and ended:
            return ended
    return None


def exit_code_of(pod: Object) -> int | None:
    """The exit code of the runner's container; None while it has not ended."""
    ended = find_end(pod)
    return None if ended is None else int(ended.get("exitCode", 1))


def read_last_words(ended: Object) -> tuple[str, str]:
    """Reason and message of a container that has ended: the runner's own, else what the kubelet says."""
    text = str(ended.get("message") or "")
    try:
        said = msgspec.json.decode(text, type=Termination)
    except (msgspec.MsgspecError, RecursionError):
        return str(ended.get("reason") or ""), text
    return said.reason, said.message


def say_waiting(pod: Object) -> str:
    """What a pod waits for; an empty one is a pod that does not exist yet."""
    if not pod:
        return "its Job has made no pod; `kubectl describe job` and the namespace's events say why (quota, admission)."
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        if waiting := (container.get("state") or {}).get("waiting"):
            return f"its container waits: {waiting.get('reason', '')} {waiting.get('message', '')}".rstrip() + "."
    for condition in status.get("conditions") or ():
        if condition.get("status") == "False" and condition.get("message"):
            return f"its pod waits: {condition['message']}"
    return f"its pod is {status.get('phase') or 'pending'}: {status.get('message') or 'no message'}."


def _without_ours(labels: Object) -> dict[str, str]:
    """The labels that `spec.runner` gives."""
    left_out = {*names.OWN_LABELS, *_SET_BY_CLUSTER}
    return {name: value for name, value in labels.items() if name not in left_out}
