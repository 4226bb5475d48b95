"""Small pods and Jobs for localkube's own tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.localkube.cluster import Cluster, eventually

PYTHON = "python:test"
SHELL = "sh:test"


def container(script: str, image: str = SHELL, **fields: Any) -> dict[str, Any]:
    """A container that runs a shell script, or with `image=PYTHON` a Python one."""
    arguments = ["-c", script] if image == PYTHON else [script]
    return {"name": "main", "image": image, "args": arguments, **fields}


def pod(name: str, main: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod with one container that is not restarted and has a grace period of two seconds, unless given otherwise."""
    defaults = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "automountServiceAccountToken": False}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {**defaults, "containers": [dict(main)], **spec},
    }


def job(name: str, main: Mapping[str, Any], spec: Mapping[str, Any] | None = None, **pod_spec: Any) -> dict[str, Any]:
    """A Job of one pod that is not tried again."""
    template = pod(name, main, **pod_spec)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            **(spec or {}),
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def state(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    """The status of a pod's only container."""
    found_pod = cluster.read(f"/api/v1/namespaces/{namespace}/pods/{name}")
    statuses = found_pod["status"].get("containerStatuses", [{}])
    found: dict[str, Any] = statuses[0]
    return found


def phase(cluster: Cluster, namespace: str, name: str) -> str:
    """The phase of a pod."""
    return str(cluster.read(f"/api/v1/namespaces/{namespace}/pods/{name}")["status"]["phase"])


def is_gone(cluster: Cluster, path: str) -> bool:
    """Whether an object is gone."""
    try:
        cluster.read(path)
    except LookupError:
        return True
    return False


def terminated(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    """Waits until a pod's container has ended, and returns how."""
    found: dict[str, Any] = eventually(
        lambda: state(cluster, namespace, name).get("state", {}).get("terminated"), what=f"{name} ends"
    )
    return found


def running(cluster: Cluster, namespace: str, name: str) -> None:
    """Waits until a pod's container runs and is ready."""
    eventually(lambda: state(cluster, namespace, name).get("ready"), what=f"{name} is ready")


def output(cluster: Cluster, namespace: str, name: str, *arguments: str) -> str:
    """What a pod has written."""
    return cluster.kubectl("logs", name, "-n", namespace, *arguments)


def run_script(cluster: Cluster, namespace: str, name: str, manifest: Mapping[str, Any]) -> str:
    """Runs a pod to its end, which must be a good one, and returns what it wrote."""
    cluster.apply(manifest, namespace)
    ended = terminated(cluster, namespace, name)
    text = output(cluster, namespace, name)
    assert ended["exitCode"] == 0, f"{ended}: {text}"
    return text


def run_json(cluster: Cluster, namespace: str, name: str, manifest: Mapping[str, Any]) -> Any:
    """The same for a pod that prints JSON."""
    return json.loads(run_script(cluster, namespace, name, manifest))


def events(cluster: Cluster, namespace: str, name: str) -> set[str]:
    """The reasons of the events about an object."""
    found = cluster.read(f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name={name}")
    return {item["reason"] for item in found["items"]}
