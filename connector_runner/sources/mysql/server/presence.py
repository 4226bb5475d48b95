"""Whether tables are still there: servers may drop one without a word in the log."""

from __future__ import annotations

from collections.abc import Sequence

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


def find_missing(
    settings: Settings, server: Server, tables: Sequence[TableName]
) -> tuple[frozenset[TableName], LogPosition]:
    """Which of the tables are gone, and a position in the log: every statement that removed one of them stands before it.

    A table is only gone when the server says so; nothing is gone when it can't be asked, or does not let the account look.

    Args:
        settings: The server's address and the account.
        server: The server's facts.
        tables: (database, name) of each.
    """
    try:
        connection = connect(settings, purpose="presence")
    except ConnectorError:
        return frozenset(), LogPosition()  # the reader of the log finds out by itself
    try:
        # A SELECT waits for a statement that is removing the table until that is done and logged; but not for long.
        connection.query("SET SESSION lock_wait_timeout = 1")
        missing = frozenset(table for table in tables if _is_gone(connection, table))
        return missing, read_position(connection, server) if missing else LogPosition()
    except (pymysql.MySQLError, OSError, ConnectorError):
        return frozenset(), LogPosition()
    finally:
        connection.discard()


def _is_gone(connection: Connection, table: TableName) -> bool:
    try:
        connection.rows(f"SELECT 1 FROM {'.'.join(map(quote_name, table))} LIMIT 0")  # noqa: S608 - quoted
    except pymysql.MySQLError as error:
        return error.args[0] in _GONE
    return False
