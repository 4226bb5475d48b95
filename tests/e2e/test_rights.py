"""Each right of the operator's roles is used, and none is missing: by the audit log of a connector's life with its rarer turns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_operator.resources.names import execution_job_name
from tests.kit.cluster import (
    OPERATOR_NAMESPACE,
    OPERATOR_USER,
    ROOT,
    Kit,
    operator_pods,
    restart_operator,
    wait_operator,
)
from tests.localkube.cluster import AuditLog, LocalKube, eventually
from tests.localkube.plugin import default_images
from tests.simulators.coinbase.process import Simulator

PRODUCTS = ("BTC-USD", "LINK-USD")
Right = tuple[str, str, str]
"""API group, resource (with subresource), verb."""
ASKED_BY_ADMISSION: set[Right] = {("apperate.io", "connectors/finalizers", "update")}
"""Never a request: asked for by the admission plugin OwnerReferencesPermissionEnforcement, which guards owner references on OpenShift."""
OF_EVERYBODY = "system:"
"""How the roles begin that every account has: discovery of the API, and what may I do."""


def rules_of(path: str) -> list[dict[str, Any]]:
    roles = [one for one in yaml.safe_load_all((ROOT / path).read_text()) if one["kind"] in {"Role", "ClusterRole"}]
    return [rule for role in roles for rule in role["rules"]]


def rights_of(rules: list[dict[str, Any]]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def read_request(event: dict[str, Any]) -> Right | None:
    """What a request needs; None if it is for no resource (which API there is)."""
    if not (ref := event.get("objectRef")) or "resource" not in ref:
        return None
    resource = ref["resource"] + (f"/{ref['subresource']}" if ref.get("subresource") else "")
    return ref.get("apiGroup", ""), resource, event["verb"]


@pytest.fixture
def installed(local_only: None, tmp_path: Path) -> Iterator[LocalKube]:
    """A cluster with an audit log from the operator's first request on."""
    cluster = LocalKube.start(tmp_path / "cluster", default_images(), audit=True)
    try:
        cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "manifests/localkube"))
        wait_operator(cluster)
        yield cluster
    finally:
        cluster.stop()


def live(kit: Kit, simulator: Simulator) -> None:
    """A connector's life in which the operator does all that it ever does."""
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "rows"}}
    access = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    kit.kubectl("apply", "-f", "-", input=json.dumps(claim | {"spec": access}))
    kit.dataset(url="sqlite:///market.db", volumeClaim="rows")
    config = simulator.config(*PRODUCTS)
    kit.apply("c", config=config, streams={"include": ["ticker"]})
    kit.wait("c", "ready", ready=True)
    # Somebody else has a Job with the name of the next execution: it is looked at, and left alone.
    taken = execution_job_name("c", kit.get("c")["metadata"]["uid"], 1)
    kit.kubectl("create", "job", taken, "--image=sh:test", "--", "sh", "-c", "exit 0")
    kit.patch("c", status="running")
    kit.wait("c", "running", ready=False, reason="JobRefused")
    kit.kubectl("delete", "job", taken)
    kit.patch("c", restartedAt="after the Job of somebody else")
    kit.wait("c", "running", ready=True)
    kit.patch("c", streams={"include": ["ticker", "matches"]})  # by a ConfigMap
    eventually(lambda: is_carried(kit, streams=2), timeout=180, what="the changed selection is carried")
    kit.patch("c", runner={"nodeSelector": {"no": "such"}})  # events of the pod are looked at
    kit.wait("c", "running", ready=False, reason="Unschedulable")
    kit.patch("c", runner=None)
    kit.wait("c", "running", ready=True)
    kit.patch("c", restartedAt="an event that was sent before")
    kit.wait_next_run("c", kit.status("c")["run"])
    kit.patch("c", status="stopped")
    kit.wait("c", "stopped", ready=True)
    kit.delete("c")
    kit.wait_gone("c")


def is_carried(kit: Kit, streams: int) -> bool:
    """Whether the running execution carries as many streams as the spec selects now."""
    found = kit.get("c")
    said = kit.condition("c", "SelectionApplied")
    if said.get("observedGeneration") != found["metadata"]["generation"] or said.get("reason") != "SelectionApplied":
        raise LookupError(f"SelectionApplied is {said}")
    return bool(found["status"]["selection"]["selected"] == streams)


@pytest.mark.fault
@pytest.mark.timeout(900)
def test_each_right_is_used_and_none_is_missing(installed: LocalKube) -> None:
    kit = Kit(installed, "default")
    with Simulator(products=",".join(PRODUCTS), rate=40) as simulator:
        live(kit, simulator)
    restart_operator(installed)  # a watch is in the log when it ends
    (pod,) = operator_pods(installed)
    assert pod["spec"]["serviceAccountName"] == "connector-operator"
    namespace = installed.get("namespace", OPERATOR_NAMESPACE)["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"

    granted = rights_of([*rules_of("manifests/cluster-wide/rights.yaml"), *rules_of("manifests/base/lease.yaml")])
    used: set[Right] = set()
    for event in AuditLog(installed.directory).new_events():
        right = read_request(event)
        if event["user"]["username"] != OPERATOR_USER or right is None:
            continue
        annotations = event.get("annotations", {})
        assert annotations["authorization.k8s.io/decision"] == "allow", f"missing: {right} {event['requestURI']}"
        if OF_EVERYBODY not in annotations["authorization.k8s.io/reason"]:
            used.add(right)
    assert used <= granted
    assert granted - used == ASKED_BY_ADMISSION, "rights that nothing needs"


def test_one_namespaces_rights_are_those_of_all() -> None:
    assert rules_of("manifests/namespaced/rights.yaml") == rules_of("manifests/cluster-wide/rights.yaml")
