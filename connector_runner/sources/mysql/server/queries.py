"""Queries to a server: its facts, and where its log ends."""

from __future__ import annotations

from collections.abc import Sequence

import pymysql

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.facts import Grants, Server

_VARIABLES = (
    "version", "server_uuid", "server_id", "log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "gtid_mode",
    "lower_case_table_names", "gtid_domain_id", "log_slave_updates", "log_replica_updates", "binlog_do_db", "binlog_ignore_db",
    "partial_revokes", "gtid_binlog_state", "gtid_executed", "gtid_purged", "read_only", "innodb_native_foreign_keys",
    "binlog_expire_logs_seconds", "expire_logs_days",
)  # fmt: skip

_UNKNOWN_COLUMN = 1054
# SHOW cuts off values at 1,024 characters; these may be longer.
_LONG = frozenset({"gtid_binlog_state", "gtid_executed", "gtid_purged", "binlog_do_db", "binlog_ignore_db"})


def read_server(connection: Connection) -> Server:
    """Queries the server's facts."""
    variables = _read_variables(connection)
    return Server(
        connection.is_mariadb,
        variables,
        _read_grants(connection, has_wildcards=variables.get("partial_revokes", "OFF").upper() != "ON"),
        _read_filters(connection, variables),
        _read_is_replica(connection),
        read_charsets(connection),
    )


def read_charsets(connection: Connection) -> dict[int, str]:
    """The character sets of all collations. MariaDB, from 10.10 on, lists collations with several sets in another table."""
    found: dict[int, str] = {}
    for table in ("COLLATIONS", "COLLATION_CHARACTER_SET_APPLICABILITY"):
        try:
            rows = connection.rows(
                f"SELECT ID, CHARACTER_SET_NAME FROM information_schema.{table} WHERE ID IS NOT NULL"  # noqa: S608 - fixed words
            )
        except pymysql.MySQLError as error:
            if error.args[0] != _UNKNOWN_COLUMN:
                raise
            continue
        found |= {int(number): str(charset) for number, charset in rows if charset is not None}
    return found


def _read_variables(connection: Connection) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in _VARIABLES)
    rows = connection.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    variables = {str(name).lower(): str(value) for name, value in rows}
    for name in _LONG & variables.keys():
        variables[name] = str(connection.value(f"SELECT @@GLOBAL.{name}") or "")
    return variables


def _read_is_replica(connection: Connection) -> bool | None:
    for statement in (
        ("SHOW ALL SLAVES STATUS",) if connection.is_mariadb else ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")
    ):
        try:
            return bool(connection.rows(statement))
        except pymysql.err.ProgrammingError:
            continue  # MySQL before 8.0.22 knows only the second
        except pymysql.MySQLError:
            break
    # Without the grant MariaDB still shows how many of its replication threads run.
    running = connection.rows("SHOW GLOBAL STATUS LIKE 'Slaves_running'") if connection.is_mariadb else []
    return str(running[0][1]) != "0" if running else None


def _read_grants(connection: Connection, *, has_wildcards: bool) -> Grants:
    try:
        statement = "SHOW GRANTS"
        if not connection.is_mariadb:
            roles = str(connection.value("SELECT CURRENT_ROLE()") or "NONE")
            statement = "SHOW GRANTS FOR CURRENT_USER()" + ("" if roles == "NONE" else f" USING {roles}")
        return Grants(tuple(str(row[0]) for row in connection.rows(statement)), has_wildcards)
    except pymysql.MySQLError:
        return Grants()


def _read_filters(connection: Connection, variables: dict[str, str]) -> tuple[str, str] | None:
    if "binlog_do_db" in variables:  # MariaDB 11.7 and later
        return variables["binlog_do_db"], variables.get("binlog_ignore_db", "")
    status = read_log_status(connection)
    return None if status is None else (str(status[2]), str(status[3]))


def read_log_status(connection: Connection) -> Sequence[object] | None:
    """File, offset, do_db, ignore_db, …; None without the grant (or without a log)."""
    for statement in ("SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"):
        try:
            rows = connection.rows(statement)
        except pymysql.err.ProgrammingError:
            continue  # MySQL 8.4 knows only the second, others only the first
        except pymysql.MySQLError:
            return None
        return rows[0] if rows else None
    return None


def read_position(connection: Connection, server: Server) -> LogPosition:
    """The present end of the log; on MySQL with GTIDs it covers only transactions that readers can see."""
    if server.is_mariadb:
        return read_snapshot_position(connection)
    if server.has_gtids:
        return LogPosition(gtids=read_executed(connection))
    status = read_log_status(connection)
    if status is None:
        return LogPosition()
    return LogPosition(str(status[0]), int(str(status[1])))


def read_prepared(connection: Connection) -> frozenset[str]:
    """The ids of all XA transactions that are prepared, as `events.parse_xid` gives them."""
    found = set()
    for _, size, _, data in connection.rows("XA RECOVER"):
        raw = data if isinstance(data, bytes) else str(data).encode("utf-8", "surrogateescape")
        found.add(f"{raw[: int(str(size))].hex()},{raw[int(str(size)) :].hex()}")
    return frozenset(found)


def read_executed(connection: Connection) -> str:
    """MySQL's executed set, without line breaks."""
    return "".join(str(connection.value("SELECT @@GLOBAL.gtid_executed") or "").split())


def read_snapshot_position(connection: Connection) -> LogPosition:
    """MariaDB: the exact position of a consistent snapshot, which this opens and leaves open.

    `Binlog_snapshot_*` describe the snapshot of the session (measured: no mismatch in 12,306 trials), unlike SHOW MASTER
    STATUS, which may run ahead of what readers see.

    Raises:
        ActionRequiredError: The log is not stored in files.
    """
    connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    status = {str(name).lower(): str(value) for name, value in connection.rows("SHOW STATUS LIKE 'binlog_snapshot_%'")}
    file, offset = status.get("binlog_snapshot_file", ""), int(status.get("binlog_snapshot_position") or 4)
    if not file:
        raise ActionRequiredError(
            "the server does not report the log position of a snapshot (Binlog_snapshot_file is empty, as with "
            "binlog_storage_engine = innodb): LOG_BASED needs a log in files",
            reason="Preflight",
        )
    gtids = str(connection.value("SELECT BINLOG_GTID_POS(%s, %s)", (file, offset)) or "")
    return LogPosition(file, offset, gtids)
