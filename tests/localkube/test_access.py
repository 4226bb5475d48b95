"""Who may do what: tokens from inside, RBAC, Pod Security, quotas, leases, the audit log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.localkube.cluster import Cluster, KubectlError, LocalKube, eventually
from tests.localkube.workloads import PYTHON, container, job, pod, run_json, run_script

ROLE = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader}]
"""

FROM_INSIDE = """
import json, pathlib
from kubernetes import client, config
config.load_config() if not pathlib.Path('/var/run/secrets/kubernetes.io').exists() else config.load_incluster_config()
namespace = "NAMESPACE"
core = client.CoreV1Api()
found = [m.metadata.name for m in core.list_namespaced_config_map(namespace).items]
try:
    core.list_namespaced_secret(namespace)
    secrets = 200
except client.ApiException as error:
    secrets = error.status
lease = client.CoordinationV1Api().create_namespaced_lease(namespace, {
    "metadata": {"name": "leader"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}})
print(json.dumps({"maps": found, "secrets": secrets, "lease": lease.metadata.name}))
"""


def test_token_that_in_cluster_clients_find(cluster: Cluster, namespace: str) -> None:
    cluster.apply(ROLE, namespace)
    script = FROM_INSIDE.replace("NAMESPACE", namespace)
    fields = {"serviceAccountName": "reader", "automountServiceAccountToken": True}
    for name, security in {"root": {}, "other": {"runAsUser": 65532, "runAsNonRoot": True}}.items():
        cluster.kubectl("delete", "lease", "leader", "-n", namespace, "--ignore-not-found")
        manifest = pod(name, container(script, image=PYTHON), securityContext=security, **fields)
        seen = run_json(cluster, namespace, name, manifest)
        assert seen == {"maps": ["kube-root-ca.crt"], "secrets": 403, "lease": "leader"}


def test_published_root_certificate_is_the_servers(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt"
    assert "BEGIN CERTIFICATE" in eventually(lambda: cluster.read(path))["data"]["ca.crt"]


def test_restricted_pods_are_accepted_and_others_refused(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        cluster.apply(pod("loose", container("true")), namespace)
    tight = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
    manifest = pod("tight", container("echo fine", securityContext=tight, resources=resources))
    assert run_script(cluster, namespace, "tight", manifest) == "fine\n"


def test_quota_stops_pods(cluster: Cluster, namespace: str) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    cluster.apply(quota, namespace)
    path = f"/api/v1/namespaces/{namespace}/resourcequotas/few"
    eventually(lambda: "hard" in cluster.read(path)["status"])
    cluster.apply(pod("one", container("sleep 600")), namespace)
    with pytest.raises(KubectlError, match="exceeded quota"):
        cluster.apply(pod("two", container("true")), namespace)
    cluster.apply(job("waits", container("true")), namespace)
    eventually(lambda: "exceeded quota" in cluster.kubectl("describe", "job", "waits", "-n", namespace))
    cluster.kubectl("delete", "pod", "one", "-n", namespace)
    eventually(lambda: cluster.read(path)["status"]["used"]["pods"] == "0")


def test_audit_log_tells_who_did_what(localkube: LocalKube, namespace: str) -> None:
    localkube.kubectl("create", "configmap", "noted", "-n", namespace, "--from-literal=a=b")
    localkube.kubectl("create", "secret", "generic", "hidden", "-n", namespace, "--from-literal=a=do-not-log")
    localkube.kubectl("get", "configmap", "noted", "-n", namespace)

    def seen(verb: str, resource: str) -> list[dict[str, Any]]:
        return [
            event
            for event in localkube.audit_events()
            if (event["verb"], event.get("objectRef", {}).get("namespace")) == (verb, namespace)
            and event["objectRef"]["resource"] == resource
            and event["user"]["username"] == "localkube-admin"
        ]

    (created,) = seen("create", "configmaps")
    assert created["responseStatus"]["code"] == 201
    assert created["requestObject"]["data"] == {"a": "b"}
    assert seen("get", "configmaps")
    assert "do-not-log" not in json.dumps(seen("create", "secrets"))
    assert seen("create", "secrets")


def test_custom_resources_with_rules(cluster: Cluster, namespace: str) -> None:
    group = f"{namespace}.example.org"
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"size": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "self.size > 1", "message": "too small"}],
            }
        },
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [version],
        },
    }
    cluster.apply(crd)
    try:
        cluster.kubectl("wait", "--for=condition=Established", f"crd/widgets.{group}", "--timeout=30s")

        def widget(size: int) -> str:
            value = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": size}}
            return json.dumps(value)

        with pytest.raises(KubectlError, match="too small"):
            cluster.apply(widget(1), namespace)
        cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", input=widget(2))
        assert cluster.get(f"widgets.{group}", "w", "-n", namespace)["spec"] == {"size": 2}
    finally:
        cluster.kubectl("delete", "crd", f"widgets.{group}")


def test_version_is_stamped(cluster: Cluster) -> None:
    versions = json.loads(cluster.kubectl("version", "-o", "json"))
    assert versions["clientVersion"]["gitVersion"].startswith("v1.")
    assert versions["serverVersion"]["gitVersion"].startswith("v1.")
