"""COINBASE and MYSQL into Kafka through the operator: the example as it is, over TLS with a password, compared by a read_committed reader."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.examples import Documents, type_readme
from tests.kit.cluster import ROOT, Kit, wait_operator
from tests.kit.kafka_dataset import Topics
from tests.localkube.cluster import LocalKube, eventually
from tests.localkube.plugin import KUBECONFIG_VARIABLE, default_images
from tests.servers.kafka_security import SecureKafkaServer
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer
from tests.simulators.coinbase.process import Simulator

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]
PRODUCTS = ("BTC-USD", "LINK-USD")
USER, PASSWORD = "connector", "connector-password"
ORDERS = "SELECT id, customer, CAST(amount AS CHAR), state FROM shop.orders ORDER BY id"


@pytest.fixture(scope="module")
def broker() -> Iterator[SecureKafkaServer]:
    with SecureKafkaServer() as server:
        server.add_scram_user(PASSWORD, USER)
        yield server


@pytest.fixture(scope="module")
def shop() -> Iterator[DatabaseServer]:
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        statements = (ROOT / "examples" / "mysql" / "shop.sql").read_text().split(";\n")
        server.execute(*(statement for statement in statements if statement.strip()))
        yield server


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """A cluster of its own: the session's runs the runner that carries nothing."""
    if KUBECONFIG_VARIABLE in os.environ:
        pytest.skip(
            f"this test starts servers beside its own cluster; {KUBECONFIG_VARIABLE} names one that is not ours"
        )
    cluster = LocalKube.start(tmp_path_factory.mktemp("kafka") / "cluster", default_images())
    try:
        rendered = cluster.kubectl("kustomize", str(ROOT / "manifests/localkube"))
        cluster.kubectl("apply", "--server-side", "-f", "-", input=rendered)
        wait_operator(cluster)
        cluster.kubectl("create", "namespace", "example")
        yield Kit(cluster, "example")
    finally:
        cluster.stop()


def newest(broker: SecureKafkaServer, topic: str) -> list[dict[str, Any]]:
    """The newest value of each key, in the order of the keys; a deleted one is gone."""
    rows: dict[bytes, Any] = {}
    for message in Topics(broker).committed(topic):
        rows.pop(message.key() or b"", None)
        if (value := message.value()) is not None:
            rows[message.key() or b""] = json.loads(value)
    return [row for _, row in sorted(rows.items())]


def until_orders_equal(broker: SecureKafkaServer, shop: DatabaseServer) -> None:
    def is_equal() -> bool:
        rows = sorted((row["id"], row["customer"], row["amount"], row["state"]) for row in newest(broker, "raw.orders"))
        if rows != shop.query(ORDERS):
            raise LookupError(f"the topic holds {rows}, the table {shop.query(ORDERS)}")
        return True

    eventually(is_equal, what="the table in the topic")


def trades(broker: SecureKafkaServer, product: str) -> list[int]:
    """The ids of a product's trades as often as they were sent, in order."""
    rows = [json.loads(message.value() or b"{}") for message in Topics(broker).committed("raw.trades")]
    return sorted(row["trade_id"] for row in rows if row["product_id"] == product)


def test_the_examples_run_on_a_cluster(
    kit: Kit, broker: SecureKafkaServer, shop: DatabaseServer, tmp_path: Path
) -> None:
    with Simulator(products=",".join(PRODUCTS), rate=40) as simulator:

        def adapt(documents: Documents) -> None:
            config = documents["Connector"]["spec"]["config"]
            if documents["Connector"]["spec"]["connectorType"] == "MYSQL":
                config |= {"host": shop.host, "port": shop.port}
            else:
                config |= {name: simulator.urls[name] for name in ("url", "restUrl")}
                documents["Dataset"]["spec"]["url"] = broker.url("SASL") + "/raw.{table}"
                documents["Secret"]["stringData"]["ca.crt"] = broker.authority.pem

        type_readme(kit, "kafka", tmp_path, adapt)
        until_orders_equal(broker, shop)
        shop.execute(
            "UPDATE shop.orders SET state = 'paid' WHERE id = 1",
            "DELETE FROM shop.orders WHERE id = 2",
            "INSERT INTO shop.orders (customer, amount) VALUES ('Barbara', 0.05)",
        )
        until_orders_equal(broker, shop)

        eventually(lambda: len(trades(broker, PRODUCTS[0])) > 20, what="trades in the topic")
        kit.patch("trades", status="stopped")
        kit.wait("trades", "stopped", ready=True)
        simulator.market(burst=300)
        missed = simulator.truth()["last_trade_id"]
        kit.patch("trades", status="running")
        for product in PRODUCTS:
            eventually(lambda product=product: trades(broker, product)[-1] > missed[product], what="what was missed")
        kit.patch("trades", status="stopped")
        kit.wait("trades", "stopped", ready=True)
        for product in PRODUCTS:
            found = trades(broker, product)
            assert found == list(range(found[0], found[-1] + 1)), "each trade once"


def test_a_wrong_password_is_told_and_heals_when_the_secret_is_corrected(kit: Kit, broker: SecureKafkaServer) -> None:
    def secret(password: str) -> None:
        data = {"password": password, "ca.crt": broker.authority.pem}
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": data}
        kit.kubectl("apply", "-f", "-", input=json.dumps(manifest))

    with Simulator(products=",".join(PRODUCTS), rate=40) as simulator:
        secret("not-this-one")
        keys = {"password": "sasl.password", "ca.crt": "ssl.ca.pem"}
        kit.dataset(
            "wrong",
            url=broker.url("SASL") + "/wrong.{table}",
            options={"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": USER},
            optionsFrom=[{"secretRef": {"name": "login"}, "keys": keys}],
        )
        kit.apply(
            "wrong",
            datasetId="wrong",
            config=simulator.config(*PRODUCTS),
            selectedStream="matches",
            status="running",
        )
        kit.wait("wrong", "errored", reason="WrongCredentials", timeout=180)
        said = json.dumps(kit.get("wrong")) + kit.kubectl("get", "events,jobs,pods,datasets", "-o", "json")
        assert "check sasl.username and sasl.password" in kit.condition("wrong")["message"]
        assert "not-this-one" not in said
        secret(PASSWORD)
        kit.wait("wrong", "running", ready=True, timeout=300)  # tried again by itself
        kit.delete("wrong")
