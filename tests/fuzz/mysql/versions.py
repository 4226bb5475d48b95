"""The servers that histories run on, with options drawn for a group of histories."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.mysql.draw import Dialect
from tests.servers.mariadb import mariadb, mariadb_11_4, mariadb_11_8
from tests.servers.mysql import mysql, mysql_9_7
from tests.servers.mysqld import DatabaseServer, Distribution

VERSIONS: dict[str, Callable[[], Distribution]] = {
    "mysql-8.0": mysql, "mysql-9.7": mysql_9_7, "mariadb-10.11": mariadb, "mariadb-11.4": mariadb_11_4, "mariadb-11.8": mariadb_11_8,
}  # fmt: skip
# Nothing here must survive a crash of the machine; a kill of the server it does.
QUICK = ("--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--innodb-doublewrite=OFF", "--innodb-stats-persistent=OFF", "--innodb-flush-method=nosync",
         "--max-allowed-packet=64M", "--lower-case-table-names=0")  # fmt: skip
NAMES = "--binlog-row-metadata=FULL"
_GTIDS = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON")
_PARTS = ("--binlog-transaction-compression=ON", "--binlog-row-value-options=PARTIAL_JSON")
# Without names in the log much is refused: it is one way in ten.
_MYSQL = (
    *[(*_GTIDS, NAMES), (*_GTIDS, NAMES), ("--gtid-mode=OFF", NAMES), (*_GTIDS, NAMES, *_PARTS)] * 2,
    (*_GTIDS, NAMES),
    _GTIDS,
)
_COMPRESSED = ("--log-bin-compress=ON", "--log-bin-compress-min-len=10")
_MARIADB = (*[(NAMES,), (NAMES,), (*_COMPRESSED, NAMES)] * 3, ())


def options_of(version: str, group: int) -> list[str]:
    """Of the group's server: the ways to run it in turn."""
    ways = _MARIADB if version.startswith("mariadb") else _MYSQL
    return [*ways[group % len(ways)]]


def build_server(version: str, options: list[str]) -> DatabaseServer:
    """Not yet started."""
    return DatabaseServer(VERSIONS[version](), [*QUICK, *options])


def read_dialect(server: DatabaseServer) -> Dialect:
    """What a grammar must know, asked from the server itself."""
    text = str(server.query("SELECT VERSION()")[0][0])
    numbers = tuple(int(part) for part in text.split("-")[0].split(".")[:3])
    if server.is_mariadb and numbers >= (10, 10):
        rows = server.query(
            "SELECT CHARACTER_SET_NAME, FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY ORDER BY 1, 2"
        )
    else:
        rows = server.query(
            "SELECT CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLLATIONS ORDER BY 1, 2"
        )
    collations: dict[str, list[str]] = {}
    for charset, collation in rows:
        if charset is not None and charset != "binary":
            collations.setdefault(str(charset), []).append(str(collation))
    return Dialect(server.is_mariadb, numbers, collations)
