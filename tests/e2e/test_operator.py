"""The operator itself: restarted, killed, doubled, without its API server. It changes nothing that is as it should be."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.kit.cluster import (
    OPERATOR_NAMESPACE,
    Audit,
    Kit,
    find_process,
    operator_pods,
    restart_operator,
    wait_all_seen,
    wait_operator,
)
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import describe_namespace

ENDED_IN = {
    "received": ("ws://null", {}),
    "ready": ("ws://null", {"selectedStream": "ticker"}),
    "running": ("ws://null", {"selectedStream": "ticker", "status": "running"}),
    "stopped": ("ws://null", {"status": "stopped"}),
    "errored": ("ws://null", {"selectedStream": "nonsense"}),
}


def make_all(kit: Kit) -> None:
    for state, (url, spec) in ENDED_IN.items():
        kit.apply(state, url, **spec)
    for state in ENDED_IN:
        kit.wait(state, state, ready=state != "errored")
    kit.wait_condition("stopped", "Discovered", "Discovered")


def test_a_restart_and_a_kill_write_nothing(kit: Kit, localkube: LocalKube) -> None:
    making = Audit(localkube)
    make_all(kit)
    making.wait_quiet(kit.namespace)
    audit = Audit(localkube)
    restart_operator(localkube)
    wait_all_seen(localkube)
    name = operator_pods(localkube)[0]["metadata"]["name"]
    os.kill(find_process(f"POD_NAME={name}"), signal.SIGKILL)
    eventually(
        lambda: operator_pods(localkube)[0]["status"]["containerStatuses"][0]["restartCount"] == 1, what="a restart"
    )
    wait_operator(localkube)
    wait_all_seen(localkube)
    audit.wait_quiet(kit.namespace)
    assert audit.writes(kit.namespace) == []


def test_what_happened_while_it_was_away_is_done_when_it_is_back(kit: Kit, localkube: LocalKube) -> None:
    kit.run("stops")
    kit.run("goes")
    kit.kubectl("-n", OPERATOR_NAMESPACE, "scale", "deployment/connector-operator", "--replicas=0")
    eventually(lambda: not operator_pods(localkube), what="no operator")
    kit.patch("stops", status="stopped")
    kit.delete("goes")
    kit.apply("comes", selectedStream="ticker", status="running")
    kit.kubectl("-n", OPERATOR_NAMESPACE, "scale", "deployment/connector-operator", "--replicas=1")
    kit.wait("stops", "stopped", ready=True)
    kit.wait("comes", "running", ready=True)
    kit.wait_gone("goes")
    wait_operator(localkube)


@pytest.mark.fault
def test_of_two_operators_one_waits_and_takes_over(kit: Kit, localkube: LocalKube) -> None:
    kit.run("c")
    deployment = ("-n", OPERATOR_NAMESPACE, "scale", "deployment/connector-operator")
    localkube.kubectl(*deployment, "--replicas=2")
    eventually(lambda: len(operator_pods(localkube)) == 2, what="two pods")
    wait_operator(localkube)
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{OPERATOR_NAMESPACE}/leases/connector-operator"
    holder = str(kit.api.get(lease)["spec"]["holderIdentity"]).rpartition("_")[0]
    stopped = find_process(f"POD_NAME={holder}")
    os.kill(stopped, signal.SIGSTOP)  # it can neither renew nor notice
    try:
        taken = eventually(
            lambda: str(kit.api.get(lease)["spec"]["holderIdentity"]).rpartition("_")[0] not in {holder, ""},
            timeout=60,
            what="another holder",
        )
        assert taken
        kit.patch("c", status="stopped")
        kit.wait("c", "stopped", ready=True)
    finally:
        os.kill(stopped, signal.SIGCONT)
    eventually(lambda: not Path(f"/proc/{stopped}").exists(), what="the old one ends itself")
    localkube.kubectl(*deployment, "--replicas=1")
    eventually(lambda: len(operator_pods(localkube)) == 1, what="one pod")
    wait_operator(localkube)


@pytest.mark.fault
def test_it_survives_a_restart_of_the_api_server(kit: Kit, localkube: LocalKube) -> None:
    kit.run("c")
    run = kit.status("c")["run"]
    localkube.component("kube-apiserver").restart()
    eventually(lambda: kit.api.get("/version"), timeout=60, what="the API server")
    kit.patch("c", restartedAt="after")
    kit.wait_next_run("c", run)


def test_one_that_hangs_and_one_that_waits_disturb_nobody(kit: Kit) -> None:
    for number in range(8):
        kit.apply(f"hangs-{number}", "ws://null?discover=hang")
    kit.apply("waits", configFrom=[{"secretRef": {"name": "missing"}}])
    kit.run("good")
    assert kit.status("hangs-0")["state"]["status"] == "pending"


def test_metrics_and_probes_are_served(kit: Kit, localkube: LocalKube) -> None:
    kit.run("measured")
    address = operator_pods(localkube)[0]["status"]["podIP"]
    pool = urllib3.PoolManager()
    assert pool.request("GET", f"http://{address}:8080/healthz").status == 200
    text = pool.request("GET", f"http://{address}:8080/metrics").data.decode()
    assert "connector_operator_leader 1.0" in text
    assert "connector_operator_api_requests_total" in text
    line = next(line for line in text.splitlines() if "connector_ready{" in line and kit.namespace in line)
    assert 'name="measured"' in line
    assert line.endswith(" 1.0")


def test_what_a_failed_test_prints_has_the_operators_log(kit: Kit) -> None:
    kit.run("c")
    told = describe_namespace(kit.cluster, kit.namespace)
    assert "run 1 serves" in told
    operators = told.split("$ kubectl logs deployment/connector-operator")[1]
    assert kit.namespace in operators


@pytest.mark.fault
def test_a_node_that_is_down_and_comes_back_has_one_execution(kit: Kit, localkube: LocalKube) -> None:
    kit.run("c")
    kubelet = localkube.component("kubelet")
    kubelet.pause()
    try:
        nodes = "/api/v1/nodes/localhost"
        eventually(lambda: node_ready(kit.api.get(nodes)) != "True", timeout=120, what="the node is not ready")
        kit.patch("c", restartedAt="while the node is down")
        kit.wait("c", "running", reason="Replacing")
    finally:
        kubelet.resume()
    kit.wait_next_run("c", 1)
    alive = [p for p in kit.pods("c") if p["status"]["phase"] == "Running"]
    assert len(alive) == 1


def node_ready(node: dict[str, Any]) -> str:
    return str(next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"))
