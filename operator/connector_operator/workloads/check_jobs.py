"""Builds the Job of one check: the pod of an execution, with `check` instead of `run`. Pure."""

from __future__ import annotations

from typing import Any

from connector_operator.resources import names
from connector_operator.resources.dataset import DatasetView
from connector_operator.workloads.jobs import ORDERS_VOLUME, Claim, RunnerSettings, Subject, build_runner_job

KEPT_SECONDS = 600
"""How long the Job stays if nobody removes it."""
NOT_OF_A_CHECK = ("ports", "startupProbe", "livenessProbe", "readinessProbe")


def build_check_job(
    subject: Subject, dataset: DatasetView, settings: RunnerSettings, seconds: int, arguments: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The Job that a person makes; it has none of the labels by which the operator knows its own.

    Args:
        subject: The connector.
        dataset: Its Dataset, resolved.
        settings: The image, and the layers below `spec.runner`.
        seconds: After this time its pod is ended.
        arguments: Of the command besides its name.
    """
    take_over = subject.spec.take_over
    claim = Claim(take_over=take_over and take_over.within(subject.namespace))
    body = build_runner_job(subject, "", 0, dataset, settings, claim)
    template = body["spec"]["template"]
    pod, own = template["spec"], {names.LABEL_CHECK: subject.name}
    container = pod["containers"][0]
    container["args"] = ["check", *arguments]
    for name in NOT_OF_A_CHECK:
        container.pop(name, None)
    container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] != ORDERS_VOLUME]
    pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] != ORDERS_VOLUME]
    pod["activeDeadlineSeconds"], pod["terminationGracePeriodSeconds"] = seconds, 5
    template["metadata"]["labels"] = {**_without_ours(template["metadata"]["labels"]), **own}
    template["metadata"]["annotations"].pop(names.ANNOTATION_UID, None)
    metadata = {
        "generateName": f"{subject.name}-check-",
        "namespace": subject.namespace,
        "labels": {**_without_ours(body["metadata"]["labels"]), **own},
    }
    spec = {"backoffLimit": 0, "ttlSecondsAfterFinished": KEPT_SECONDS, "template": template}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, "spec": spec}


def _without_ours(labels: dict[str, str]) -> dict[str, str]:
    """The labels that `spec.runner` gives."""
    return {name: value for name, value in labels.items() if name not in names.OWN_LABELS}
