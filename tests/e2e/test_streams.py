"""Many tables by one connector, through the operator and with the real runner: the selection is applied, shown, changed, and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import psycopg
import pytest
import yaml

from tests.e2e.examples import rows_in
from tests.e2e.shop import PATIENCE, TABLES, apply, open_shop, until_equal
from tests.kit.cluster import ROOT, Kit
from tests.localkube.cluster import KubectlError, LocalKube, eventually
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        yield server


@pytest.fixture
def shop(kit: Kit, server: DatabaseServer, localkube: LocalKube) -> Iterator[DatabaseServer]:
    """A server with three tables."""
    with open_shop(kit, server, localkube) as shop:
        yield shop


def row_of(kit: Kit, name: str) -> list[str]:
    """What `kubectl get connectors` shows of a Connector, by its columns."""
    lines = kit.kubectl("get", "connectors").splitlines()
    starts = [lines[0].index(column) for column in ("NAME", "TYPE", "STREAM", "DATASET", "STATUS", "READY")]
    line = next(line for line in lines if line.startswith(f"{name} "))
    return [line[start:end].strip() for start, end in pairwise(starts)]


@pytest.mark.timeout(400)
def test_the_example_runs_is_shown_and_changes(kit: Kit, localkube: LocalKube, shop: DatabaseServer) -> None:
    documents = list(yaml.safe_load_all((ROOT / "examples/mysql/many-cluster.yaml").read_text()))
    connector = next(document for document in documents if document["kind"] == "Connector")
    connector["spec"]["config"] |= {"host": shop.host, "port": shop.port}
    applied = yaml.safe_dump_all(documents)
    kit.kubectl("apply", "-f", "-", input=applied)
    kit.wait("shop", "running", ready=True, timeout=PATIENCE)
    assert row_of(kit, "shop") == ["shop", "MYSQL", "2 streams", "shop", "running"]
    volume = localkube.volume_path(kit.namespace, "shop") / "shop.db"

    def query(statement: str) -> list[tuple[Any, ...]]:
        return rows_in(volume, statement)

    until_equal(shop, query, "orders", "users")
    shop.execute("INSERT INTO shop.orders VALUES (2, 'live')", "UPDATE shop.users SET note = 'changed'")
    until_equal(shop, query, "orders", "users")
    tables = query("SELECT name FROM sqlite_master WHERE name = 'audit_log'")
    assert tables == [], "it is left out"
    assert kit.kubectl("diff", "-f", "-", input=applied, check=False) == "", "GitOps tools see no drift"

    kit.patch("shop", streams={"include": ["shop.*"], "exclude": None})
    eventually(lambda: row_of(kit, "shop")[2] == "3 streams", timeout=PATIENCE, what="the new selection")
    kit.wait("shop", "running", ready=True, timeout=PATIENCE)
    shop.execute("INSERT INTO shop.orders VALUES (3, 'after')", "INSERT INTO shop.audit_log VALUES (2, 'new')")
    until_equal(shop, query, *TABLES)

    kit.patch("shop", streams=None, selectedStream="shop.orders")
    eventually(lambda: row_of(kit, "shop")[2] == "shop.orders", timeout=PATIENCE, what="one stream")
    kit.wait("shop", "running", ready=True, timeout=PATIENCE)
    shop.execute("INSERT INTO shop.orders VALUES (4, 'alone')")
    until_equal(shop, query, "orders")
    kit.delete("shop")
    kit.wait_gone("shop")


@pytest.mark.timeout(400)
def test_a_transaction_over_two_tables_is_one_in_postgresql(kit: Kit, shop: DatabaseServer) -> None:
    with PostgresServer() as postgres:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "rows"},
            "stringData": {"url": postgres.url()},
        }
        kit.kubectl("apply", "-f", "-", input=json.dumps(secret))
        kit.dataset("rows", urlFrom={"secretKeyRef": {"name": "rows", "key": "url"}}, table="shop_{name}")
        apply(kit, shop, streams={"include": ["shop.orders", "shop.users"]}, status="running")
        kit.wait("shop", "running", ready=True, timeout=PATIENCE)
        with psycopg.connect(postgres.url(), autocommit=True) as session:

            def query(statement: str) -> list[tuple[Any, ...]]:
                try:
                    return session.execute(statement.encode()).fetchall()
                except psycopg.errors.UndefinedTable as error:
                    raise LookupError(str(error)) from None

            until_equal(shop, query, "orders", "users", prefix="shop_")
            changes = [f"INSERT INTO shop.{table} VALUES (2, 'one')" for table in ("orders", "users")]
            shop.execute("BEGIN", *changes, "COMMIT")
            until_equal(shop, query, "orders", "users", prefix="shop_")
            made = [query(f"SELECT xmin FROM shop_{table} WHERE id = 2") for table in ("orders", "users")]
            assert made[0] == made[1], "the same transaction wrote both"
        kit.delete("shop")
        kit.wait_gone("shop")


def test_a_selection_that_matches_nothing_is_explained(kit: Kit, shop: DatabaseServer) -> None:
    kit.dataset()
    apply(kit, shop, streams={"include": ["shop.ordres"]})
    kit.wait("shop", "errored", reason="UnknownStream", timeout=PATIENCE)
    assert "the nearest names are shop.orders" in kit.condition("shop")["message"]
    kit.patch("shop", streams={"include": ["shop.ordres", "shop.users"]})
    kit.wait("shop", "ready", ready=True, timeout=PATIENCE)
    assert "'shop.ordres' in spec.streams matches nothing" in kit.condition("shop", "Discovered")["message"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"streams": {"include": ["a"]}, "selectedStream": "a"}, "spec.streams: Forbidden: give either selectedStream"),
    ({"streams": {"include": []}}, "spec.streams.include"),
    ({"streams": {}}, "spec.streams.include: Required value"),
    ({"streams": {"include": ["a", "b."]}}, "spec.streams.include[1]: Invalid value"),
    ({"streams": {"include": ["a"], "exclude": ['"b']}}, "spec.streams.exclude[0]: Invalid value"),
    ({"streams": {"include": ["a"], "added": "later"}}, "spec.streams.added: Unsupported value"),
    ({"onStreamFailure": "ignore"}, "spec.onStreamFailure: Unsupported value"),
]


def test_the_api_server_refuses_a_wrong_selection(kit: Kit) -> None:
    for fields, said in REFUSED:
        with pytest.raises(KubectlError) as refused:
            kit.apply("c", **fields)
        assert said in str(refused.value)


def test_the_largest_selection_is_taken(kit: Kit) -> None:
    """Its rules must fit the API server's budget of costs, too."""
    patterns = [f'"my.db"."table{number:04}"' for number in range(1000)]
    kit.kubectl(
        "apply", "--server-side", "-f", "-", input=json.dumps(kit.connector("c", streams={"include": patterns}))
    )
    assert kit.wait_condition("c", "ConfigValid", "Valid")
