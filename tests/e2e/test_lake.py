"""COINBASE and MYSQL into Delta tables through the operator: the examples as they are, in a volume and in a bucket, read by DuckDB."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests.e2e.examples import Documents, type_readme
from tests.kit.cluster import ROOT, Kit, wait_operator
from tests.kit.lake_dataset import S3LakeDataset, open_tables
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import KUBECONFIG_VARIABLE, default_images
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer
from tests.servers.s3 import BUCKET, KEY_ID, SECRET_KEY, SeaweedServer
from tests.simulators.coinbase.process import Simulator

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]
PRODUCTS = ("BTC-USD", "LINK-USD")
FOLDER, STORE = "example", "example-s3"
PATIENCE = 180.0
"""Rows are committed every 30 seconds in the examples."""
ORDERS = "SELECT id, customer, CAST(amount AS CHAR), state FROM shop.orders ORDER BY id"
Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def shop() -> Iterator[DatabaseServer]:
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        statements = (ROOT / "examples" / "mysql" / "shop.sql").read_text().split(";\n")
        server.execute(*(statement for statement in statements if statement.strip()))
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKube]:
    """A cluster of its own: the session's runs the runner that carries nothing."""
    if KUBECONFIG_VARIABLE in os.environ:
        pytest.skip(
            f"this test starts servers beside its own cluster; {KUBECONFIG_VARIABLE} names one that is not ours"
        )
    cluster = LocalKube.start(tmp_path_factory.mktemp("lake") / "cluster", default_images())
    try:
        rendered = cluster.kubectl("kustomize", str(ROOT / "manifests/localkube"))
        cluster.kubectl("apply", "--server-side", "-f", "-", input=rendered)
        wait_operator(cluster)
        for namespace in (FOLDER, STORE):
            cluster.kubectl("create", "namespace", namespace)
        yield cluster
    finally:
        cluster.stop()


def until_orders_equal(query: Query, shop: DatabaseServer) -> None:
    def is_equal() -> bool:
        rows = query("SELECT id, customer, CAST(amount AS VARCHAR), state FROM orders ORDER BY id")
        if rows != shop.query(ORDERS):
            raise LookupError(f"the lake holds {rows}, the table {shop.query(ORDERS)}")
        return True

    eventually(is_equal, what="the table in the lake", timeout=PATIENCE)


def trades(query: Query, product: str) -> list[int]:
    """The ids of a product's trades as often as they were stored, in order."""
    found = query(f"SELECT trade_id FROM trades WHERE product_id = '{product}' ORDER BY trade_id")
    return [number for (number,) in found]


def follow_trades(kit: Kit, simulator: Simulator, query: Query) -> None:
    """Stops a connector, lets trades happen meanwhile, starts it again: each is there once in the end."""
    eventually(lambda: len(trades(query, PRODUCTS[0])) > 20, what="trades in the lake", timeout=PATIENCE)
    kit.patch("trades", status="stopped")
    kit.wait("trades", "stopped", ready=True)
    simulator.market(burst=300)
    missed = simulator.truth()["last_trade_id"]
    kit.patch("trades", status="running")
    for product in PRODUCTS:
        eventually(
            lambda product=product: trades(query, product)[-1] > missed[product],
            what="what was missed",
            timeout=PATIENCE,
        )
    kit.patch("trades", status="stopped")
    kit.wait("trades", "stopped", ready=True)
    for product in PRODUCTS:
        found = trades(query, product)
        assert found == list(range(found[0], found[-1] + 1)), "each trade once"


def test_the_examples_run_on_a_cluster(cluster: LocalKube, shop: DatabaseServer, tmp_path: Path) -> None:
    kit = Kit(cluster, FOLDER)

    def query(sql: str) -> list[tuple[Any, ...]]:
        try:
            with closing(open_tables(cluster.volume_path(FOLDER, "lake") / "lake")) as database:
                return database.execute(sql).fetchall()
        except (duckdb.Error, OSError) as error:
            raise LookupError(str(error)) from error

    with Simulator(products=",".join(PRODUCTS), rate=40) as simulator:

        def adapt(documents: Documents) -> None:
            config = documents["Connector"]["spec"]["config"]
            if documents["Connector"]["spec"]["connectorType"] == "MYSQL":
                config |= {"host": shop.host, "port": shop.port}
            else:
                config |= {name: simulator.urls[name] for name in ("url", "restUrl")}

        type_readme(kit, "lake", tmp_path, adapt)
        until_orders_equal(query, shop)
        shop.execute(
            "UPDATE shop.orders SET state = 'paid' WHERE id = 1",
            "DELETE FROM shop.orders WHERE id = 2",
            "INSERT INTO shop.orders (customer, amount) VALUES ('Barbara', 0.05)",
        )
        until_orders_equal(query, shop)
        follow_trades(kit, simulator, query)
        kit.patch("trades-iceberg", status="stopped")
        kit.wait("trades-iceberg", "stopped", ready=True)
        for product in PRODUCTS:
            found = iceberg_trades(cluster.volume_path(FOLDER, "lake"), product)
            assert found == list(range(found[0], found[-1] + 1)), "each trade once"


def iceberg_trades(volume: Path, product: str) -> list[int]:
    """The ids in the data files of the Iceberg table; its metadata has the paths that they have in a pod."""
    files = str(volume / "iceberg" / "default" / "iceberg" / "data" / "*.parquet")
    with duckdb.connect() as database:
        found = database.execute(
            "SELECT trade_id FROM read_parquet(?) WHERE product_id = ? ORDER BY trade_id", [files, product]
        ).fetchall()
    return [number for (number,) in found]


def test_the_example_with_a_bucket_waits_for_the_right_key(cluster: LocalKube, tmp_path: Path) -> None:
    kit = Kit(cluster, STORE)
    with SeaweedServer() as server, Simulator(products=",".join(PRODUCTS), rate=40) as simulator:
        dataset = S3LakeDataset(server, tmp_path)
        dataset.path = f"{BUCKET}/lake"

        def query(sql: str) -> list[tuple[Any, ...]]:
            try:
                return dataset.query(sql)
            except (duckdb.Error, OSError) as error:
                raise LookupError(str(error)) from error

        documents = list(yaml.safe_load_all((ROOT / "examples" / "lake" / "s3-cluster.yaml").read_text()))
        secret, target, connector = documents
        secret["stringData"] = {"id": KEY_ID, "secret": "not-this-one"}
        target["spec"]["url"] = target["spec"]["url"].replace("//bucket/", f"//{BUCKET}/")
        target["spec"]["options"]["s3.endpoint"] = server.endpoint
        connector["spec"]["config"] |= {name: simulator.urls[name] for name in ("url", "restUrl")}
        kit.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(documents))
        kit.wait("trades", "errored", reason="WrongCredentials", timeout=PATIENCE)
        said = json.dumps(kit.get("trades")) + kit.kubectl("get", "events,jobs,pods,datasets", "-o", "json")
        assert "not-this-one" not in said
        assert SECRET_KEY not in said
        secret["stringData"]["secret"] = SECRET_KEY
        kit.kubectl("apply", "-f", "-", input=yaml.safe_dump(secret))
        kit.wait("trades", "running", ready=True, timeout=2 * PATIENCE)  # tried again by itself
        follow_trades(kit, simulator, query)
