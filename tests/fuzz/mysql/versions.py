"""The servers that histories run on, with options drawn for a group of histories."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.fuzz.mysql.draw import Dialect
from tests.servers.mariadb import mariadb, mariadb_11_4, mariadb_11_8
from tests.servers.mysql import mysql, mysql_9_7
from tests.servers.mysqld import DatabaseServer, Distribution

VERSIONS: dict[str, Callable[[], Distribution]] = {
    "mysql-8.0": mysql, "mysql-9.7": mysql_9_7, "mariadb-10.11": mariadb, "mariadb-11.4": mariadb_11_4, "mariadb-11.8": mariadb_11_8,
}  # fmt: skip
# Nothing here must survive a crash of the machine; a kill of the server it does.
QUICK = ("--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--innodb-doublewrite=OFF", "--innodb-stats-persistent=OFF", "--innodb-flush-method=nosync",
         "--max-allowed-packet=64M", "--lower-case-table-names=0", "--max-connections=400")  # fmt: skip
NAMES = "--binlog-row-metadata=FULL"
_GTIDS = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON")
_PARTS = ("--binlog-transaction-compression=ON", "--binlog-row-value-options=PARTIAL_JSON")
_HIDDEN = "--show-gipk-in-create-table-and-information-schema=OFF"
# What is done once the server runs; it stands among the options, so that a kept history has it.
LONG_HISTORY = "@long-history"
_SOURCES, _DOMAINS = 60, 80
MEMORY, ROOM = Path("/dev/shm"), 3 << 30
"""A folder that is kept in memory, and the bytes that must be free there: a server with its log takes a tenth of them."""
# Without names in the log much is refused: it is one way in ten. The first three are what a small budget sees.
_MYSQL = (
    (*_GTIDS, NAMES, _HIDDEN), (*_GTIDS, NAMES, LONG_HISTORY, *_PARTS), ("--gtid-mode=OFF", NAMES), (*_GTIDS, NAMES),
    (*_GTIDS, NAMES, *_PARTS), ("--gtid-mode=OFF", NAMES, _HIDDEN), (*_GTIDS, NAMES), (*_GTIDS, NAMES, _HIDDEN), (*_GTIDS, NAMES, LONG_HISTORY), _GTIDS,
)  # fmt: skip
_COMPRESSED = ("--log-bin-compress=ON", "--log-bin-compress-min-len=10")
_MARIADB = (
    (NAMES,), (*_COMPRESSED, NAMES, LONG_HISTORY), (NAMES,), (NAMES,), (*_COMPRESSED, NAMES), (NAMES,), (NAMES, LONG_HISTORY), (NAMES,), (NAMES,), (),
)  # fmt: skip


def options_of(version: str, group: int) -> list[str]:
    """Of the group's server: the ways to run it in turn."""
    ways = _MARIADB if version.startswith("mariadb") else _MYSQL
    return [*ways[group % len(ways)]]


class PreparedServer(DatabaseServer):
    """A server that has a past when it is first used."""

    is_old = False

    def __enter__(self) -> Self:
        super().__enter__()
        if self.is_old:
            self.execute(*(_many_domains() if self.is_mariadb else [_many_sources()]))
        return self


def _many_sources() -> str:
    """As if many servers had been its source, with gaps: the set of all GTIDs is longer than what SHOW prints."""
    sets = ",".join(f"{number:08x}-1111-2222-3333-444444444444:1-5:7-{number + 9}" for number in range(_SOURCES))
    return f"SET GLOBAL gtid_purged = '+{sets}'"


def _many_domains() -> list[str]:
    said = [
        text
        for number in range(1, _DOMAINS)
        for text in (f"SET SESSION gtid_domain_id = {number * 7919}", "CREATE DATABASE IF NOT EXISTS past")
    ]
    return [*said, "SET SESSION gtid_domain_id = 0", "DROP DATABASE past"]


def fast_folder() -> Path | None:
    """In memory, where definitions change ten times as fast as on a disk; None where there is too little of it."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM
    return MEMORY if has_room else None


def build_server(version: str, options: list[str]) -> DatabaseServer:
    """Not yet started."""
    chosen = [*QUICK, *(option for option in options if option != LONG_HISTORY)]
    if version == "mariadb-11.4":
        chosen.append("--skip-ssl")  # else it makes a key at each start, with a slow library
    server = PreparedServer(VERSIONS[version](), chosen, folder=fast_folder())
    server.is_old = LONG_HISTORY in options
    return server


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
