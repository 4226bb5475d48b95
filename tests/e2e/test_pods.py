"""What the spec and the installation may say about a runner's pod, on a real API server: checked at apply, in the status, or in the pod."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.cluster import OPERATOR_NAMESPACE, Kit, restart_operator
from tests.localkube.cluster import Cluster, KubectlError, eventually

DEFAULTS = "connector-runner-defaults"
PROXY = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
CA = {"name": "ca", "secret": {"secretName": "ca"}}


def patch_defaults(cluster: Cluster, text: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": DEFAULTS, "namespace": OPERATOR_NAMESPACE},
        "data": {"runner.yaml": text},
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(body))


@pytest.fixture
def defaults(operator: Cluster) -> Iterator[Cluster]:
    """A cluster whose installation has defaults for runners, as long as the test."""
    yield operator
    operator.kubectl("-n", OPERATOR_NAMESPACE, "delete", "configmap", DEFAULTS, "--ignore-not-found")
    restart_operator(operator)


def variables(pod: dict[str, Any]) -> dict[str, str]:
    return {v["name"]: v.get("value", "") for v in pod["spec"]["containers"][0]["env"]}


def test_everything_that_a_pod_says_can_be_said(kit: Kit) -> None:
    kit.kubectl("create", "secret", "generic", "ca", "--from-literal=ca.crt=PEM")
    runner = {
        "env": [PROXY, {"name": "CA", "valueFrom": {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}}],
        "volumes": [CA, {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/etc/company", "readOnly": True}],
        "jobLabels": {"team": "data", "kueue.x-k8s.io/queue-name": "queue"},
        "jobAnnotations": {"note": "of a person"},
        "securityContext": {"runAsUser": 65531, "fsGroup": 1000},
        "containerSecurityContext": {"readOnlyRootFilesystem": False},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["db"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "imagePullPolicy": "Never",
    }
    kit.run("c", runner=runner)
    pod = kit.live_pod("c")
    assert variables(pod)["HTTPS_PROXY"] == PROXY["value"]
    assert pod["spec"]["securityContext"]["runAsUser"] == 65531
    assert pod["spec"]["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    job = kit.jobs("c")[0]
    assert (job["metadata"]["labels"]["team"], job["metadata"]["annotations"]["note"]) == ("data", "of a person")
    for name in ("dnsPolicy", "dnsConfig", "hostAliases"):
        assert pod["spec"][name] == runner[name]


@pytest.mark.parametrize(
    ("runner", "says"),
    [
        ({"env": [{"name": "CONNECTOR_MANIFEST", "value": "{}"}]}, "names that begin with CONNECTOR_"),
        ({"volumes": [{"name": "data", "emptyDir": {}}]}, "are the operator's own"),
        ({"volumes": [{"name": "v"}]}, "give one of secret, configMap"),
        ({"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}, "serviceAccountToken"),
        ({"volumes": [{"name": "t", "nfs": {"server": "s", "path": "/"}}]}, 'unknown field "spec.runner.volumes[0].nfs"'),
        ({"volumeMounts": [{"name": "v", "mountPath": "/data/x"}]}, "are the runner's own"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/"}]}, "are the runner's own"),
        ({"jobLabels": {"team": "a b"}}, "spec.runner.jobLabels.team"),
        ({"jobLabels": {"apperate.io/connector": "x"}}, "are not yours to set"),
        ({"imagePullPolicy": "Sometimes"}, 'supported values: "Always", "IfNotPresent", "Never"'),
        ({"topologySpreadConstraints": [{"maxSkew": 0}]}, "spec.runner.topologySpreadConstraints"),
        ({"env": [{"name": "A", "valeu": "x"}]}, 'unknown field "spec.runner.env[0].valeu"'),
    ],
)  # fmt: skip
def test_what_the_api_server_can_tell_is_refused_at_apply(kit: Kit, runner: dict[str, Any], says: str) -> None:
    with pytest.raises(KubectlError) as refused:
        kit.apply("bad", runner=runner)
    assert says in refused.value.stderr


@pytest.mark.parametrize(
    ("runner", "says"),
    [
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "spec.runner.volumes[0].hostPath: this installation does not allow it"),
        ({"hostNetwork": True}, "spec.runner.hostNetwork: this installation does not allow it"),
        ({"containerSecurityContext": {"privileged": True}}, "spec.runner.containerSecurityContext.privileged"),
        ({"env": [{"name": "PYTHONPATH", "value": "/x"}]}, "can bring code into the runner"),
    ],
)  # fmt: skip
def test_what_the_installation_does_not_allow_is_told(kit: Kit, runner: dict[str, Any], says: str) -> None:
    kit.apply("c", runner=runner, selectedStream="ticker", status="running")
    kit.wait("c", "errored", reason="InvalidConfig", ready=False)
    assert says in kit.condition("c", "ConfigValid")["message"]
    assert kit.jobs("c", "") == []


def test_every_field_is_explained(kit: Kit) -> None:
    told = kit.kubectl("explain", "connector.spec.runner.volumes")
    assert all(word in told for word in ("persistentVolumeClaim", "projected", "no tokens"))
    assert "HTTPS_PROXY" in kit.kubectl("explain", "connector.spec.runner.env")
    assert "username" in kit.kubectl("explain", "connector.spec.configFrom.keys")


def test_a_secret_of_others_is_mapped_and_may_be_absent(kit: Kit) -> None:
    kit.kubectl("create", "secret", "generic", "db", "--from-literal=apiKey=k", "--from-literal=engine=mysql")
    sources = [
        {"secretRef": {"name": "db"}, "keys": {"apiKey": "key"}},
        {"secretRef": {"name": "absent"}, "optional": True},
    ]
    kit.run("c", configFrom=sources)
    kit.apply("bad", configFrom=[{"secretRef": {"name": "db"}, "keys": {"apiKey": "nothing"}}])
    kit.wait("bad", "errored", reason="InvalidConfig")
    assert "spec.configFrom[0].keys.apiKey: 'nothing' is not a known property" in kit.condition("bad")["message"]


def test_defaults_of_the_installation_reach_the_next_executions_and_leave_running_ones(
    kit: Kit, defaults: Cluster
) -> None:
    kit.run("before")
    pod = kit.live_pod("before")["metadata"]["uid"]
    patch_defaults(defaults, "env: [{name: HTTPS_PROXY, value: 'http://proxy:3128'}]\njobLabels: {team: data}\n")
    restart_operator(defaults)  # sooner than the kubelet's next look at the ConfigMap
    kit.run("after", runner={"jobLabels": {"own": "x"}})
    assert variables(kit.live_pod("after"))["HTTPS_PROXY"] == "http://proxy:3128"
    labels = kit.jobs("after")[0]["metadata"]["labels"]
    assert (labels["team"], labels["own"]) == ("data", "x")
    assert kit.live_pod("before")["metadata"]["uid"] == pod
    kit.patch("before", restartedAt="1")
    kit.wait_next_run("before", 1)
    assert variables(kit.live_pod("before"))["HTTPS_PROXY"] == "http://proxy:3128"


def test_bad_defaults_end_the_start_with_a_sentence(operator: Cluster, defaults: Cluster) -> None:
    patch_defaults(defaults, "nodeselector: {}\n")
    defaults.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pods", "--all", "--wait=false")

    def is_told() -> bool:
        log = defaults.kubectl(
            "-n", OPERATOR_NAMESPACE, "logs", "deployment/connector-operator", "--all-pods", "--tail=20"
        )
        return "nodeselector: not a known property" in log

    eventually(is_told, timeout=60, what="the start says what is wrong")


def test_a_cluster_that_gives_its_own_groups_is_left_to_choose(kit: Kit, operator: Cluster) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "securitycontextconstraints.security.openshift.io"},
        "spec": {
            "group": "security.openshift.io",
            "scope": "Cluster",
            "names": {"kind": "SecurityContextConstraints", "plural": "securitycontextconstraints"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    }  # fmt: skip
    assert kit.api.get("/apis/security.openshift.io") is None
    kit.kubectl("apply", "-f", "-", input=json.dumps(definition))
    try:
        eventually(lambda: kit.api.get("/apis/security.openshift.io"), what="the API group is served")
        restart_operator(operator)
        kit.run("c")
        assert kit.live_pod("c")["spec"]["securityContext"] == {"runAsNonRoot": True}
    finally:
        kit.kubectl("delete", "crd", definition["metadata"]["name"])  # type: ignore[index]
        restart_operator(operator)
    kit.run("d")
    assert kit.live_pod("d")["spec"]["securityContext"]["fsGroup"] == 65532
