"""The table, its rows and the server that every reader is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from connector_runner.schemas.config import config_problems, config_schema, fill_defaults
from tests.servers.mariadb import mariadb
from tests.servers.mysql import mysql
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer

DIALECTS = {"mysql": mysql, "mariadb": mariadb}
STREAM = "d.t"
TABLE = (
    "CREATE TABLE d.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, a INT, b BIGINT, c DOUBLE, d DECIMAL(12,2), e VARCHAR(40), "
    "f VARCHAR(60), g DATETIME(3), h DATE, i TINYINT)"
)
ROWS_A_STATEMENT = 50_000
BULK = (
    "INSERT INTO d.t (a,b,c,d,e,f,g,h,i) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i+1 FROM n WHERE i<1000) "
    "SELECT a.i, a.i*b.i*1000000, RAND(), RAND()*1e6, CONCAT('name ',a.i), CONCAT('some longer text ', a.i*b.i), "
    "'2024-01-01 00:00:00.123' + INTERVAL a.i*b.i SECOND, '2024-01-01' + INTERVAL MOD(a.i,3000) DAY, MOD(a.i,100) "
    "FROM n a JOIN n b ON b.i<=50"
)
SINGLE = (
    "INSERT INTO d.t (a,b,c,d,e,f,g,h,i) VALUES (1, 7000000, RAND(), RAND()*1e6, 'name 1', 'some longer text 7', "
    "'2024-01-01 00:00:00.123', '2024-01-01', 3)"
)
GTIDS = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON")
QUICK = ("--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--binlog-row-metadata=FULL")


@dataclass(frozen=True)
class Point:
    """A place in the log."""

    file: str
    offset: int


@contextmanager
def running(dialect: str) -> Iterator[DatabaseServer]:
    """A server of its own with the empty table; its commits don't wait for the disk, as loading is not what is measured."""
    distribution = DIALECTS[dialect]()
    with DatabaseServer(distribution, [*(() if distribution.is_mariadb else GTIDS), *QUICK]) as server:
        server.execute("CREATE DATABASE d", TABLE)
        yield server


def load_bulk(server: DatabaseServer, rows: int) -> None:
    """Rows in transactions of 50,000."""
    for _ in range(rows // ROWS_A_STATEMENT):
        server.execute(BULK)


def load_single(server: DatabaseServer, rows: int) -> None:
    """Rows in transactions of one."""
    with server.session() as cursor:
        for _ in range(rows):
            cursor.execute(SINGLE)


def end_of_log(server: DatabaseServer) -> Point:
    """Where the log ends now, with nobody writing."""
    file, offset = server.query("SHOW MASTER STATUS")[0][:2]
    return Point(str(file), int(offset))


def config_of(server: DatabaseServer, **options: Any) -> dict[str, Any]:
    """The source's configuration, without TLS, as no peer is measured with it."""
    account = {"host": server.host, "port": server.port, "user": ADMIN_USER, "password": ADMIN_PASSWORD}
    schema = config_schema("MYSQL")
    filled = fill_defaults({**account, "ssl": {"mode": "DISABLED"}, **options}, schema)
    if problems := config_problems(filled, schema):
        raise ValueError("; ".join(map(str, problems)))
    return filled
