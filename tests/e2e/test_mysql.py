"""A table through the operator: the example as it is, and a wrong password that is reported within seconds and corrected in place."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.e2e.examples import Documents, rows_in, type_readme
from tests.kit.cluster import ROOT, Kit
from tests.localkube.cluster import LocalKube, eventually
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer

DISPATCH = Path(__file__).parents[1] / "simulators" / "mysql_dispatch.py"
LOGIN = {"user": "connector", "password": "connector-password"}  # of shop.sql


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        yield server


@pytest.fixture
def shop(server: DatabaseServer, localkube: LocalKube) -> Iterator[DatabaseServer]:
    """A server on which the example's shop.sql was run, by an administrator; the image's runner is the real one for it."""
    localkube.map_images({"null-runner:test": {"command": [sys.executable, str(DISPATCH)], "user": 65532}})
    statements = (ROOT / "examples" / "mysql" / "shop.sql").read_text().split(";\n")
    server.execute(*(statement for statement in statements if statement.strip()))
    yield server
    server.execute("DROP DATABASE shop", f"DROP USER {LOGIN['user']}@'%'")


def login(kit: Kit, **data: str) -> None:
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders-login"}, "stringData": data}
    kit.kubectl("apply", "-f", "-", input=json.dumps(manifest))


def until_equal(shop: DatabaseServer, volume: Path) -> None:
    """Until the dataset has each row of the table as it is, and no other."""

    def is_equal() -> bool:
        expected = shop.query(
            "SELECT id, customer, CAST(amount AS CHAR), state, DATE_FORMAT(placed, '%Y-%m-%dT%H:%i:%s.%fZ') FROM shop.orders ORDER BY id"
        )
        rows = rows_in(volume / "orders.db", "SELECT id, customer, amount, state, placed FROM orders ORDER BY id")
        if rows != expected:
            raise LookupError(f"the dataset holds {rows}, the table {expected}")
        return True

    eventually(is_equal, what="the table in the dataset")


def until_many_equal(shop: DatabaseServer, volume: Path) -> None:
    """Until the dataset of the selection has each row of both tables as it is, and no other."""

    def is_equal() -> bool:
        for columns, table in (("id, customer, {amount}, state", "orders"), ("id, order_id, {amount}", "payments")):
            expected = shop.query(
                f"SELECT {columns} FROM shop.{table} ORDER BY id".format(amount="CAST(amount AS CHAR)")
            )
            rows = rows_in(volume / "shop.db", f"SELECT {columns} FROM {table} ORDER BY id".format(amount="amount"))
            if rows != expected:
                raise LookupError(f"the dataset holds {rows} of {table}, the source {expected}")
        return True

    eventually(is_equal, what="both tables in the dataset")


@pytest.mark.timeout(300)
def test_the_examples_run_on_a_cluster(kit: Kit, localkube: LocalKube, shop: DatabaseServer, tmp_path: Path) -> None:
    """Typed as in the README: one table, and a selection."""

    def adapt(documents: Documents) -> None:
        documents["Connector"]["spec"]["config"] |= {"host": shop.host, "port": shop.port}

    type_readme(kit, "mysql", tmp_path, adapt)
    assert re.search(r"^shop +MYSQL +2 streams ", kit.kubectl("get", "connectors"), flags=re.MULTILINE)
    volume = localkube.volume_path(kit.namespace, "orders")
    many = localkube.volume_path(kit.namespace, "shop")
    until_equal(shop, volume)
    until_many_equal(shop, many)
    shop.execute(
        "UPDATE shop.orders SET state = 'paid' WHERE id = 1",
        "DELETE FROM shop.orders WHERE id = 2",
        "INSERT INTO shop.orders (customer, amount) VALUES ('Barbara', 0.05)",
    )
    shop.execute("INSERT INTO shop.payments (order_id, amount) VALUES (3, 1.50)")
    until_equal(shop, volume)
    until_many_equal(shop, many)
    assert rows_in(many / "shop.db", "SELECT name FROM sqlite_master WHERE name LIKE 'audit%'") == [], "it is left out"
    for name in ("orders", "shop"):
        kit.delete(name)
    for name in ("orders", "shop"):
        kit.wait_gone(name)


@pytest.mark.timeout(300)
def test_a_wrong_password_is_told_and_heals_when_the_secret_is_mended(kit: Kit, shop: DatabaseServer) -> None:
    with PostgresServer() as postgres:
        login(kit, **LOGIN | {"password": "not-this-one"})
        market = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "market"}}
        kit.kubectl("apply", "-f", "-", input=json.dumps(market | {"stringData": {"url": postgres.url()}}))
        kit.dataset("orders", urlFrom={"secretKeyRef": {"name": "market", "key": "url"}}, table="orders")
        kit.apply(
            "orders",
            connectorType="MYSQL",
            datasetId="orders",
            config={"host": shop.host, "port": shop.port},
            configFrom=[{"secretRef": {"name": "orders-login"}}],
            selectedStream="shop.orders",
            status="running",
        )
        status = kit.wait("orders", "errored", reason="AccessDenied")
        assert status["discovery"]["failures"] == 1, "told by the first attempt, not after others"
        assert "Access denied" in kit.condition("orders")["message"]
        assert "not-this-one" not in json.dumps(kit.get("orders"))
        generation = kit.get("orders")["metadata"]["generation"]

        login(kit, **LOGIN)
        kit.wait("orders", "running", ready=True, timeout=120)
        assert kit.get("orders")["metadata"]["generation"] == generation, "it heals by itself"
        shop.execute("UPDATE shop.orders SET state = 'sent' WHERE id = 3", "DELETE FROM shop.orders WHERE id = 1")

        def has_come() -> bool:
            with psycopg.connect(postgres.url()) as session:
                rows = session.execute('SELECT id, state FROM "orders" ORDER BY id').fetchall()
            if rows != [(2, "open"), (3, "sent")]:
                raise LookupError(f"the dataset holds {rows}")
            return True

        eventually(has_come, timeout=60, what="the rows")
        kit.delete("orders")
        kit.wait_gone("orders")
