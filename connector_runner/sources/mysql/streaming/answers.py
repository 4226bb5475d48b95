"""Answers the log reader's questions, on separate connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pymysql

from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.lookahead import Changes, from_position
from connector_runner.sources.mysql.log_reader.questions import Answer, DescribeTable, FindPrepared, LookAhead, Question
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import connect
from connector_runner.sources.mysql.server.definitions import read_table
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.presence import Presence, read_presence
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.scan import find_prepared, scan
from connector_runner.sources.mysql.types.names import TableName
from connector_runner.sources.mysql.types.table import FoundTable, TableDefinition

POLL_SECONDS = 0.1


class Answers:
    """Gets answers from the server.

    Args:
        settings: The server's address and the account.
        server: The server's facts.
    """

    def __init__(self, settings: Settings, server: Server) -> None:
        self._settings, self._server = settings, server
        self._closed = threading.Event()

    def close(self) -> None:
        """Waits for nothing any more."""
        self._closed.set()

    def read_presence(self, tables: Sequence[TableName]) -> Presence:
        """Which tables are gone or may not be read, see `presence.read_presence`."""
        return read_presence(self._settings, self._server, tables)

    def answer(self, question: Question) -> Answer:
        """Answers a question.

        Raises:
            ConnectorError: The server can't be queried now.
        """
        match question:
            case DescribeTable(database, name, patience):
                return self._describe(database, name, patience)
            case LookAhead(position, lookahead):
                scan(self._settings, position, lookahead)
                return None
            case FindPrepared(search):
                find_prepared(self._settings, search)
                return None

    def _describe(self, database: str, name: str, patience: float) -> FoundTable | None:
        deadline = time.monotonic() + patience
        connection = connect(self._settings, purpose="definitions")
        try:
            while True:
                found = read_table(connection, database, name)
                if found is not None or time.monotonic() >= deadline or self._closed.wait(POLL_SECONDS):
                    return found
                connection.query("COMMIT")
        except pymysql.MySQLError as error:
            raise translate(error, f"reading the definition of {database}.{name}") from None
        finally:
            connection.close()


def later_statement(settings: Settings, server: Server, known: TableDefinition, position: LogPosition) -> str | None:
    """The next statement that alters the table between the position and the log's end.

    Raises:
        ConnectorError: The server can't be asked now.
    """
    lookahead = from_position(known, position, server)
    scan(settings, position, lookahead)
    return lookahead.later


def later_statements(
    settings: Settings, server: Server, known: Sequence[TableDefinition], position: LogPosition
) -> dict[str, str]:
    """The streams whose tables a statement between the position and the log's end alters, with the first one; the log is read once.

    Raises:
        ConnectorError: The server can't be asked now.
    """
    changes = Changes(known, server, position.shadows)
    scan(settings, position, changes)
    return changes.found
