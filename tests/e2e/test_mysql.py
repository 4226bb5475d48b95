"""A table through the operator: the password in a Secret, a wrong one told within seconds and mended in place."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.e2e.kit import Kit
from tests.localkube.cluster import LocalKube, eventually
from tests.servers.mysql import mysql
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer
from tests.servers.postgresql import PostgresServer

DISPATCH = Path(__file__).parents[1] / "simulators" / "mysql_dispatch.py"


@pytest.fixture
def source() -> Iterator[DatabaseServer]:
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        server.execute("CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, note VARCHAR(20))")
        server.execute("INSERT INTO shop.orders VALUES (1, 'one'), (2, 'two')")
        yield server


def secret(kit: Kit, name: str, **data: str) -> None:
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
    kit.kubectl("apply", "-f", "-", input=json.dumps(manifest))


@pytest.mark.timeout(600)
def test_a_wrong_password_is_told_and_heals_when_the_secret_is_mended(
    kit: Kit, localkube: LocalKube, source: DatabaseServer
) -> None:
    localkube.map_images({"null-runner:test": {"command": [sys.executable, str(DISPATCH)], "user": 65532}})
    with PostgresServer() as postgres:
        secret(kit, "login", password="not-this-one")
        secret(kit, "market", url=postgres.url())
        kit.dataset("orders", urlFrom={"secretKeyRef": {"name": "market", "key": "url"}}, table="orders")
        kit.apply(
            "orders",
            connectorType="MYSQL",
            datasetId="orders",
            config={"host": source.host, "port": source.port, "user": ADMIN_USER},
            configFrom=[{"secretRef": {"name": "login"}}],
            selectedStream="shop.orders",
            status="running",
        )
        kit.wait("orders", "errored", timeout=120)
        assert "Access denied" in kit.condition("orders")["message"]
        assert "not-this-one" not in json.dumps(kit.get("orders")["status"])

        secret(kit, "login", password=ADMIN_PASSWORD)
        kit.wait("orders", "running", ready=True, timeout=240)
        source.execute("INSERT INTO shop.orders VALUES (3, 'three')", "DELETE FROM shop.orders WHERE id = 1")

        def has_come() -> bool:
            with psycopg.connect(postgres.url()) as session:
                rows = session.execute('SELECT id, note FROM "orders" ORDER BY id').fetchall()
            if rows != [(2, "two"), (3, "three")]:
                raise LookupError(f"the dataset holds {rows}")
            return True

        eventually(has_come, timeout=60, what="the rows")
        kit.delete("orders")
        kit.wait_gone("orders")
