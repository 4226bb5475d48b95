"""What keeps a server's tables from being followed."""

from __future__ import annotations

import pytest

from connector_runner.sources.mysql.preflight import server_problems
from connector_runner.sources.mysql.server import Server

MYSQL = {"log_bin": "ON", "gtid_mode": "ON", "log_replica_updates": "OFF"}
MARIADB = {"log_bin": "ON", "log_slave_updates": "OFF"}


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        (Server(False, MYSQL, is_replica=True), "it is a replica and log_replica_updates is OFF"),
        (Server(False, MYSQL, is_replica=None), "it may be a replica (the account can't see it) and log_replica_updates is OFF"),
        (Server(True, MARIADB, is_replica=True), "it is a replica and log_slave_updates is OFF"),
        (Server(True, MARIADB, is_replica=False), ""),
        (Server(False, MYSQL | {"log_replica_updates": "ON"}, is_replica=None), ""),
    ],
)  # fmt: skip
def test_a_replica_must_log_what_it_applies(server: Server, problem: str) -> None:
    found = server_problems(server, "'x'@'%'")
    assert [text.startswith(problem) for text in found] == ([True] if problem else [])
