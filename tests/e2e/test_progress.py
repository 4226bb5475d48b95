"""Progress and failed streams of a running connector in its status, with the real runner; and what it costs in requests."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.examples import rows_in
from tests.e2e.local_operator import operator, start_bare
from tests.e2e.shop import DISPATCH, LOGIN, PATIENCE
from tests.kit.cluster import Audit, Kit
from tests.localkube.cluster import LocalKube, eventually
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer

SECONDS = 2
"""How often the operator asks."""
FLAGS = ("--runner-image=null-runner:test", "--lease-namespace=default")
ON = f"--progress-seconds={SECONDS}"
TABLES = {"addresses": 10, "orders": 9_980, "users": 10}
"""Rows of each table; they are copied in this order, that of their names."""
READ, WRITE = "get pods/log", "patch connectors/status"
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "rows"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, local_only: None) -> Iterator[LocalKube]:
    """A cluster without an operator, because whether it asks for progress holds for all connectors; the runner reports each second."""
    cluster = start_bare(tmp_path_factory.mktemp("progress") / "cluster", audit=True)
    try:
        runner = [sys.executable, str(DISPATCH)]
        env = {"CONNECTOR_PROGRESS_SECONDS": "1"}
        cluster.map_images({"null-runner:test": {"command": runner, "user": 65532, "env": env}})
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    with DatabaseServer(mysql(), ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]) as server:
        server.execute(
            f"CREATE USER {LOGIN['user']}@'%' IDENTIFIED BY '{LOGIN['password']}'",
            f"GRANT SELECT, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {LOGIN['user']}@'%'",
        )
        yield server


@contextmanager
def shop(cluster: LocalKube, server: DatabaseServer, database: str) -> Iterator[Kit]:
    """A database with its tables, and a namespace of the same name that has the login; at the end both are empty."""
    server.execute(f"CREATE DATABASE {database}", "SET SESSION cte_max_recursion_depth = 10000")
    for table, rows in TABLES.items():
        server.execute(
            f"CREATE TABLE {database}.{table} (id INT PRIMARY KEY, note VARCHAR(20))",
            f"INSERT INTO {database}.{table} WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {rows})"
            " SELECT /*+ SET_VAR(cte_max_recursion_depth = 10000) */ id, 'first' FROM n",
            f"ANALYZE TABLE {database}.{table}",
        )
    cluster.kubectl("create", "namespace", database)
    kit = Kit(cluster, database)
    create_secret(kit, "login", LOGIN)
    yield kit
    kit.delete("shop")
    kit.wait_gone("shop")
    server.execute(f"DROP DATABASE {database}")


def create_secret(kit: Kit, name: str, data: dict[str, str]) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
    kit.kubectl("apply", "-f", "-", input=json.dumps(secret))


def apply(kit: Kit, server: DatabaseServer) -> None:
    """A connector of the three tables that is asked for nothing yet."""
    manifest = kit.connector(
        "shop",
        connectorType="MYSQL",
        config={"host": server.host, "port": server.port},
        configFrom=[{"secretRef": {"name": "login"}}],
        streams={"include": [f"{kit.namespace}.{table}" for table in TABLES]},
    )
    kit.kubectl("apply", "-f", "-", input=json.dumps(manifest))


def progress(kit: Kit) -> dict[str, Any]:
    return dict(kit.status("shop").get("progress", {}))


def wait_text(kit: Kit, pattern: str) -> re.Match[str]:
    """Until the progress reads like this."""

    def check() -> re.Match[str]:
        found = progress(kit)
        match = re.fullmatch(pattern, found.get("text", ""))
        if match is None:
            raise LookupError(f"the progress is {found}, {kit.condition('shop')}")
        return match

    match = eventually(check, timeout=PATIENCE, what=f"progress {pattern!r}")
    assert isinstance(match, re.Match)
    return match


@pytest.mark.timeout(600)
def test_how_far_a_copy_is_stands_in_the_status(cluster: LocalKube, server: DatabaseServer, tmp_path: Path) -> None:
    """Tables are locked on the server, so that the copies stop where the test wants them to."""
    with shop(cluster, server, "copies") as kit, operator(cluster.kubeconfig, tmp_path, ON, *FLAGS):
        kit.kubectl("apply", "-f", "-", input=json.dumps(VOLUME))
        kit.dataset("rows", url="sqlite:///rows.db", volumeClaim="rows", table="{name}")
        apply(kit, server)
        kit.wait("shop", "ready", ready=True, timeout=PATIENCE)
        with server.session() as orders, server.session() as users:
            orders.execute("LOCK TABLES copies.orders WRITE")
            users.execute("LOCK TABLES copies.users WRITE")
            kit.patch("shop", status="running")
            (percent,) = wait_text(kit, r"1 following, 2 copying (\d+)%.*").groups()
            assert int(percent) <= 2
            found = progress(kit)
            assert (found["done"], found["unit"], found["rows"]) == (10, "rows", 10)
            assert [copy["stream"] for copy in found["copies"]] == ["copies.orders", "copies.users"]
            assert re.search(rf"^shop .* copying {percent}%", get_wide(kit), flags=re.MULTILINE)
            orders.execute("UNLOCK TABLES")
            (percent,) = wait_text(kit, r"2 following, 1 copying (\d+)%.*").groups()
            assert 95 <= int(percent) < 100
            users.execute("UNLOCK TABLES")
        wait_text(kit, "3 following")
        eventually(lambda: progress(kit)["rows"] == sum(TABLES.values()), timeout=PATIENCE, what="all rows")
        assert kit.condition("shop", "StreamsHealthy")["reason"] == "NoStreamFailed"
        asked = wait_reads(cluster, kit, 5)
        assert set(asked) <= {READ, WRITE, "list pods/"}, "nothing else is asked"
        assert asked[WRITE] <= asked[READ] + 1, "at most one write for each read"


def get_wide(kit: Kit) -> str:
    return kit.kubectl("get", "connectors", "-o", "wide")


def wait_reads(cluster: LocalKube, kit: Kit, least: int) -> Counter[str]:
    """What the operator asks of the API server in a namespace until it has read a log so often."""
    audit = Audit(cluster)

    def count() -> Counter[str]:
        asked: Counter[str] = Counter()
        for event in audit.events("", kit.namespace):
            if "aiohttp" in event["userAgent"]:
                ref = event["objectRef"]
                asked[f"{event['verb']} {ref['resource']}/{ref.get('subresource', '')}"] += 1
        if asked[READ] < least:
            raise LookupError(f"asked was {asked}")
        return asked

    found = eventually(count, timeout=PATIENCE, what=f"{least} reads of a log")
    assert isinstance(found, Counter)
    return found


@pytest.mark.fault
@pytest.mark.timeout(600)
def test_progress_that_is_turned_off_costs_nothing(cluster: LocalKube, server: DatabaseServer, tmp_path: Path) -> None:
    with shop(cluster, server, "quiet") as kit:
        kit.kubectl("apply", "-f", "-", input=json.dumps(VOLUME))
        kit.dataset("rows", url="sqlite:///rows.db", volumeClaim="rows", table="{name}")
        apply(kit, server)
        kit.patch("shop", status="running")
        with operator(cluster.kubeconfig, tmp_path, ON, *FLAGS):
            wait_text(kit, "3 following")
        with operator(cluster.kubeconfig, tmp_path, "--progress-seconds=0", *FLAGS):
            eventually(lambda: not progress(kit), timeout=PATIENCE, what="the progress is gone")
            said = kit.condition("shop", "StreamsHealthy")
            assert (said["status"], said["reason"]) == ("Unknown", "ProgressUnknown")
            assert "--progress-seconds is 0" in said["message"]
            audit = Audit(cluster)
            volume = cluster.volume_path("quiet", "rows") / "rows.db"
            for number in range(11, 16):
                server.execute(f"INSERT INTO quiet.users VALUES ({number}, 'x')")
            eventually(lambda: len(rows_in(volume, "SELECT id FROM users")) == 15, timeout=PATIENCE, what="new rows")
            login = [{"secretRef": {"name": "login"}}]
            config = {"host": server.host, "port": server.port}
            kit.apply("other", connectorType="MYSQL", config=config, configFrom=login)
            kit.wait("other", "received", ready=True, timeout=PATIENCE)  # the operator has worked meanwhile
            asked = [event for event in audit.events("", "quiet") if "aiohttp" in event["userAgent"]]
            assert asked, "the other's"
            assert not any(event["objectRef"].get("name", "").startswith("shop") for event in asked)
            kit.delete("other")
            kit.wait_gone("other")


@pytest.mark.fault
@pytest.mark.timeout(600)
def test_a_failed_stream_is_named_while_the_others_continue(
    cluster: LocalKube, server: DatabaseServer, tmp_path: Path
) -> None:
    with (
        PostgresServer() as postgres,
        psycopg.connect(postgres.url(), autocommit=True) as session,
        shop(cluster, server, "failures") as kit,
        operator(cluster.kubeconfig, tmp_path, ON, *FLAGS),
    ):
        create_secret(kit, "rows", {"url": postgres.url()})
        kit.dataset("rows", urlFrom={"secretKeyRef": {"name": "rows", "key": "url"}}, table="{name}")
        apply(kit, server)
        kit.patch("shop", status="running")
        wait_text(kit, "3 following")
        session.execute("ALTER TABLE users RENAME COLUMN note TO other")
        server.execute("INSERT INTO failures.users VALUES (11, 'x')", "INSERT INTO failures.addresses VALUES (11, 'x')")
        said = kit.wait_condition("shop", "StreamsHealthy", "StreamsFailed", timeout=PATIENCE)
        assert "1 of 3 streams has failed; the others continue: failures.users (" in said["message"]
        wait_text(kit, "2 following, 1 failed.*")
        assert [failure["stream"] for failure in progress(kit)["failures"]] == ["failures.users"]
        assert kit.condition("shop")["status"] == "True", "the connector stays Ready"
        eventually(lambda: count(session, "addresses") == 11, timeout=PATIENCE, what="a row of another stream")
        session.execute("ALTER TABLE users RENAME COLUMN other TO note")
        kit.wait_condition("shop", "StreamsHealthy", "NoStreamFailed", timeout=PATIENCE)
        wait_text(kit, "3 following")
        eventually(lambda: count(session, "users") == 11, timeout=PATIENCE, what="the row that had failed")


def count(session: psycopg.Connection[Any], table: str) -> int:
    row = session.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])
