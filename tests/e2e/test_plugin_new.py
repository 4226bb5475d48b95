"""`new` and `top` of the plugin against a real API server: what is written is taken, what may not be seen is said."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from demo.walk import ROOT
from tests.e2e.plugin_terminal import Screen, run
from tests.kit.cluster import PATIENCE
from tests.kit.console_fleet import advance, build_fleet, create_fleet, write_statuses
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images

FEW = "few"
COUNT = 16
pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(900),
    pytest.mark.skipif("CONNECTOR_TEST_KUBECONFIG" in os.environ, reason="needs a cluster of its own"),
]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    local = LocalKube.start(tmp_path_factory.mktemp("bare"), default_images())
    try:
        local.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
        local.kubectl("create", "namespace", FEW)
        create_fleet(local, FEW, COUNT)
        yield local
    finally:
        local.stop()


@pytest.mark.parametrize(
    "line",
    [
        "coinbase --name a --set productId=BTC-USD --stream ticker --start",
        "ethereum --name b --secret node --stream blocks",
        "mysql --name c --set host=db --set user=u --set ssl.mode=REQUIRED --secret shop-db --dataset lake --stream shop.* --stream crm.x",
    ],
)
def test_what_new_writes_is_taken_by_the_api_server(bare: LocalKube, line: str) -> None:
    manifest = run(bare, "new", *line.split()).stdout
    assert "dry run" in bare.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-n", FEW, "-f", "-", input=manifest
    )
    run(bare, "new", *line.split(), "-n", FEW, "--dry-run")
    name = yaml.safe_load(manifest)["metadata"]["name"]
    assert run(bare, "why", name, "-n", FEW, code=1).stderr.startswith("There is no "), "a dry run makes nothing"


def test_new_changes_its_own_connector_and_none_of_another_tool(bare: LocalKube) -> None:
    line = "coinbase --name owned --stream ticker --set productId="
    manifest = run(bare, "new", *f"{line}BTC-USD".split()).stdout
    bare.kubectl("apply", "-n", FEW, "-f", "-", input=manifest)
    for option in ("--dry-run", "--apply"):
        refusal = run(bare, "new", *f"{line}ETH-USD".split(), "-n", FEW, option, code=1).stderr
        assert refusal.startswith(f"There is already a connector owned in the namespace {FEW}"), refusal
    for name in ("", ".", "..", "a/../owned", "owned?x=y"):
        assert "is no name of a connector" in run(bare, "delete", name, "-n", FEW, "--yes", code=1).stderr
    spec = json.loads(bare.kubectl("get", "connector", "owned", "-n", FEW, "-o", "json"))["spec"]
    assert spec["config"]["productId"] == ["BTC-USD"]
    assert run(bare, "delete", "owned", "-n", FEW, "--yes").stdout.startswith("owned: deleted")
    run(bare, "new", *f"{line}BTC-USD".split(), "-n", FEW, "--apply")
    run(bare, "new", *f"{line}BTC-USD".split(), "-n", FEW, "--apply")  # nothing would change
    for option in ("--dry-run", "--apply"):
        refusal = run(bare, "new", *f"{line}ETH-USD --start".split(), "-n", FEW, option, code=1).stderr
        assert "this would change its spec.config.productId, spec.status. Nothing was changed" in refusal, refusal
    assert _products(bare) == ["BTC-USD"]
    run(bare, "new", *f"{line}ETH-USD".split(), "-n", FEW, "--apply", "--overwrite")
    assert _products(bare) == ["ETH-USD"]
    for answer, code, product in (("", 1, "ETH-USD"), ("y", 0, "LTC-USD")):
        screen = Screen(bare, 80, 24, "new", *f"{line}LTC-USD".split(), "-n", FEW, "--apply")
        try:
            screen.read_until(r"Change it\? \[y/N\] ")
            os.write(screen.ours, f"{answer}\n".encode())
            assert screen.process.wait(PATIENCE) == code
        finally:
            screen.close()
        assert _products(bare) == [product]
    run(bare, "delete", "owned", "-n", FEW, "--yes")


def _products(bare: LocalKube) -> object:
    spec = json.loads(bare.kubectl("get", "connector", "owned", "-n", FEW, "-o", "json"))["spec"]
    return spec["config"]["productId"]


def test_new_asks_on_a_terminal(bare: LocalKube, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    screen = Screen(bare, 80, 24, "new", "mysql", "--file", str(path))
    try:
        answers = (
            ("Name: ", "shop"), ("host: ", "db"), (r"port \[3306\]: ", ""), ("user: ", "reader"), ("Name of the Secret", "shop-db"),
            ("Which one", ""), ("Dataset", "lake"), ("Stream, or", "shop.*"), ("Start it", "y"),
        )  # fmt: skip
        for question, answer in answers:
            screen.read_until(question)
            os.write(screen.ours, f"{answer}\n".encode())
        screen.read_until("Watch it")
        assert screen.process.wait(PATIENCE) == 0
    finally:
        screen.close()
    spec = yaml.safe_load(path.read_text())["spec"]
    assert spec["config"] == {"host": "db", "port": 3306, "user": "reader"}
    assert (spec["configFrom"], spec["status"]) == ([{"secretRef": {"name": "shop-db"}}], "running")


METRICS_API = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pods.metrics.k8s.io, annotations: {api-approved.kubernetes.io: "unapproved, a test"}}
spec:
  group: metrics.k8s.io
  scope: Namespaced
  names: {plural: pods, singular: podmetric, kind: PodMetrics, listKind: PodMetricsList}
  versions:
    - name: v1beta1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
"""The API that metrics-server serves, with objects that a test writes."""


def test_top_says_what_the_cluster_and_the_rights_let_it_see(bare: LocalKube) -> None:
    running = next(one for one in build_fleet(COUNT, datetime.now(UTC)) if "progress" in (one.get("status") or {}))
    name = running["metadata"]["name"]
    status = {"rows": 1_200_000, "rowsPerMinute": 60_000, "lagSeconds": 95}
    write_statuses(bare, FEW, [{**advance(running, 0), "status": {**running["status"], "progress": status}}])
    done = run(bare, "top", name, "-n", FEW)
    assert re.search(rf"(?m)^{name} +1,000 +95s +1,200,000 +- +- +status$", done.stdout), done.stdout
    assert "the cluster has no metrics.k8s.io" in done.stderr
    bare.kubectl("apply", "-f", "-", input=METRICS_API)
    bare.kubectl("wait", "--for=condition=Established", "crd/pods.metrics.k8s.io", "--timeout=60s")
    labels = {"apperate.io/connector": name, "apperate.io/role": "runner"}
    used = {
        "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics", "metadata": {"name": f"{name}-1", "labels": labels},
        "containers": [{"name": "runner", "usage": {"cpu": "250m", "memory": "128Mi"}}],
    }  # fmt: skip
    try:
        eventually(
            lambda: bare.kubectl("apply", "-n", FEW, "-f", "-", input=json.dumps(used)), what="the API is served"
        )
        (item,) = json.loads(run(bare, "top", name, "-n", FEW, "-o", "json").stdout)["items"]
        assert (item["cpuCores"], item["memoryBytes"], item["from"]) == (0.25, 128 * 2**20, "status")
        assert f"{FEW} " in run(bare, "top", "-A").stdout
    finally:
        bare.kubectl("delete", "crd", "pods.metrics.k8s.io")
    bare.kubectl("create", "clusterrole", "looks", "--verb=get,list", "--resource=connectors.apperate.io")
    bare.kubectl("create", "clusterrolebinding", "looks", "--clusterrole=looks", "--user=looker")
    done = eventually(lambda: run(bare, "top", name, "-n", FEW, "--as", "looker"), what="the right is there")
    assert "1,000" in done.stdout
    assert "You (looker) may not list pods " in done.stderr
    assert "You (looker) may not list pods.metrics.k8s.io " in done.stderr
