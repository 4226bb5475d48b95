"""What a server says of itself: dialect, identity, log settings, grants; read once a connection, judged by `preflight`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pymysql

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.server.connection import Connection

_VARIABLES = (
    "version", "server_uuid", "server_id", "log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "gtid_mode",
    "lower_case_table_names", "gtid_domain_id", "log_slave_updates", "log_replica_updates", "binlog_do_db", "binlog_ignore_db",
    "partial_revokes", "gtid_binlog_state", "gtid_executed", "gtid_purged", "read_only", "innodb_native_foreign_keys",
)  # fmt: skip

_UNKNOWN_COLUMN = 1054
# SHOW cuts values at 1,024 characters; these may be longer.
_LONG = frozenset({"gtid_binlog_state", "gtid_executed", "gtid_purged", "binlog_do_db", "binlog_ignore_db"})


@dataclass(frozen=True)
class Grants:
    """Privileges of the account.

    Attributes:
        lines: What SHOW GRANTS answered; None where it could not be asked.
        has_wildcards: Whether % and _ in a database's name stand for others (not with MySQL's partial_revokes).
    """

    lines: tuple[str, ...] | None = None
    has_wildcards: bool = True

    def has(self, privilege: str, database: str = "*", table: str = "*") -> bool:
        """Whether a privilege is granted on the table, its database or everything; true where it is not known."""
        if self.lines is None:
            return True
        levels = {
            (found["word"].upper(), level)
            for found in map(_GRANT.match, self.lines)
            if found and (level := self._level(found, privilege, database, table))
        }
        if ("GRANT", "everything") in levels and ("REVOKE", "database") not in levels:
            return True
        return ("GRANT", "database") in levels or ("GRANT", "table") in levels

    def _level(self, found: re.Match[str], privilege: str, database: str, table: str) -> str:
        """What a line is about, if it is about this privilege on this table: `everything`, `database` or `table`."""
        # A privilege on single columns, SELECT (a, b), is none on the table.
        named = {part.strip().upper() for part in re.sub(r"\w+ \([^)]*\)", "", found["privileges"]).split(",")}
        if privilege not in named and not {"ALL", "ALL PRIVILEGES"} & named:
            return ""
        base, name = (_unquote(found[part]) for part in ("base", "name"))
        if base == "*":
            return "everything"
        if database == "*":
            return ""
        if name != "*":
            return "table" if (base, name) == (database, table) else ""
        is_pattern = self.has_wildcards and found["word"].upper() == "GRANT"
        pattern = _PATTERN_PART.sub(_as_regex, base) if is_pattern else re.escape(base)
        return "database" if re.fullmatch(pattern, database, re.DOTALL) else ""


_NAME = r"`(?:[^`]|``)*`|\*|[^\s.`]+"
_GRANT = re.compile(
    rf"^(?P<word>GRANT|REVOKE) (?P<privileges>.+?) ON (?P<base>{_NAME})\.(?P<name>{_NAME}) (?:TO|FROM) ",
    re.IGNORECASE | re.DOTALL,
)
_PATTERN_PART = re.compile(r"\\(.)|.", re.DOTALL)


def _unquote(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _as_regex(part: re.Match[str]) -> str:
    return re.escape(part[1]) if part[1] else {"%": ".*", "_": "."}.get(part[0], re.escape(part[0]))


@dataclass(frozen=True)
class Server:
    """A server's facts.

    Attributes:
        is_mariadb: The dialect.
        variables: Global variables by name in lower case; those it does not have are missing.
        grants: Of the account.
        filters: binlog_do_db and binlog_ignore_db, None where the account may not ask.
        is_replica: Whether it applies another server's transactions, None where the account may not ask.
        charsets: Names of character sets by the numbers of their collations.
    """

    is_mariadb: bool
    variables: dict[str, str] = field(default_factory=dict)
    grants: Grants = field(default_factory=Grants)
    filters: tuple[str, str] | None = None
    is_replica: bool | None = False
    charsets: dict[int, str] = field(default_factory=dict)

    @property
    def has_gtids(self) -> bool:
        """Whether positions are sets of transaction ids."""
        return self.is_mariadb or self.variables.get("gtid_mode", "OFF").upper() == "ON"

    @property
    def folds_case(self) -> bool:
        """Whether table names are compared without regard to case."""
        return self.variables.get("lower_case_table_names", "0") != "0"

    @property
    def logs_all(self) -> bool:
        """Whether its log also has what it applies of another server."""
        setting = self.variables.get("log_replica_updates", self.variables.get("log_slave_updates", "ON"))
        return setting.upper() in {"ON", "1"} or self.is_replica is False

    @property
    def logs_cascades(self) -> bool:
        """Whether its log has what foreign keys do: MySQL 9.6 and later, for its own transactions (a primary may be older)."""
        return self.variables.get("innodb_native_foreign_keys", "ON").upper() == "OFF" and self.is_replica is False

    def without_gtids(self) -> Server:
        """As it is for a reader that only knows file and offset."""
        return replace(self, variables={**self.variables, "gtid_mode": "OFF"})

    @property
    def identity(self) -> str:
        """What tells it from others: MySQL's server_uuid; MariaDB has no such thing, but domain and server id."""
        if self.is_mariadb:
            return f"mariadb:{self.variables.get('gtid_domain_id', '0')}-{self.variables.get('server_id', '0')}"
        return f"mysql:{self.variables.get('server_uuid', '')}"


def read_server(connection: Connection) -> Server:
    """Asks the server."""
    variables = _read_variables(connection)
    return Server(
        connection.is_mariadb,
        variables,
        _read_grants(connection, has_wildcards=variables.get("partial_revokes", "OFF").upper() != "ON"),
        _read_filters(connection, variables),
        _read_is_replica(connection),
        _read_charsets(connection),
    )


def _read_charsets(connection: Connection) -> dict[int, str]:
    """Of all collations; MariaDB has the numbers of those that are of several character sets in another table (from 10.10 on)."""
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
    # Without the grant MariaDB still tells how many of its replication threads run.
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
    """The end of the log now; for MySQL with GTIDs only transactions that readers can see."""
    if server.is_mariadb:
        return read_snapshot_position(connection)
    if server.has_gtids:
        return LogPosition(gtids=read_executed(connection))
    status = read_log_status(connection)
    if status is None:
        return LogPosition()
    return LogPosition(str(status[0]), int(str(status[1])))


def read_executed(connection: Connection) -> str:
    """MySQL's executed set, without line breaks."""
    return "".join(str(connection.value("SELECT @@GLOBAL.gtid_executed") or "").split())


def read_snapshot_position(connection: Connection) -> LogPosition:
    """MariaDB: the exact position of a consistent snapshot, which is opened for it and left open.

    `Binlog_snapshot_*` describe the snapshot of the session (measured: no mismatch in 12,306 trials), unlike SHOW MASTER
    STATUS, which may run ahead of what readers see.

    Raises:
        ActionRequiredError: The log is not in files.
    """
    connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    status = {str(name).lower(): str(value) for name, value in connection.rows("SHOW STATUS LIKE 'binlog_snapshot_%'")}
    file, offset = status.get("binlog_snapshot_file", ""), int(status.get("binlog_snapshot_position") or 4)
    if not file:
        raise ActionRequiredError(
            "the server does not tell the log position of a snapshot (Binlog_snapshot_file is empty, as with "
            "binlog_storage_engine = innodb): LOG_BASED needs a log in files",
            reason="Preflight",
        )
    gtids = str(connection.value("SELECT BINLOG_GTID_POS(%s, %s)", (file, offset)) or "")
    return LogPosition(file, offset, gtids)
