"""A server's facts: dialect, identity, log settings, grants; read once a connection, checked by `preflight`. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Grants:
    """Privileges of the account.

    Attributes:
        lines: The result of SHOW GRANTS; None where it is not available.
        has_wildcards: Whether % and _ in a database's name are wildcards (not with MySQL's partial_revokes).
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
        """The level of a line that applies to this privilege on this table: `everything`, `database` or `table`; else ""."""
        # A privilege on single columns, SELECT (a, b), is not one on the table.
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
        is_mariadb: Whether it is a MariaDB, not a MySQL.
        variables: Global variables by name in lower case; those it does not have are missing.
        grants: The account's privileges.
        filters: binlog_do_db and binlog_ignore_db, None where the account may not see them.
        is_replica: Whether it applies another server's transactions, None where the account may not see it.
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
        """Whether its log also has the transactions that it applies from another server."""
        setting = self.variables.get("log_replica_updates", self.variables.get("log_slave_updates", "ON"))
        return setting.upper() in {"ON", "1"} or self.is_replica is False

    @property
    def logs_cascades(self) -> bool:
        """Whether its log has what foreign keys change: MySQL 9.6 and later, for its own transactions (a primary may be older)."""
        return self.variables.get("innodb_native_foreign_keys", "ON").upper() == "OFF" and self.is_replica is False

    @property
    def kept_seconds(self) -> float:
        """How long it keeps its log at least; 0 where no time is set."""
        seconds = float(self.variables.get("binlog_expire_logs_seconds", "0"))
        return seconds or float(self.variables.get("expire_logs_days", "0")) * 86400

    def without_gtids(self) -> Server:
        """The same server for a reader that has only file and offset."""
        return replace(self, variables={**self.variables, "gtid_mode": "OFF"})

    @property
    def identity(self) -> str:
        """What distinguishes it from other servers: server_uuid on MySQL; domain and server id on MariaDB, which has no UUID."""
        if self.is_mariadb:
            return f"mariadb:{self.variables.get('gtid_domain_id', '0')}-{self.variables.get('server_id', '0')}"
        return f"mysql:{self.variables.get('server_uuid', '')}"
