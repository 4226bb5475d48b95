"""Preflight: the requirements for following a table through the log; reports all that fail, each with its fix. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Mode
from connector_runner.sources.mysql.types.labels import has_hidden_labels
from connector_runner.sources.mysql.types.literals import can_resume_after, padded_keys
from connector_runner.sources.mysql.types.table import FoundTable

# Engines that keep a table's rows themselves and change them only by statements that this server logs.
LOGGED_ENGINES = frozenset({"innodb", "myisam", "aria", "memory", "archive", "csv", "rocksdb", "tokudb"})


@dataclass(frozen=True)
class Assessment:
    """The modes that a table can have.

    Attributes:
        modes: The available modes.
        unavailable: Why the others are not available, by mode.
    """

    modes: tuple[str, ...]
    unavailable: dict[str, str]


def server_problems(server: Server, account: str) -> list[str]:
    """What prevents any table from being followed, one sentence each, with the statement that fixes it."""
    variables = server.variables
    problems = []
    if variables.get("log_bin", "OFF").upper() not in {"ON", "1"}:
        problems.append("log_bin is OFF: start the server with --log-bin and a server_id")
    if (form := variables.get("binlog_format", "ROW").upper()) != "ROW":
        problems.append(f"binlog_format is {form}: SET GLOBAL binlog_format = 'ROW' (writers must reconnect)")
    if (image := variables.get("binlog_row_image", "FULL").upper()) not in {"FULL", "FULL_NODUP"}:
        problems.append(f"binlog_row_image is {image}: SET GLOBAL binlog_row_image = 'FULL' (writers must reconnect)")
    if not server.logs_all:
        name = "log_slave_updates" if server.is_mariadb else "log_replica_updates"
        replica = "it is a replica" if server.is_replica else "it may be a replica (the account can't see it)"
        problems.append(
            f"{replica} and {name} is OFF, so that its log misses what it applies: start it with --{name.replace('_', '-')}=ON"
        )
    needed = ["REPLICATION SLAVE"]
    if not server.is_mariadb and not server.has_gtids:
        needed += ["REPLICATION CLIENT", "LOCK TABLES"]
    missing = [privilege for privilege in needed if not server.grants.has(privilege)]
    # LOCK TABLES may be granted for the database; `table_problems` checks it again.
    missing = [privilege for privilege in missing if privilege != "LOCK TABLES"]
    if missing:
        names = ", ".join(missing)
        problems.append(f"the account lacks {names}: GRANT {names} ON *.* TO {account}")
    return problems


def table_problems(server: Server, table: FoundTable, account: str, *, ignores_cascades: bool = False) -> list[str]:
    """What prevents this table from being followed."""
    definition = table.definition
    problems = []
    if table.kind != "BASE TABLE":
        problems.append(f"it is a {table.kind.lower()}, whose rows the log does not show")
    elif table.engine and table.engine.lower() not in LOGGED_ENGINES:
        problems.append(
            f"its engine is {table.engine}: rows may change elsewhere (in the parts of a MERGE table, on another server) without this "
            "server's log showing it, or are logged and not kept. Follow the tables that hold the rows, or ALTER TABLE … ENGINE = InnoDB"
        )
    elif not definition.key:
        problems.append(
            "it has neither a primary key nor a unique index without NULLs: ALTER TABLE … ADD PRIMARY KEY (…)"
        )
    elif server.is_mariadb and (
        padded := padded_keys([definition.columns[place] for place in definition.key_places], definition.order)
    ):
        problems.append(
            f"its key has CHAR columns with a NO PAD collation ({', '.join(padded)}), which MariaDB's index sorts in another order than it "
            "compares them, so that a copy in parts would leave rows out: MODIFY them as VARCHAR, or use mode FULL_TABLE"
        )
    elif not can_resume_after([definition.columns[place] for place in definition.key_places]):
        problems.append(
            "its key has columns of FLOAT, DOUBLE or YEAR(2), or an ENUM or SET with labels that the server does not show, which "
            "can't be compared exactly: use a key of other columns"
        )
    problems += definition.problems()
    if server.variables.get("binlog_row_metadata", "").upper() != "FULL":
        problems += [
            f"column {column.name}: one of its labels has a question mark, or a character that the server does not show; only names "
            "in the log can identify it: SET GLOBAL binlog_row_metadata = 'FULL'"
            for column in definition.columns
            if has_hidden_labels(column)
        ]
    if table.cascades and not ignores_cascades and not server.logs_cascades:
        problems.append(_cascade_problem(server, ", ".join(table.cascades), account))
    if server.filters is not None and not is_logged(server.filters, definition.database):
        problems.append(f"binlog_do_db or binlog_ignore_db keeps the database {definition.database} out of the log")
    if not server.is_mariadb and not server.has_gtids and not _may_lock(server, definition.database, definition.name):
        problems.append(
            "without GTIDs the copy reads with FOR SHARE, for which the account lacks LOCK TABLES: "
            f"GRANT LOCK TABLES ON `{definition.database}`.* TO {account}, or set gtid_mode = ON"
        )
    return problems


def _cascade_problem(server: Server, names: str, account: str) -> str:
    text = (
        f"the foreign key {names} changes its rows without the log showing it (ON DELETE or ON UPDATE actions): replace "
        "the action by the application's own statements, or accept that with onCascade: ignore"
    )
    if replace(server, is_replica=False).logs_cascades and server.is_replica is None:
        text += (
            "; this server's log shows it unless it is a replica, which the account can't see: "
            f"GRANT REPLICATION CLIENT ON *.* TO {account}"
        )
    return text


def _may_lock(server: Server, database: str, table: str) -> bool:
    return any(server.grants.has(privilege, database, table) for privilege in ("LOCK TABLES", "UPDATE", "DELETE"))


def select_problems(server: Server, table: FoundTable, account: str) -> list[str]:
    """The problem if the account may not read the table at all."""
    database, name = table.definition.database, table.definition.name
    if server.grants.has("SELECT", database, name):
        return []
    return [f"the account lacks SELECT: GRANT SELECT ON `{database}`.`{name}` TO {account}"]


def is_logged(filters: tuple[str, str], database: str) -> bool:
    """Whether the filters let a database's changes into the log."""
    only, never = ({name.strip() for name in text.split(",") if name.strip()} for text in filters)
    return (not only or database in only) and database not in never


def assess(server: Server, table: FoundTable, account: str, *, ignores_cascades: bool = False) -> Assessment:
    """Which modes a table can have, and why not the others."""
    unavailable: dict[str, str] = {}
    select = select_problems(server, table, account)
    problems = select + server_problems(server, account)
    problems += table_problems(server, table, account, ignores_cascades=ignores_cascades)
    if problems:
        unavailable[Mode.LOG_BASED.value] = "; ".join(problems)
    unreadable = select + table.definition.problems()
    if unreadable:
        unavailable[Mode.INCREMENTAL.value] = unavailable[Mode.FULL_TABLE.value] = "; ".join(unreadable)
    modes = tuple(mode.value for mode in Mode if mode.value not in unavailable)
    return Assessment(modes, unavailable)
