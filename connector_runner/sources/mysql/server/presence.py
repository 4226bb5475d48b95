"""Whether tables are still there and may be read: servers may drop one without a word in the log, and the log needs no SELECT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pymysql

from connector_runner.protocols.errors import ConnectorError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.server.connection import Connection, connect
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import read_position
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.types.literals import quote_name
from connector_runner.sources.mysql.types.names import TableName

_GONE = {1049, 1146}  # no such database, no such table
_DENIED = {1044, 1142, 1143}  # to the database, the table, its columns
# How many tables one statement asks for.
TOGETHER = 100


@dataclass(frozen=True)
class Presence:
    """What a server says of tables.

    Attributes:
        missing: Those that are gone.
        position: A position in the log: every statement that removed one of them stands before it.
        denied: Those that the account may not read.
    """

    missing: frozenset[TableName] = frozenset()
    position: LogPosition = field(default_factory=LogPosition)
    denied: frozenset[TableName] = frozenset()


def read_presence(settings: Settings, server: Server, tables: Sequence[TableName]) -> Presence:
    """Which of the tables are gone, and which may not be read.

    Only what the server says counts; nothing is gone when it can't be asked.

    Args:
        settings: The server's address and the account.
        server: The server's facts.
        tables: (database, name) of each.
    """
    try:
        connection = connect(settings, purpose="presence")
    except ConnectorError:
        return Presence()  # the reader of the log finds out by itself
    try:
        # A SELECT waits for a statement that is removing the table until that is done and logged; but not for long.
        connection.query("SET SESSION lock_wait_timeout = 1")
        answers = {table: code for table in _suspects(connection, tables) if (code := _ask(connection, table))}
        missing = frozenset(table for table, code in answers.items() if code in _GONE)
        denied = frozenset(table for table, code in answers.items() if code in _DENIED)
        return Presence(missing, read_position(connection, server) if missing else LogPosition(), denied)
    except (pymysql.MySQLError, OSError, ConnectorError):
        return Presence()
    finally:
        connection.discard()


def _suspects(connection: Connection, tables: Sequence[TableName]) -> list[TableName]:
    """The tables of each statement that failed: it does not say for which of them."""
    found = list[TableName]()
    for start in range(0, len(tables), TOGETHER):
        some = tables[start : start + TOGETHER]
        if _ask(connection, *some):
            found += some
    return found


def _ask(connection: Connection, *tables: TableName) -> int:
    """The code of the error that reading the tables ends with; 0 if they can be read."""
    selects = (f"(SELECT 1 FROM {'.'.join(map(quote_name, table))} LIMIT 0)" for table in tables)  # noqa: S608 - quoted
    try:
        connection.rows(" UNION ALL ".join(selects))
    except pymysql.MySQLError as error:
        return int(error.args[0])
    return 0
