"""The servers these tests run on, one a variant, shared by the tests of a process; each test has a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mysql.selecting import Selection
from tests.servers.mariadb import mariadb, mariadb_11_4, mariadb_11_8
from tests.servers.mysql import mysql, mysql_9_7
from tests.servers.mysqld import DatabaseServer, Distribution

GTIDS = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON")
NAMES = "--binlog-row-metadata=FULL"
# Every other session writes transactions with a tag in their ids, so that the log has both.
TAGS = ("DO 1", "SET gtid_next = 'AUTOMATIC:etl'")


@dataclass(frozen=True)
class Variant:
    """One way to run a server.

    Attributes:
        server: Fetches it.
        options: Of its start, besides those of every test.
        sessions: What the administrator's sessions start with, in turn.
    """

    server: Callable[[], Distribution]
    options: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()

    @property
    def has_names(self) -> bool:
        """Whether the log has the names of columns: without them, rows between two alterations can't be read."""
        return NAMES in self.options


ORDINARY = {
    "mysql-gtids": Variant(mysql, (*GTIDS, NAMES)),
    "mysql-compressed": Variant(mysql, (*GTIDS, "--binlog-transaction-compression=ON", "--binlog-row-value-options=PARTIAL_JSON")),
    "mysql-files": Variant(mysql, ("--gtid-mode=OFF",)),
    "mariadb": Variant(mariadb),
    "mariadb-compressed": Variant(mariadb, ("--log-bin-compress=ON", "--log-bin-compress-min-len=10", NAMES)),
}  # fmt: skip


NEWER = {"mysql-9.7": mysql_9_7, "mariadb-11.4": mariadb_11_4, "mariadb-11.8": mariadb_11_8}
"""Servers that only the long suite runs on."""


def _newer(name: str) -> dict[str, Callable[[], Distribution]]:
    """The same variant of each newer server of the dialect."""
    dialect, dash, rest = name.partition("-")
    return {f"{newer}{dash}{rest}": server for newer, server in NEWER.items() if newer.startswith(f"{dialect}-")}


VARIANTS = ORDINARY | {
    newer: replace(variant, server=server, sessions=TAGS if GTIDS[0] in variant.options else ())
    for name, variant in ORDINARY.items()
    for newer, server in _newer(name).items()
}


def variants(*names: str, long: tuple[str, ...] = ()) -> list[Any]:
    """Parameters for `variant`: these, in the long suite also `long`, and all of them on the newer servers."""
    rare = [*long, *(newer for name in [*names, *long] for newer in _newer(name))]
    return [*names, *(pytest.param(name, marks=pytest.mark.fault) for name in rare)]


@dataclass
class Database:
    """A fresh database on a shared server."""

    server: DatabaseServer
    name: str

    def execute(self, *statements: str) -> None:
        self.server.execute(*statements, database=self.name)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        return self.server.query(statement, database=self.name)


def start(variant: str, *options: str, server_id: int = 1, is_bare: bool = False) -> DatabaseServer:
    """A server of the variant, not yet started; `is_bare`: with these options alone."""
    found = VARIANTS[variant]
    own = () if is_bare else found.options
    return DatabaseServer(found.server(), (*own, *options), server_id, () if is_bare else found.sessions)


def is_mariadb(variant: str) -> bool:
    return variant.startswith("mariadb")


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, DatabaseServer]]:
    servers: dict[str, DatabaseServer] = {}
    yield servers
    for server in servers.values():
        server.destroy()


@pytest.fixture(params=variants(*ORDINARY))
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


@pytest.fixture
def selection(database: Database, tmp_path: Path) -> Iterator[Callable[..., Selection]]:
    """Builds runners of this test's database; those that still run at its end are killed."""
    built: list[Selection] = []

    def build(url: str, name: str, **streams: Any) -> Selection:
        built.append(Selection(tmp_path, database, url, name, **streams))
        return built[-1]

    yield build
    for runner in built:
        if runner.is_running:
            runner.kill()
