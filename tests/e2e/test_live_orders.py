"""A running connector's selection changes by `kubectl apply`: the execution and its pod stay, and so does every row."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from tests.e2e.examples import rows_in
from tests.e2e.shop import PATIENCE, apply, open_shop, until_equal
from tests.kit.cluster import Kit, restart_operator
from tests.localkube.cluster import LocalKube, eventually
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        yield server


@pytest.fixture
def shop(kit: Kit, server: DatabaseServer, localkube: LocalKube) -> Iterator[DatabaseServer]:
    """A server with three tables."""
    with open_shop(kit, server, localkube) as shop:
        yield shop


@contextmanager
def dataset(kind: str, kit: Kit, localkube: LocalKube) -> Iterator[Query]:
    """A dataset of the cluster; yields what asks it."""
    if kind == "sqlite":
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "rows"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        kit.kubectl("apply", "-f", "-", input=json.dumps(claim))
        kit.dataset("rows", url="sqlite:///rows.db", volumeClaim="rows", table="{name}")
        yield lambda statement: rows_in(localkube.volume_path(kit.namespace, "rows") / "rows.db", statement)
        return
    with PostgresServer() as postgres:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "rows"},
            "stringData": {"url": postgres.url()},
        }
        kit.kubectl("apply", "-f", "-", input=json.dumps(secret))
        kit.dataset("rows", urlFrom={"secretKeyRef": {"name": "rows", "key": "url"}}, table="{name}")
        with psycopg.connect(postgres.url(), autocommit=True) as session:

            def query(statement: str) -> list[tuple[Any, ...]]:
                try:
                    return session.execute(statement.encode()).fetchall()
                except psycopg.errors.UndefinedTable as error:
                    raise LookupError(str(error)) from None

            yield query
        kit.delete("shop")  # before its dataset goes
        kit.wait_gone("shop")


class Writing:
    """Writes rows to shop.orders all the time, and notes when the dataset shows more of them."""

    def __init__(self, shop: DatabaseServer, query: Query) -> None:
        self._shop = shop
        self._query = query
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._write, self._watch)]
        self.grown: list[float] = []

    def __enter__(self) -> Writing:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        with closing(self._shop.connect()) as session, session.cursor() as cursor:
            number = 1000
            while not self._ended.wait(0.05):
                cursor.execute(f"INSERT INTO shop.orders VALUES ({number}, 'row {number}')")
                session.commit()
                number += 1

    def _watch(self) -> None:
        most = 0
        while not self._ended.wait(0.05):
            found = self._query("SELECT count(*) FROM orders")[0][0]
            if found > most:
                most = found
                self.grown.append(time.monotonic())

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time in which the dataset showed no new row."""
        moments = [moment for moment in self.grown if since <= moment <= until]
        return max((later - before for before, later in pairwise(moments)), default=until - since)


def execution(kit: Kit) -> tuple[str, str]:
    """The id of the execution, and the UID of its pod."""
    return kit.status("shop")["state"]["execId"], kit.live_pod("shop")["metadata"]["uid"]


def wait_applied(kit: Kit, reason: str = "SelectionApplied") -> dict[str, Any]:
    """Until the running execution carries the present selection, or says why not."""
    generation = kit.get("shop")["metadata"]["generation"]

    def check() -> dict[str, Any]:
        found = kit.condition("shop", "SelectionApplied")
        if (found.get("reason"), found.get("observedGeneration")) != (reason, generation):
            raise LookupError(f"SelectionApplied is {found}, the generation {generation}")
        return found

    return dict(eventually(check, timeout=PATIENCE, what=f"SelectionApplied={reason}"))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.fault)])
def test_streams_come_and_go_while_the_others_flow(
    kind: str, kit: Kit, localkube: LocalKube, shop: DatabaseServer
) -> None:
    with dataset(kind, kit, localkube) as query:
        apply(kit, shop, streams={"include": ["shop.orders", "shop.users"]}, status="running")
        kit.wait("shop", "running", ready=True, timeout=PATIENCE)
        until_equal(shop, query, "orders", "users")
        before = execution(kit)
        with Writing(shop, query) as writing:
            for streams, carried in (
                ({"include": ["shop.*"]}, ("users", "audit_log")),
                ({"include": ["shop.orders", "shop.audit_log"]}, ("audit_log",)),
            ):
                began = time.monotonic()
                apply(kit, shop, streams=streams, status="running")
                wait_applied(kit)
                until_equal(shop, query, *carried)
                ended = time.monotonic()
                assert execution(kit) == before
                gap = writing.longest_gap(began, ended)
                print(f"{kind}: carried after {ended - began:.1f} s, longest time without a new row {gap:.2f} s")
            shop.execute("INSERT INTO shop.users VALUES (2, 'dropped')", "INSERT INTO shop.audit_log VALUES (2, 'x')")
            until_equal(shop, query, "audit_log")
        until_equal(shop, query, "orders")
        assert query("SELECT count(*) FROM users") == [(1,)], "its rows stay, and none is added"
        apply(kit, shop, streams={"include": ["shop.*"]}, status="running")
        wait_applied(kit)
        until_equal(shop, query, "orders", "users", "audit_log")
        assert execution(kit) == before
        assert kit.status("shop")["run"] == 1


@pytest.mark.fault
@pytest.mark.timeout(400)
def test_a_selection_that_the_runner_refuses_is_explained(kit: Kit, localkube: LocalKube, shop: DatabaseServer) -> None:
    with dataset("sqlite", kit, localkube) as query:
        shop.execute("CREATE TABLE shop.keyless (id INT, note VARCHAR(20))")
        apply(kit, shop, streams={"include": ["shop.orders"]}, status="running")
        kit.wait("shop", "running", ready=True, timeout=PATIENCE)
        before = execution(kit)
        apply(kit, shop, streams={"include": ["shop.keyless"]}, status="running")
        said = wait_applied(kit, "Preflight")
        assert "shop.keyless: it has neither a primary key" in said["message"]
        assert kit.condition("shop", "Stalled")["status"] == "True"
        shop.execute("INSERT INTO shop.orders VALUES (2, 'goes on')")
        until_equal(shop, query, "orders")
        assert execution(kit) == before
        apply(kit, shop, streams={"include": ["shop.orders", "shop.users"]}, status="running")
        wait_applied(kit)
        until_equal(shop, query, "orders", "users")
        assert execution(kit) == before


@pytest.mark.fault
@pytest.mark.timeout(600)
def test_orders_that_somebody_changes_or_deletes_are_put_right(
    kit: Kit, localkube: LocalKube, shop: DatabaseServer
) -> None:
    with dataset("sqlite", kit, localkube) as query:
        apply(kit, shop, streams={"include": ["shop.orders"]}, status="running")
        kit.wait("shop", "running", ready=True, timeout=PATIENCE)
        before = execution(kit)
        apply(kit, shop, streams={"include": ["shop.orders", "shop.users"]}, status="running")
        wait_applied(kit)
        name = f"{before[0].rpartition('/')[2]}-orders"
        path = f"/api/v1/namespaces/{kit.namespace}/configmaps/{name}"
        ours = kit.api.get(path)
        assert [owner["kind"] for owner in ours["metadata"]["ownerReferences"]] == ["Job"]

        def wait_right() -> None:
            def check() -> bool:
                found = kit.api.get(path) or {}
                if found.get("data") != ours["data"]:
                    raise LookupError(f"{found}")
                return True

            eventually(check, timeout=PATIENCE, what="the orders are as they were")

        kit.kubectl(
            "patch", "configmap", name, "--type=merge", "-p", '{"data": {"selection.json": "no JSON", "x": "y"}}'
        )
        wait_right()
        kit.kubectl("delete", "configmap", name)
        wait_right()
        kit.kubectl("delete", "configmap", name)
        restart_operator(localkube)
        wait_right()
        wait_applied(kit)
        shop.execute("INSERT INTO shop.orders VALUES (2, 'a')", "INSERT INTO shop.users VALUES (2, 'b')")
        until_equal(shop, query, "orders", "users")
        assert execution(kit) == before
        kit.kubectl("delete", "configmap", name)
        kit.kubectl("create", "configmap", name, "--from-literal=selection.json=foreign")
        said = wait_applied(kit, "OrdersRefused")
        assert f"ConfigMap {name} is not this execution's" in said["message"]
        assert kit.api.get(path)["data"] == {"selection.json": "foreign"}, "it is left alone"
        kit.kubectl("delete", "configmap", name)
        wait_applied(kit)
        kit.patch("shop", status="stopped")
        kit.wait("shop", "stopped", timeout=PATIENCE)
