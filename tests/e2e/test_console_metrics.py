"""The runner's own metrics through the API server, as whoever looks at the console: what it answers, and what it refuses."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Counter, Gauge, Histogram

from connector_operator.resources.names import LABEL_CONNECTOR, LABEL_ROLE, LABEL_RUN, ROLE_RUNNER
from connector_runner.schemas.manifest import PROBE_PORT
from tests.kit.cluster import ROOT
from tests.kit.http_api import CONNECTORS, SECRETS, Answer, Api, make_account, serving
from tests.localkube.cluster import Cluster

PODS = ("pods", ("list",))


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace for this file's tests."""
    cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/connectors.apperate.io", "--timeout=60s")
    name = f"test-console-metrics-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def api(cluster: Cluster, place: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API; its caller may do all that is needed here."""
    rights = (CONNECTORS, SECRETS, PODS, ("pods/proxy", ("get",)))
    token = make_account(cluster, place, "all", rights)
    with serving(cluster.kubeconfig, place, tmp_path_factory.mktemp("api"), "--wait", "0") as api:
        yield api.as_caller(token)


def ask(api: Api, name: str) -> Answer:
    headers = {"Authorization": f"Bearer {api.token}"}
    url = f"{api.url}/v1/fleet/connector/{name}/metrics"
    answer = urllib3.request("GET", url, headers=headers, retries=False, timeout=120)
    return Answer(answer.status, json.loads(answer.data))


def make_pod(cluster: Cluster, place: str, connector: str, run: int, address: str) -> None:
    """A runner's pod as the API server sees it; no scheduler and no kubelet takes it up."""
    name = f"{connector}-{run}"
    labels = {LABEL_CONNECTOR: connector, LABEL_RUN: str(run), LABEL_ROLE: ROLE_RUNNER}
    security = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "runner", "image": "none", "securityContext": security}
    spec = {"schedulerName": "nobody", "containers": [container]}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}, place
    )
    status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
    cluster.kubectl("patch", "pod", name, "-n", place, "--subresource=status", "--type=merge", "-p", json.dumps(status))


def test_without_a_pod_or_a_right(api: Api, cluster: Cluster, place: str) -> None:
    assert api.create("Idle").status == 200
    assert ask(api, "nobody").status == 404
    idle = ask(api, "Idle")
    assert (idle.status, idle.body["detail"]) == (409, "no pod of connector 'Idle' runs")
    make_pod(cluster, place, "idle", 1, "127.9.9.9")
    reader = api.as_caller(make_account(cluster, place, "reader", (CONNECTORS, PODS)))
    refused = ask(reader, "Idle")
    assert refused.status == 403
    assert "pods/proxy" in refused.body["detail"]
    assert any("--resource=pods/proxy" in command for command in refused.body["commands"])


def test_a_pod_that_the_api_server_does_not_reach(api: Api, cluster: Cluster, place: str) -> None:
    """It refuses loopback addresses, among others; the page says so and goes on with the status."""
    assert api.create("Apart").status == 200
    make_pod(cluster, place, "apart", 1, "127.9.9.9")
    refused = ask(api, "Apart")
    assert refused.status == 502
    assert "does not reach the metrics of pod apart-1" in refused.body["detail"]


def find_own_address() -> str:
    """An address of this machine that is not loopback: that of its default route; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))
        return str(asking.getsockname()[0])


@pytest.fixture
def exposed() -> Iterator[tuple[str, CollectorRegistry]]:
    """Metrics as a runner has them, at an address that the API server may ask."""
    registry, address = CollectorRegistry(), find_own_address()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = generate_latest(registry)
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((address, PROBE_PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield address, registry
    server.shutdown()
    server.server_close()


@pytest.mark.fault
def test_the_latest_executions_metrics(
    api: Api, cluster: Cluster, place: str, exposed: tuple[str, CollectorRegistry]
) -> None:
    """Needs a machine with a network: the API server asks no loopback address."""
    address, registry = exposed
    rows = Counter("connector_rows", "Rows", ["operation"], registry=registry)
    rows.labels("upsert").inc(40)
    rows.labels("delete").inc(2)
    Gauge("connector_lag_seconds", "Lag", registry=registry).set(1.5)
    commits = Histogram("connector_commit_seconds", "Commits", registry=registry)
    commits.observe(0.25)
    commits.observe(0.5)
    assert api.create("Busy").status == 200
    make_pod(cluster, place, "busy", 9, "127.9.9.9")
    make_pod(cluster, place, "busy", 10, address)
    found = ask(api, "Busy")
    assert found.status == 200, found
    expected = {"pod": "busy-10", "run": 10, "rows": 42, "lagSeconds": 1.5, "commits": 2, "commitSeconds": 0.75}
    assert {name: found.body[name] for name in expected} == expected
    rows.labels("upsert").inc(8)
    later = ask(api, "Busy").body
    assert (later["rows"], later["at"] > found.body["at"]) == (50, True)
