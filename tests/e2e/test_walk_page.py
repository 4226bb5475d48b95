"""The whole way of docs/walk.md, each command as it stands there: what must be seen after each section, and that no trade is lost or repeated."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.walk_page import REGISTRY, Shell, read_sections
from tests.kit.cluster import OPERATOR_NAMESPACE, Kit, operator_pods, wait_operator
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import default_images
from tests.servers.prometheus import PrometheusServer
from tests.simulators.coinbase.process import Simulator

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]  # the first run builds Helm and Prometheus
PRODUCTS = ("BTC-USD", "LINK-USD")
PROMETHEUS_KINDS = {"podmonitors": "PodMonitor", "prometheusrules": "PrometheusRule"}


def walk_images(operator: Any, runner: Any) -> dict[str, Any]:
    """Two programs under the names that the page gives to images; the runner's once more as a later release."""
    return {
        f"{REGISTRY}/connector-operator:0.1.0": operator,
        f"{REGISTRY}/connector-runner:0.1.0": runner,
        f"{REGISTRY}/connector-runner:0.1.1": runner,
    }


@pytest.fixture
def cluster(local_only: None, tmp_path: Path) -> Iterator[LocalKube]:
    operator, runner = (default_images()[f"connector-{part}:dev"] for part in ("operator", "runner"))
    cluster = LocalKube.start(tmp_path / "cluster", walk_images(operator, runner))
    try:
        yield cluster
    finally:
        cluster.stop()


def test_the_whole_way(cluster: LocalKube, tmp_path: Path) -> None:
    walk_through(cluster, tmp_path)


def walk_through(cluster: LocalKube, folder: Path) -> None:
    """Types all of the page's blocks on a cluster that has nothing of ours.

    Raises:
        AssertionError: A command failed, or what must be seen is not there.
    """
    with Simulator(products=",".join(PRODUCTS), rate=40) as simulator:
        walk = Walk(cluster, Shell(cluster, folder, simulator.config(*PRODUCTS)))
        sections = read_sections()
        assert sections.pop("") == [f"export REGISTRY={REGISTRY}\n"]
        steps: tuple[Callable[..., None], ...] = (
            walk.install,
            walk.first_connector,
            walk.told_by_name,
            walk.upgrade,
            walk.restore,
            walk.uninstall,
        )
        assert list(sections) == [str(number) for number in range(1, len(steps) + 1)]
        for step, blocks in zip(steps, sections.values(), strict=True):
            step(*blocks)  # a block that is new has no parameter, and fails here


class Walk:
    """What is typed in each section, and what must then be seen."""

    def __init__(self, cluster: LocalKube, shell: Shell) -> None:
        self.cluster, self.shell = cluster, shell
        self.kit = Kit(cluster, "market")
        self.volume: Path | None = None

    def rows(self) -> int:
        """How many trades there are; each product's without a gap and without one twice."""
        assert self.volume is not None
        sql = "SELECT product_id, count(*), count(DISTINCT trade_id), max(trade_id) - min(trade_id) + 1 FROM market GROUP BY 1"
        with closing(sqlite3.connect(f"file:{self.volume / 'market.db'}?mode=ro", uri=True, timeout=30)) as connection:
            found = connection.execute(sql).fetchall()
        for product, count, different, span in found:
            assert count == different == span, f"{product}: {count} trades, {different} different ones, {span} numbers"
        return sum(count for _, count, *_ in found)

    def wait_more_rows(self) -> None:
        before = self.rows()
        eventually(lambda: self.rows() > before + 10, timeout=120, what=f"more than {before} trades")

    def install(self, block: str) -> None:
        said = self.shell.type(block)
        assert "No action of this chart deletes them" in said
        assert said.count("1/1") == 2, said
        wait_operator(self.cluster)
        labels = self.cluster.get("namespace", OPERATOR_NAMESPACE)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        assert {pod["spec"]["serviceAccountName"] for pod in operator_pods(self.cluster)} == {"connector-operator"}
        kinds = self.cluster.kubectl("get", "pdb,networkpolicy", "-n", OPERATOR_NAMESPACE, "-o", "name").split()
        assert len(kinds) == 2

    def first_connector(self, block: str) -> None:
        said = self.shell.type(block)
        assert said.rstrip().splitlines()[-1].split()[:3] == ["trades", "COINBASE", "matches"], (
            "`kubectl diff` shows nothing"
        )
        self.volume = self.cluster.volume_path("market", "market")
        self.wait_more_rows()

    def told_by_name(self, monitors: str, typo: str, deletion: str) -> None:
        for plural, kind in PROMETHEUS_KINDS.items():
            self.cluster.apply(definition_of(plural, kind))
        self.cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        said = self.shell.type(monitors)
        assert "connector-dashboard" in said
        assert all(f"{kind.lower()}.monitoring.coreos.com/connector" in said for kind in PROMETHEUS_KINDS.values()), (
            said
        )
        assert "BTC-EUDR" in self.shell.type(typo)
        self.wait_alert()
        self.shell.type(deletion)
        self.kit.wait_gone("typo")

    def wait_alert(self) -> None:
        """Until a Prometheus with the rules that the chart has brought says which connector is Stalled, and what to do."""
        (rules,) = self.cluster.get("prometheusrules", "-n", OPERATOR_NAMESPACE)["items"]
        addresses = [f"{pod['status']['podIP']}:8080" for pod in operator_pods(self.cluster)]
        scraping = {"job_name": "operators", "honor_labels": True, "static_configs": [{"targets": addresses}]}
        intervals = {"scrape_interval": "2s", "evaluation_interval": "2s"}
        with PrometheusServer(
            {"global": intervals, "scrape_configs": [scraping]}, {"rules.yml": rules["spec"]}
        ) as server:

            def is_told() -> bool:
                firing = [one for one in server.alerts() if one["state"] == "firing"]
                named = {(one["labels"]["alertname"], one["labels"].get("name")): one for one in firing}
                if ("ConnectorStalled", "typo") not in named:
                    raise LookupError(f"firing: {sorted(map(str, named))}")
                assert len(named) == 1, named
                annotations = named["ConnectorStalled", "typo"]["annotations"]
                assert "market/typo" in annotations["summary"]
                assert annotations["runbook"].startswith("docs/reasons.md#")
                return True

            eventually(is_told, timeout=240, what="the alert fires")

    def upgrade(self, block: str) -> None:
        run = self.kit.status("trades")["run"]
        said = self.shell.type(block)
        assert "UpToDate" in said
        assert self.kit.live_pod("trades")["spec"]["containers"][0]["image"] == f"{REGISTRY}/connector-runner:0.1.1"
        assert self.kit.status("trades")["run"] == run + 1
        self.wait_more_rows()

    def restore(self, loss: str, restoring: str) -> None:
        self.shell.type(loss)
        backup = yaml.safe_load((self.shell.folder / "backup.yaml").read_text())
        before = {one["kind"]: one["metadata"]["uid"] for one in backup["items"]}
        self.kit.wait_gone("trades")
        self.shell.type(restoring)
        assert self.kit.get("trades")["metadata"]["uid"] != before["Connector"]
        self.wait_more_rows()

    def uninstall(self, removal: str, look: str, rest: str) -> None:
        self.shell.type(removal)
        rows = self.rows()
        said = self.shell.type(look)
        for word in ("connector.apperate.io/trades", "dataset.apperate.io/market", "persistentvolumeclaim/market"):
            assert word in said
        kinds = "clusterroles,clusterrolebindings"
        assert "connector" not in self.cluster.kubectl("get", kinds, "-o", "name")
        assert self.rows() == rows
        self.shell.type(rest)
        assert "apperate.io" not in self.cluster.kubectl("get", "crd", "-o", "name")
        assert "market" not in self.cluster.kubectl("get", "namespaces", "-o", "name")


def definition_of(plural: str, kind: str) -> dict[str, Any]:
    """The definition of a kind of the Prometheus Operator, without its schema: here nobody reads the objects but the test."""
    group = "monitoring.coreos.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
