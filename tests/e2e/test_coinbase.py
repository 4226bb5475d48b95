"""COINBASE through the operator, with the real runner: applied, received, ready, running, rows; a bad product is errored."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector_runner.sources.coinbase.streams import STREAMS
from tests.e2e.examples import Documents, rows_in, type_readme
from tests.kit.cluster import PATIENCE, Kit, wait_operator
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import KUBECONFIG_VARIABLE, default_images
from tests.simulators.coinbase.process import Simulator

ROOT = Path(__file__).parents[2]
PRODUCTS = ("BTC-USD", "LINK-USD")
SELECTED = ("matches", "ticker", "level2_batch")
"""The streams of many-cluster.yaml."""
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


@pytest.mark.timeout(400)
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


@pytest.mark.timeout(400)
def test_the_plugin_checks_a_connector_before_it_runs(real_cluster: LocalKube) -> None:
    """By a Job with the rights of who types it, which leaves nothing: no Job, no file in the dataset's volume."""
    real_cluster.kubectl("create", "namespace", "checked")
    kit = Kit(real_cluster, "checked")
    kit.kubectl("apply", "-f", "-", input=json.dumps(VOLUME))
    kit.dataset(url="sqlite:///market.db", volumeClaim="rows")
    kit.dataset("elsewhere", url="postgresql://nobody@127.0.0.1:1/nothing")
    with Simulator(products=",".join(PRODUCTS), rate=40) as simulator:
        config = simulator.config(*PRODUCTS)
        kit.apply("trades", config=config, selectedStream="matches")
        kit.apply("lost", config=config, selectedStream="matches", datasetId="elsewhere")
        for name in ("trades", "lost"):
            kit.wait(name, "ready")

        good, report = check(kit, "trades")
        assert good == 0, report
        assert {line["result"] for line in json.loads(report)["checks"]} == {"ok"}
        bad, report = check(kit, "lost")
        assert bad == 1, report
        [failed] = [line for line in json.loads(report)["checks"] if line["result"] == "failed"]
        assert "127.0.0.1" in failed["message"]
    assert "check" not in kit.kubectl("get", "jobs", "-o", "name")
    assert not (real_cluster.volume_path("checked", "rows") / "market.db").exists()


def check(kit: Kit, name: str) -> tuple[int, str]:
    """The exit code of `kubectl connectors check`, and what it prints."""
    program = str(Path(sys.executable).parent / "connectors")
    command = [program, "check", name, "-n", kit.namespace, "-o", "json"]
    shell = {**os.environ, "KUBECONFIG": str(kit.cluster.kubeconfig)}
    done = subprocess.run(command, env=shell, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return done.returncode, done.stdout or done.stderr


@pytest.mark.timeout(400)
def test_the_examples_run_on_a_cluster(real_cluster: LocalKube, tmp_path: Path) -> None:
    """Typed as in its README, with the simulator instead of the real exchange: one stream, and a selection of three."""
    real_cluster.kubectl("create", "namespace", "example")
    kit = Kit(real_cluster, "example")
    with Simulator(products=",".join(PRODUCTS), rate=40) as simulator:

        def adapt(documents: Documents) -> None:
            config = documents["Connector"]["spec"]["config"]
            assert config == {"productId": list(PRODUCTS)}, "the real exchange"
            config |= {name: simulator.urls[name] for name in ("url", "restUrl")}

        type_readme(kit, "coinbase", tmp_path, adapt)
        assert re.search(r"^market +COINBASE +3 streams ", kit.kubectl("get", "connectors"), flags=re.MULTILINE)
        path = real_cluster.volume_path("example", "trades") / "trades.db"
        eventually(lambda: path.exists() and rows(path, "trades") > 20, what="rows in the dataset")

        market = real_cluster.volume_path("example", "market") / "market.db"
        until_each_has_rows(market)
        kit.patch("market", status="stopped")
        kit.wait("market", "stopped", ready=True)
        simulator.market(burst=300)
        missed = simulator.truth()["last_trade_id"]
        kit.patch("market", status="running")
        until_trades_reach(market, missed)
        for product in PRODUCTS:
            found = trades(market, product)
            assert found == list(range(found[0], found[-1] + 1)), "what was traded meanwhile came from REST"
        assert rows_in(market, "SELECT * FROM matches_incidents") == []


def until_each_has_rows(market: Path) -> None:
    """Until each stream of the selection has rows of each product, in a table of its own."""

    def check() -> bool:
        found = {table: rows_in(market, f"SELECT DISTINCT product_id FROM {table} ORDER BY 1") for table in SELECTED}
        if any(products != [(product,) for product in PRODUCTS] for products in found.values()):
            raise LookupError(f"{found}")
        return True

    eventually(check, what="rows of both products in each table")


def trades(market: Path, product: str) -> list[int]:
    """The trades of a product, in order."""
    found = rows_in(market, f"SELECT trade_id FROM matches WHERE product_id = '{product}' ORDER BY 1")
    return [number for (number,) in found]


def until_trades_reach(market: Path, least: dict[str, int]) -> None:
    """Until the dataset has a later trade of each product."""

    def check() -> bool:
        newest = {product: trades(market, product)[-1] for product in PRODUCTS}
        if any(newest[product] <= least[product] for product in PRODUCTS):
            raise LookupError(f"the newest are {newest}, expected more than {least}")
        return True

    eventually(check, what="trades after the restart")
