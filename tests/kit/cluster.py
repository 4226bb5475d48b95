"""Helpers of the end-to-end tests for a cluster: apply a connector, wait for a state, count requests."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config

from tests.localkube.cluster import AuditLog, Cluster, Image, LocalKube, eventually

ROOT = Path(__file__).parents[2]
OPERATOR_USER = "system:serviceaccount:connector-operator:connector-operator"
OPERATOR_NAMESPACE = "connector-operator"
PATIENCE = 90.0
READS = {"get", "list", "watch"}


class Api:
    """Direct reads from the API server: one kubectl for each poll would cost more than what is tested."""

    def __init__(self, cluster: Cluster) -> None:
        settings = client.Configuration()
        config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
        self._host = settings.host
        self._pool = urllib3.PoolManager(
            cert_file=settings.cert_file, key_file=settings.key_file, ca_certs=settings.ssl_ca_cert
        )

    def get(self, path: str) -> Any:
        """An object or a list; None if there is none."""
        try:
            answer = self._pool.request("GET", f"{self._host}{path}", retries=False, timeout=30)
        except urllib3.exceptions.HTTPError as error:
            raise LookupError(f"{path}: {error}") from None
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise LookupError(f"{path}: {answer.status} {answer.data[:200]!r}")
        return json.loads(answer.data)

    def merge(self, path: str, body: Any) -> None:
        """Sends a merge patch, without starting kubectl."""
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self._pool.request("PATCH", f"{self._host}{path}", body=json.dumps(body), headers=headers, timeout=30)
        if answer.status >= 400:
            raise LookupError(f"{path}: {answer.status} {answer.data[:200]!r}")


class Kit:
    """One namespace of a cluster with the operator."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.api = Api(cluster)

    def kubectl(self, *arguments: str, **options: Any) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, **options)

    def apply(self, name: str, url: str = "ws://null", **spec: Any) -> None:
        """Applies a complete COINBASE Connector; `url` carries the instructions for the null runner."""
        self.kubectl("apply", "-f", "-", input=json.dumps(self.connector(name, url, **spec)))

    def connector(self, name: str, url: str = "ws://null", **spec: Any) -> dict[str, Any]:
        full = {"connectorType": "COINBASE", "datasetId": "rows", "config": {"url": url, "productId": ["BTC-USD"]}}
        return {
            "apiVersion": "apperate.io/v1",
            "kind": "Connector",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": full | spec,
        }

    def dataset(self, name: str = "rows", **spec: Any) -> None:
        manifest = {
            "apiVersion": "apperate.io/v1",
            "kind": "Dataset",
            "metadata": {"name": name},
            "spec": spec or {"url": "postgresql://nowhere/market"},
        }
        self.kubectl("apply", "-f", "-", input=json.dumps(manifest))

    def wait_dataset(self, name: str = "rows") -> None:
        """Waits until the operator knows a Dataset: a Connector that is applied earlier reports that there is none."""
        path = f"/apis/apperate.io/v1/namespaces/{self.namespace}/datasets/{name}"
        eventually(lambda: (self.api.get(path).get("status") or {}).get("conditions"), what=f"Dataset {name} is known")

    def run(self, name: str, url: str = "ws://null", **spec: Any) -> None:
        """Applies a Connector that should run, and waits until it does."""
        self.apply(name, url, **{"selectedStream": "ticker", "status": "running", **spec})
        self.wait(name, "running", ready=True)

    def patch(self, name: str, **spec: Any) -> None:
        self.kubectl("patch", "connector", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def delete(self, name: str) -> None:
        self.kubectl("delete", "connector", name, "--wait=false")

    def get(self, name: str) -> dict[str, Any]:
        found = self.api.get(f"/apis/apperate.io/v1/namespaces/{self.namespace}/connectors/{name}")
        if found is None:
            raise LookupError(f"no connector {name}")
        return dict(found)

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.get(name).get("status") or {})

    def condition(self, name: str, kind: str = "Ready") -> dict[str, Any]:
        conditions = self.status(name).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def wait(
        self, name: str, state: str, *, reason: str = "", ready: bool | None = None, timeout: float = PATIENCE
    ) -> dict[str, Any]:
        """Waits until the status is for the present spec and meets the condition; returns it."""

        def check() -> dict[str, Any] | None:
            found = self.get(name)
            status = found.get("status") or {}
            said: dict[str, Any] = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
            got = (status.get("state", {}).get("status"), said.get("reason"), said.get("status"))
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            good = got[0] == state and reason in {"", got[1]} and ready in {None, got[2] == "True"}
            if current and good:
                return dict(status)
            raise LookupError(f"{name} is {got}, {said.get('message')!r}, generation current: {current}")

        return dict(eventually(check, timeout=timeout, what=f"{name} {state} {reason}"))

    def wait_condition(self, name: str, kind: str, reason: str, timeout: float = PATIENCE) -> dict[str, Any]:
        def check() -> dict[str, Any] | None:
            found = self.condition(name, kind)
            if found.get("reason") == reason:
                return found
            raise LookupError(f"{name}: {kind} is {found}")

        return dict(eventually(check, timeout=timeout, what=f"{name} {kind}={reason}"))

    def jobs(self, name: str, role: str = "runner") -> list[dict[str, Any]]:
        return self._labelled("/apis/batch/v1", "jobs", name, role)

    def pods(self, name: str, role: str = "runner") -> list[dict[str, Any]]:
        return self._labelled("/api/v1", "pods", name, role)

    def _labelled(self, api: str, kind: str, name: str, role: str) -> list[dict[str, Any]]:
        selector = f"apperate.io/connector%3D{name}" + (f",apperate.io/role%3D{role}" if role else "")
        found = self.api.get(f"{api}/namespaces/{self.namespace}/{kind}?labelSelector={selector}")
        return list(found["items"])

    def live_pod(self, name: str) -> dict[str, Any]:
        pods = [p for p in self.pods(name) if p["status"].get("phase") == "Running"]
        if len(pods) != 1:
            raise LookupError(f"{name} has {len(pods)} running pods")
        return pods[0]

    def wait_gone(self, name: str) -> None:
        """Whether there is neither a Job nor a pod with this connector's name."""

        def check() -> bool:
            left = [o["metadata"]["name"] for o in [*self.jobs(name, ""), *self.pods(name, "")]]
            if left:
                raise LookupError(f"left: {left}")
            return True

        eventually(check, timeout=PATIENCE, what=f"{name} gone")

    def wait_next_run(self, name: str, run: int) -> dict[str, Any]:
        """Waits until an execution with a higher number than `run` is ready."""

        def check() -> dict[str, Any] | None:
            status = self.wait(name, "running", ready=True, timeout=0)
            return status if status["run"] > run else None

        return dict(eventually(check, timeout=PATIENCE, what=f"{name} runs again after run {run}"))


def null_runner_image() -> Image:
    """Like a real image, it names its user: the operator sets none."""
    command = [sys.executable, "-I", "-S", str(ROOT / "tests/simulators/null_runner/__main__.py")]
    return {"command": command, "user": 65532}


def install(cluster: Cluster) -> None:
    """Installs the operator from the manifests for users, and waits until it works."""
    if isinstance(cluster, LocalKube):
        cluster.map_images({"null-runner:test": null_runner_image()})
    overlay = "tests/e2e/manifests"
    rendered = cluster.kubectl("kustomize", str(ROOT / overlay))
    for image, variable in {
        "null-runner:test": "NULL_RUNNER_IMAGE",
        "connector-operator:dev": "OPERATOR_IMAGE",
    }.items():
        rendered = rendered.replace(image, os.environ.get(variable, image))
    cluster.kubectl("apply", "--server-side", "-f", "-", input=rendered)
    wait_operator(cluster)


def wait_operator(cluster: Cluster) -> None:
    """Waits until the active operator holds the Lease and serves."""
    namespace = ("-n", OPERATOR_NAMESPACE)
    cluster.kubectl(*namespace, "rollout", "status", "deployment/connector-operator", "--timeout=120s")
    api = Api(cluster)

    def holds() -> bool:
        lease = api.get(f"/apis/coordination.k8s.io/v1/namespaces/{OPERATOR_NAMESPACE}/leases/connector-operator")
        pods = api.get(f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods")["items"]
        alive = {p["metadata"]["name"] for p in pods if "deletionTimestamp" not in p["metadata"]}
        return bool(lease) and str(lease["spec"]["holderIdentity"]).rpartition("_")[0] in alive

    eventually(holds, timeout=60, what="the Lease is held by a living pod")


def operator_pods(cluster: Cluster) -> list[dict[str, Any]]:
    pods = Api(cluster).get(f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods")["items"]
    return [p for p in pods if "deletionTimestamp" not in p["metadata"]]


def restart_operator(cluster: Cluster) -> None:
    """Ends the operator's pods and waits for the next active one."""
    cluster.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pods", "--all", "--wait=true")
    wait_operator(cluster)


class Audit:
    """Requests in the audit log since this object was created."""

    def __init__(self, cluster: LocalKube) -> None:
        self._log = AuditLog(cluster.directory, from_now=True)
        self._events: list[dict[str, Any]] = []

    def events(self, user: str = OPERATOR_USER, namespace: str = "") -> Iterator[dict[str, Any]]:
        self._events += self._log.new_events()
        for event in self._events:
            if user and event.get("user", {}).get("username") != user:
                continue
            if namespace and event.get("objectRef", {}).get("namespace") != namespace:
                continue
            yield event

    def count(self, namespace: str, user: str = OPERATOR_USER) -> Counter[str]:
        """`verb resource/subresource` of the operator's requests for a namespace, without those that lost a race."""
        counted: Counter[str] = Counter()
        for event in self.events(user, namespace):
            if event["responseStatus"]["code"] == HTTPStatus.CONFLICT:
                continue
            ref = event["objectRef"]
            resource = ref.get("resource", "") + (f"/{ref['subresource']}" if "subresource" in ref else "")
            counted[f"{event['verb']} {resource}"] += 1
        return counted

    def writes(self, namespace: str = "") -> list[str]:
        """The operator's writes, except to the Lease."""
        found = []
        for event in self.events(namespace=namespace):
            ref = event.get("objectRef", {})
            if event["verb"] not in READS and ref.get("resource") not in {"leases", "selfsubjectaccessreviews"}:
                found.append(f"{event['verb']} {ref.get('resource')}/{ref.get('subresource', '')} {ref.get('name')}")
        return found

    def wait_quiet(self, namespace: str, seconds: float = 3.0) -> None:
        """Waits until the operator has written nothing for a namespace for this long."""
        quiet_since, seen = time.monotonic(), len(self.writes(namespace))

        def check() -> bool:
            nonlocal quiet_since, seen
            if (written := len(self.writes(namespace))) != seen:
                quiet_since, seen = time.monotonic(), written
            return time.monotonic() - quiet_since >= seconds

        eventually(check, timeout=PATIENCE, what=f"no more writes in {namespace}")


def wait_all_seen(cluster: Cluster) -> None:
    """Waits until the operator has handled everything that it knows now.

    Connectors are handled in turn, so everything known before a new one was handled before the new one was done.
    """
    last = Kit(cluster, "default")
    name = f"last-{secrets.token_hex(4)}"
    last.apply(name, f"ws://null?{name}")  # unique: it must wait for its own discovery
    last.wait(name, "received", ready=True)
    last.kubectl("delete", "connector", name)


def find_process(variable: str) -> int:
    """Finds the process on this machine that was started with a variable (`NAME=value`) in its environment.

    Raises:
        LookupError: There is none.
    """
    for folder in Path("/proc").iterdir():
        try:
            is_it = variable.encode() in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if folder.name.isdigit() and is_it:
            return int(folder.name)
    raise LookupError(f"no process has {variable}")
