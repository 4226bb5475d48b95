"""COINBASE through the operator, with the real runner: applied, received, ready, running, rows; a bad product is errored."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector_runner.sources.coinbase.streams import STREAMS
from tests.kit.cluster import Kit, wait_operator
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import KUBECONFIG_VARIABLE, default_images
from tests.simulators.coinbase.process import Simulator

ROOT = Path(__file__).parents[2]
PRODUCTS = ("BTC-USD", "LINK-USD")
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "rows"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.fixture(scope="module")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """A cluster of its own: the session's runs the runner that carries nothing."""
    if KUBECONFIG_VARIABLE in os.environ:
        pytest.skip(f"this test reads a volume of its own cluster; {KUBECONFIG_VARIABLE} names one that is not ours")
    cluster = LocalKube.start(tmp_path_factory.mktemp("coinbase") / "cluster", default_images())
    try:
        rendered = cluster.kubectl("kustomize", str(ROOT / "manifests/localkube"))
        cluster.kubectl("apply", "--server-side", "-f", "-", input=rendered)
        wait_operator(cluster)
        yield cluster
    finally:
        cluster.stop()


def rows(path: Path, table: str = "rows") -> int:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as connection:
        number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    return number


def test_from_apply_to_rows(real_cluster: LocalKube) -> None:
    real_cluster.kubectl("create", "namespace", "coinbase")
    kit = Kit(real_cluster, "coinbase")
    kit.kubectl("apply", "-f", "-", input=json.dumps(VOLUME))
    kit.dataset(url="sqlite:///market.db", volumeClaim="rows")
    with Simulator(products=",".join(PRODUCTS), rate=40) as simulator:
        kit.apply("trades", config=simulator.config(*PRODUCTS))
        status = kit.wait("trades", "received", ready=True)
        assert [stream["id"] for stream in status["streams"]] == [s.id for s in STREAMS.values() if not s.is_private]
        kit.patch("trades", selectedStream="matches")
        kit.wait("trades", "ready", ready=True)
        kit.patch("trades", status="running")
        kit.wait("trades", "running", ready=True)
        path = real_cluster.volume_path("coinbase", "rows") / "market.db"
        eventually(lambda: path.exists() and rows(path) > 20, what="rows in the dataset")

        bad: dict[str, Any] = simulator.config("BTC-USDD")
        kit.apply("misspelt", config=bad)
        kit.wait("misspelt", "errored")
        assert "did you mean BTC-USD?" in kit.condition("misspelt")["message"]

        kit.patch("trades", status="stopped")
        kit.wait("trades", "stopped", ready=True)
        committed = rows(path)
        kit.patch("trades", status="running")
        kit.wait_next_run("trades", 1)
        eventually(lambda: rows(path) > committed, what="more rows after the restart")


def test_the_example_runs_on_a_cluster(real_cluster: LocalKube) -> None:
    """As in its README, with the simulator instead of the real exchange."""
    real_cluster.kubectl("create", "namespace", "example")
    kit = Kit(real_cluster, "example")
    documents = list(yaml.safe_load_all((ROOT / "examples/coinbase/cluster.yaml").read_text()))
    (connector,) = (document for document in documents if document["kind"] == "Connector")
    config = connector["spec"]["config"]
    with Simulator(products=",".join(config["productId"]), rate=40) as simulator:
        config |= {name: simulator.urls[name] for name in ("url", "restUrl")}
        kit.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(documents))
        kit.wait("trades", "running", ready=True)
        path = real_cluster.volume_path("example", "trades") / "trades.db"
        eventually(lambda: path.exists() and rows(path, "trades") > 20, what="rows in the dataset")
