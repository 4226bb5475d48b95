"""A namespace's objects kept and brought back as Velero does it: without status, owners and UIDs, in its order, Jobs and pods included."""

from __future__ import annotations

import json
from typing import Any

from tests.kit.cluster import Kit

ORDER = (
    "persistentvolumeclaims",
    "secrets",
    "configmaps",
    "pods",
    "jobs.batch",
    "connectors.apperate.io",
    "datasets.apperate.io",
)
"""Velero's order of kinds; what it does not name comes afterwards, in the order of names, which it takes from the API's groups."""
_DROPPED = ("generateName", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
            "deletionGracePeriodSeconds", "ownerReferences", "managedFields")  # fmt: skip
_OF_CONTROLLERS = ("controller-uid", "batch.kubernetes.io/controller-uid")


def back_up(kit: Kit, kinds: tuple[str, ...] = ORDER) -> list[dict[str, Any]]:
    """All objects of these kinds, as the API server gives them."""
    return [item for kind in kinds for item in json.loads(kit.kubectl("get", kind, "-o", "json"))["items"]]


def restore(kit: Kit, objects: list[dict[str, Any]]) -> None:
    """Creates what is not there; what had ended is left out, as Velero does."""
    for one in objects:
        if not is_completed(one) and one["metadata"]["name"] != "kube-root-ca.crt":
            kit.kubectl("create", "-f", "-", input=json.dumps(as_restored(one)))


def is_completed(one: dict[str, Any]) -> bool:
    status = one.get("status") or {}
    return status.get("phase") in {"Succeeded", "Failed"} or "completionTime" in status


def as_restored(one: dict[str, Any]) -> dict[str, Any]:
    """An object as it is created again."""
    made: dict[str, Any] = json.loads(json.dumps({key: value for key, value in one.items() if key != "status"}))
    for key in _DROPPED:
        made["metadata"].pop(key, None)
    spec = made.get("spec", {})
    if one["kind"] == "PersistentVolumeClaim":
        spec.pop("volumeName", None)
        made["metadata"].pop("annotations", None)
    if one["kind"] == "Pod":
        for key in ("nodeName", "priority"):
            spec.pop(key, None)
    if one["kind"] == "Job":
        for key in _OF_CONTROLLERS:
            spec["selector"]["matchLabels"].pop(key, None)
            spec["template"]["metadata"]["labels"].pop(key, None)
        if not spec["selector"]["matchLabels"]:
            del spec["selector"]
    return made
