"""The servers these tests run on, one a variant, shared by the tests of a process; each test has a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.servers.mariadb import mariadb
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer

GTIDS = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON")

VARIANTS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "mysql-gtids": (False, (*GTIDS, "--binlog-row-metadata=FULL")),
    "mysql-compressed": (False, (*GTIDS, "--binlog-transaction-compression=ON", "--binlog-row-value-options=PARTIAL_JSON")),
    "mysql-files": (False, ("--gtid-mode=OFF",)),
    "mariadb": (True, ()),
    "mariadb-compressed": (True, ("--log-bin-compress=ON", "--log-bin-compress-min-len=10", "--binlog-row-metadata=FULL")),
}  # fmt: skip


@dataclass
class Database:
    """A fresh database on a shared server."""

    server: DatabaseServer
    name: str

    def execute(self, *statements: str) -> None:
        self.server.execute(*statements, database=self.name)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        return self.server.query(statement, database=self.name)


def start(variant: str) -> DatabaseServer:
    is_mariadb, options = VARIANTS[variant]
    return DatabaseServer(mariadb() if is_mariadb else mysql(), options)


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, DatabaseServer]]:
    servers: dict[str, DatabaseServer] = {}
    yield servers
    for server in servers.values():
        server.destroy()


@pytest.fixture(params=list(VARIANTS))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(variant: str, _servers: dict[str, DatabaseServer]) -> DatabaseServer:
    """A shared one; tests that break it use `start` instead."""
    if variant not in _servers:
        fresh = start(variant)
        _servers[variant] = fresh
        fresh.start()
    return _servers[variant]


@pytest.fixture
def database(server: DatabaseServer) -> Iterator[Database]:
    name = f"d{uuid.uuid4().hex[:10]}"
    server.execute(f"CREATE DATABASE {name}")
    yield Database(server, name)
    server.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def own(variant: str) -> Iterator[DatabaseServer]:
    """A server that the test may break."""
    with start(variant) as server:
        server.execute(
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(20))",
            "INSERT INTO d.t VALUES (1, 'one')",
        )
        yield server


def make_table(database: Database, table: str = "t") -> str:
    database.execute(
        f"CREATE TABLE {table} (id INT PRIMARY KEY, v VARCHAR(20))", f"INSERT INTO {table} VALUES (1, 'one')"
    )
    return f"{database.name}.{table}"
