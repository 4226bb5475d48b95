"""What keeps a server's tables from being followed."""

from __future__ import annotations

import pytest

from connector_runner.sources.mysql.server.facts import Grants, Server
from connector_runner.sources.mysql.server.preflight import server_problems, table_problems
from connector_runner.sources.mysql.types.columns import SourceColumn
from connector_runner.sources.mysql.types.table import FoundTable, TableDefinition

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


LOGS_CASCADES = {"gtid_mode": "ON", "innodb_native_foreign_keys": "OFF"}


@pytest.mark.parametrize(
    ("variables", "is_replica", "problem"),
    [
        ({"gtid_mode": "ON"}, False, "onCascade: ignore"),
        (LOGS_CASCADES | {"innodb_native_foreign_keys": "ON"}, False, "onCascade: ignore"),
        (LOGS_CASCADES, True, "onCascade: ignore"),
        (LOGS_CASCADES, None, "which the account can't see: GRANT REPLICATION CLIENT ON *.* TO 'x'@'%'"),
        (LOGS_CASCADES, False, ""),
    ],
)
def test_what_foreign_keys_do_must_be_in_the_log(
    variables: dict[str, str], is_replica: bool | None, problem: str
) -> None:
    """A replica may apply the transactions of a primary that does not log it."""
    definition = TableDefinition("d", "c", (SourceColumn("id", "int", "", nullable=False),), ("id",), "PRIMARY")
    table = FoundTable(definition, "BASE TABLE", cascades=("goes",))
    found = table_problems(Server(False, variables, is_replica=is_replica), table, "'x'@'%'")
    assert [text.endswith(problem) for text in found] == ([True] if problem else [])


@pytest.mark.parametrize(
    ("line", "database", "allowed"),
    [
        ("GRANT SELECT ON `my_db`.* TO `u`@`%`", "my_db", True), ("GRANT SELECT ON `my_db`.* TO `u`@`%`", "myXdb", True),
        (r"GRANT SELECT ON `my\_db`.* TO `u`@`%`", "my_db", True), (r"GRANT SELECT ON `my\_db`.* TO `u`@`%`", "myXdb", False),
        ("GRANT SELECT ON `my%`.* TO `u`@`%`", "my.db", True), (r"GRANT SELECT ON `my\%`.* TO `u`@`%`", "mydb", False),
        ("GRANT SELECT ON `a b``c`.* TO `u`@`%`", "a b`c", True), ("GRANT SELECT ON `my_db`.`t` TO `u`@`%`", "myXdb", False),
        ("GRANT SELECT ON `my_db`.`t` TO `u`@`%`", "my_db", True), ("GRANT SELECT (a, b) ON `my_db`.`t` TO `u`@`%`", "my_db", False),
        ("GRANT ALL PRIVILEGES ON *.* TO `u`@`%` WITH GRANT OPTION", "x", True), ("GRANT INSERT, SELECT ON *.* TO 'u'@'%'", "x", True),
        ("GRANT EXECUTE ON PROCEDURE `d`.`p` TO `u`@`%`", "d", False),
    ],
)  # fmt: skip
def test_grants_are_read_as_the_server_means_them(line: str, database: str, allowed: bool) -> None:
    assert Grants((line,)).has("SELECT", database, "t") is allowed


def test_partial_revokes() -> None:
    lines = ("GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `my_db`.* FROM `u`@`%`")
    grants = Grants(lines, has_wildcards=False)
    assert not grants.has("SELECT", "my_db", "t")
    assert grants.has("SELECT", "myXdb", "t")
    assert Grants((*lines, "GRANT SELECT ON `my_db`.`t` TO `u`@`%`"), has_wildcards=False).has("SELECT", "my_db", "t")
    assert not Grants(("GRANT SELECT ON `my_db`.* TO `u`@`%`",), has_wildcards=False).has("SELECT", "myXdb", "t")


@pytest.mark.parametrize(
    ("sql_type", "order", "dialect", "is_refused"),
    [
        ("char(10)", "latin1_nopad_bin", MARIADB, True), ("char(10)", "utf8mb4_uca1400_nopad_ai_ci desc", MARIADB, True),
        ("char(10)", "utf8mb4_0900_bin", MARIADB, True), ("char(10)", "utf8mb4_tr_0900_ai_ci desc", MARIADB, True),
        ("char(10)", "utf8mb4_0900_bin", MYSQL, False), ("char(10)", "utf8mb4_tr_0900_ai_ci", MYSQL, False),
        ("char(10)", "latin1_bin", MARIADB, False), ("varchar(10)", "latin1_nopad_bin", MARIADB, False),
        ("varchar(10)", "utf8mb4_0900_bin", MARIADB, False),
    ],
)  # fmt: skip
def test_a_key_that_an_index_sorts_in_its_own_order_is_refused(
    sql_type: str, order: str, dialect: dict[str, str], is_refused: bool
) -> None:
    """MariaDB pads CHAR in indexes, and compares without: a copy in parts would leave rows out."""
    definition = TableDefinition(
        "d", "t", (SourceColumn("k", sql_type, "latin1", nullable=False),), ("k",), order=(order,)
    )
    found = table_problems(
        Server(dialect is MARIADB, dialect, is_replica=False), FoundTable(definition, "BASE TABLE"), "'x'@'%'"
    )
    assert any("NO PAD collation (k)" in text for text in found) == is_refused
