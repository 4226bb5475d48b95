"""Finds the tables of streams, and checks whether each can be read in the configured mode."""

from __future__ import annotations

from collections.abc import Mapping

import pymysql

from connector_runner.protocols.errors import (
    ActionRequiredError,
    InvalidConfigError,
    UnknownStreamError,
)
from connector_runner.protocols.source import Checkpoint
from connector_runner.sources.mysql.discovery import find_table, read_account
from connector_runner.sources.mysql.position import StreamPosition
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.definitions import SYSTEM_DATABASES, read_tables
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.preflight import assess
from connector_runner.sources.mysql.settings import Mode, Settings
from connector_runner.sources.mysql.streaming.answers import later_statement
from connector_runner.sources.mysql.types.labels import has_hidden_labels
from connector_runner.sources.mysql.types.table import FoundTable

# From this number of streams on all tables of their databases are read at once.
MANY = 8


class TableFinder:
    """Asks one server about tables, over one connection.

    Args:
        connection: The connection.
        server: The server's facts.
        settings: The mode, and what it requires.
    """

    def __init__(self, connection: Connection, server: Server, settings: Settings) -> None:
        self._connection, self._server, self._settings = connection, server, settings
        self._known: dict[str, FoundTable] = {}
        self._account = read_account(connection)

    def find_all(
        self, checkpoints: Mapping[str, Checkpoint | None], *, isolates: bool
    ) -> tuple[dict[str, FoundTable], dict[str, ActionRequiredError]]:
        """The tables of several streams, and why others can't be read.

        Args:
            checkpoints: The streams, with their checkpoints.
            isolates: Whether streams that can't be read are told; else the first one is raised.

        Raises:
            ConnectorError: None can be read, or the server can't be asked.
        """
        if len(checkpoints) >= MANY:
            self._read_databases(checkpoints)
        tables, failed = dict[str, FoundTable](), dict[str, ActionRequiredError]()
        for stream, checkpoint in checkpoints.items():
            try:
                tables[stream] = self.find(stream, checkpoint)
            except ActionRequiredError as error:
                if not isolates:
                    raise
                failed[stream] = error
        if not tables:
            raise next(iter(failed.values()))
        return tables, failed

    def _read_databases(self, streams: Mapping[str, Checkpoint | None]) -> None:
        for database in sorted({stream.partition(".")[0] for stream in streams} - set(SYSTEM_DATABASES)):
            tables = read_tables(self._connection, database)
            self._known |= {table.definition.id: table for table in tables if table.definition.id in streams}

    def find(self, stream: str, checkpoint: Checkpoint | None) -> FoundTable:
        """The table of a stream, which can be read.

        Raises:
            ConnectorError: It can't be read in the configured mode, or the server can't be asked.
        """
        try:
            try:
                table = self._known.get(stream) or find_table(self._connection, self._settings, stream)
            except UnknownStreamError:
                vanished = self._vanished(stream, checkpoint)
                if vanished is None:
                    raise
                table = vanished
            self._require_mode(table)
        except (pymysql.MySQLError, OSError) as error:
            raise translate(error, f"reading the definition of {stream}") from None
        return table

    def _vanished(self, stream: str, checkpoint: Checkpoint | None) -> FoundTable | None:
        """A table that was dropped or renamed since the checkpoint: the log is read up to the statement, which is then reported."""
        if self._settings.mode is not Mode.LOG_BASED or checkpoint is None or "log" not in checkpoint.position:
            return None
        place = StreamPosition.from_json(stream, checkpoint.position)
        if checkpoint.identity != self._server.identity:
            return None
        if later_statement(self._settings, self._server, place.definition, place.log) is None:
            return None
        return FoundTable(place.definition, "BASE TABLE", "")

    def _require_mode(self, table: FoundTable) -> None:
        mode, cursor_column = self._settings.mode, self._settings.cursor_column
        assessment = assess(self._server, table, self._account, ignores_cascades=self._settings.ignores_cascades)
        if reason := assessment.unavailable.get(mode.value):
            raise ActionRequiredError(
                f"{table.definition.id} can't be read with mode {mode.value}: {reason}", reason="Preflight"
            )
        if mode is not Mode.INCREMENTAL:
            return
        if cursor_column not in table.definition.names:
            raise InvalidConfigError(
                [f"config.cursorColumn: {table.definition.id} has no column {cursor_column!r}; it has "
                 f"{', '.join(table.definition.names)}"]
            )  # fmt: skip
        if any(has_hidden_labels(column) for column in table.definition.columns if column.name == cursor_column):
            raise InvalidConfigError(
                [f"config.cursorColumn: the labels of {cursor_column!r} can't be compared exactly, since the server does "
                 "not show all of them; choose another column"]
            )  # fmt: skip
