"""Many tables of one server behind a connector on the cluster: the server, its login as a Secret, and comparing rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kit.cluster import Kit
from tests.localkube.cluster import LocalKube, eventually
from tests.servers.mysqld import DatabaseServer

DISPATCH = Path(__file__).parents[1] / "simulators" / "mysql_dispatch.py"
TABLES = ("orders", "users", "audit_log")
LOGIN = {"user": "connector", "password": "connector-password"}
PATIENCE = 120.0
Query = Callable[[str], list[tuple[Any, ...]]]


@contextmanager
def open_shop(kit: Kit, server: DatabaseServer, localkube: LocalKube) -> Iterator[DatabaseServer]:
    """A server with three tables; the image's runner is the real one for MYSQL, and its login is a Secret."""
    localkube.map_images({"null-runner:test": {"command": [sys.executable, str(DISPATCH)], "user": 65532}})
    server.execute("CREATE DATABASE shop")
    for table in TABLES:
        server.execute(
            f"CREATE TABLE shop.{table} (id INT PRIMARY KEY, note VARCHAR(20))",
            f"INSERT INTO shop.{table} VALUES (1, 'first')",
        )
    server.execute(
        f"CREATE USER {LOGIN['user']}@'%' IDENTIFIED BY '{LOGIN['password']}'",
        f"GRANT SELECT, LOCK TABLES ON shop.* TO {LOGIN['user']}@'%'",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {LOGIN['user']}@'%'",
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": LOGIN}
    kit.kubectl("apply", "-f", "-", input=json.dumps(secret))
    yield server
    server.execute("DROP DATABASE shop", f"DROP USER {LOGIN['user']}@'%'")


def apply(kit: Kit, shop: DatabaseServer, **fields: Any) -> None:
    config = {"host": shop.host, "port": shop.port}
    sources = [{"secretRef": {"name": "login"}}]
    manifest = kit.connector("shop", connectorType="MYSQL", config=config, configFrom=sources, **fields)
    kit.kubectl("apply", "-f", "-", input=json.dumps(manifest))


def until_equal(shop: DatabaseServer, query: Query, *tables: str, prefix: str = "") -> None:
    """Until the dataset has each row of these tables as it is, and no other."""

    def is_equal() -> bool:
        for table in tables:
            expected = shop.query(f"SELECT id, note FROM shop.{table} ORDER BY id")
            rows = query(f"SELECT id, note FROM {prefix}{table} ORDER BY id")
            if rows != expected:
                raise LookupError(f"the dataset holds {rows} of {table}, the source {expected}")
        return True

    eventually(is_equal, timeout=PATIENCE, what="the rows")
