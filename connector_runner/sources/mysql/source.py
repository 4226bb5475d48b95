"""The MYSQL source: opens a stream in the configured mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import pymysql

from connector_runner.protocols.batch import Batch, Incident
from connector_runner.protocols.errors import (
    RESET,
    ActionRequiredError,
    InvalidConfigError,
    TransientError,
    UnknownStreamError,
)
from connector_runner.protocols.source import Checkpoint, Opened, SourceContext, only_stream
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.sources.mysql.discovery import find_table, read_account, read_catalogue
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import Connection, connect
from connector_runner.sources.mysql.server.definitions import read_definition
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.preflight import judge
from connector_runner.sources.mysql.server.queries import read_position, read_server
from connector_runner.sources.mysql.settings import Mode, Settings, parse_settings
from connector_runner.sources.mysql.snapshot.polling import Poller
from connector_runner.sources.mysql.streaming.answers import later_statement
from connector_runner.sources.mysql.streaming.log_based import LogBasedStream
from connector_runner.sources.mysql.streaming.resume_check import check_resume
from connector_runner.sources.mysql.types.labels import has_hidden_labels
from connector_runner.sources.mysql.types.table import FoundTable, TableDefinition

Result = TypeVar("Result")
# So often a table may be altered between two questions about it, at the start.
_DEFINITION_TRIES = 20


class MysqlSource:
    """One stream of a MySQL or MariaDB server."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._settings: Settings = parse_settings(context.config, context.connector)
        self._reader: LogBasedStream | Poller | None = None

    async def discover(self, selected: str | None) -> Catalogue:
        """See `Source.discover`."""
        return await self._ask(lambda connection, server: read_catalogue(connection, server, self._settings, selected))

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        """See `Source.open`; one stream, so far."""
        stream, checkpoint = only_stream(checkpoints, "MYSQL")
        if self._settings.mode is Mode.INCREMENTAL and not self._settings.cursor_column:
            raise InvalidConfigError(["config.cursorColumn: is required by mode INCREMENTAL"])
        opened: Opened = await self._ask(lambda connection, server: self._open(connection, server, stream, checkpoint))
        self._context.report.connected()
        return opened

    async def batches(self) -> AsyncIterator[Batch]:
        """See `Source.batches`."""
        assert self._reader is not None, "open comes first"  # noqa: S101 - a programming error
        async for batch in self._reader.batches():
            yield batch

    async def close(self) -> None:
        """See `Source.close`."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    async def _ask(self, question: Callable[[Connection, Server], Result]) -> Result:
        """Runs a blocking question on a connection of its own."""

        def ask() -> Result:
            connection = connect(self._settings, purpose="discovery")
            try:
                return question(connection, read_server(connection))
            except Exception as error:
                failure = translate(error, f"asking {self._settings.host}:{self._settings.port}")
                raise failure from (None if isinstance(error, pymysql.MySQLError | OSError) else error)
            finally:
                connection.discard()

        return await asyncio.to_thread(ask)

    def _open(self, connection: Connection, server: Server, stream: str, checkpoint: Checkpoint | None) -> Opened:
        try:
            table = find_table(connection, self._settings, stream)
        except UnknownStreamError:
            vanished = self._vanished(server, stream, checkpoint)
            if vanished is None:
                raise
            table = vanished
        self._require_mode(connection, server, table)
        if self._settings.mode is not Mode.LOG_BASED:
            self._reader = Poller(self._settings, server, table, checkpoint, self._context.report)
            return Opened({stream: table.definition.schema}, server.identity)
        if checkpoint is None:
            place, incident = self._first_place(connection, server, table), None
        else:
            place, incident = self._resumed(connection, server, table, checkpoint)
        if place.log.file and not place.log.gtids:
            server = server.without_gtids()
        self._reader = LogBasedStream(self._settings, server, place, table.rows, self._context.report, incident)
        return Opened({stream: place.definition.schema}, server.identity)

    def _vanished(self, server: Server, stream: str, checkpoint: Checkpoint | None) -> FoundTable | None:
        """A table that was dropped or renamed since the checkpoint: the log is followed to the statement, which is then told."""
        if self._settings.mode is not Mode.LOG_BASED or checkpoint is None or "log" not in checkpoint.position:
            return None
        place = StreamPosition.from_json(stream, checkpoint.position)
        if checkpoint.identity != server.identity:
            return None
        if later_statement(self._settings, server, place.definition, place.log) is None:
            return None
        return FoundTable(place.definition, "BASE TABLE", "")

    def _require_mode(self, connection: Connection, server: Server, table: FoundTable) -> None:
        mode = self._settings.mode
        account = read_account(connection)
        judgement = judge(server, table, account, ignores_cascades=self._settings.ignores_cascades)
        if reason := judgement.unavailable.get(mode.value):
            raise ActionRequiredError(
                f"{table.definition.id} can't be read with mode {mode.value}: {reason}", reason="Preflight"
            )
        if mode is Mode.INCREMENTAL and self._settings.cursor_column not in table.definition.names:
            raise InvalidConfigError(
                [f"config.cursorColumn: {table.definition.id} has no column {self._settings.cursor_column!r}; it has "
                 f"{', '.join(table.definition.names)}"]
            )  # fmt: skip
        cursor = [column for column in table.definition.columns if column.name == self._settings.cursor_column]
        if mode is Mode.INCREMENTAL and any(map(has_hidden_labels, cursor)):
            raise InvalidConfigError(
                [f"config.cursorColumn: the labels of {self._settings.cursor_column!r} can't be compared exactly, since the server does "
                 "not show all of them; choose another column"]
            )  # fmt: skip

    def _first_place(self, connection: Connection, server: Server, table: FoundTable) -> StreamPosition:
        """The log's end now, with the definition that holds there."""
        definition = table.definition
        for _ in range(_DEFINITION_TRIES):
            _refuse_prepared(connection)
            position = read_position(connection, server)
            connection.query("COMMIT")
            again = read_definition(connection, definition.database, definition.name)
            if again is None or again == definition:
                return StreamPosition(
                    position, definition, Progress(is_cleared=True) if self._settings.copies else None
                )
            definition = again
        raise TransientError(
            f"{definition.id} had another definition each time it was asked for, {_DEFINITION_TRIES} times",
            reason="DefinitionChanged",
        )

    def _resumed(
        self, connection: Connection, server: Server, table: FoundTable, checkpoint: Checkpoint
    ) -> tuple[StreamPosition, Incident | None]:
        stream = table.definition.id
        if "log" not in checkpoint.position:
            raise ActionRequiredError(
                f"the dataset's checkpoint of {stream} is of another mode than LOG_BASED; choose another datasetId, or start over "
                f"with {RESET}",
                reason="ModeChanged",
            )
        place = StreamPosition.from_json(stream, checkpoint.position)
        try:
            log = check_resume(connection, self._settings, server, checkpoint.identity, place.log)
        except LogGoneError as error:
            if not self._settings.resnapshots:
                raise
            log = read_position(connection, server)
            self._context.report.count("resnapshots")
            incident = Incident("resnapshot", stream, f"{error.message}; the table is copied again", {})
            return StreamPosition(log, table.definition, Progress(is_cleared=False)), incident
        return StreamPosition(log, _with_defaults(place.definition, table.definition), place.copy), None


def _with_defaults(known: TableDefinition, current: TableDefinition) -> TableDefinition:
    """The checkpoint's definition; the present one where they agree (it also knows the columns' defaults)."""
    if not current.equals(known):
        return known
    return replace(current, dropped=known.dropped, order=known.order, is_guess=known.is_guess)


def _refuse_prepared(connection: Connection) -> None:
    """Rows of an XA transaction that is prepared now are in the log before the start, its commit after it."""
    try:
        prepared: list[Any] = connection.rows("XA RECOVER")
    except pymysql.MySQLError:
        return  # MySQL shows them only with XA_RECOVER_ADMIN; else the log's XA COMMIT of an unknown one is a gap
    if prepared:
        names = ", ".join(str(row[3]) for row in prepared[:5])
        raise ActionRequiredError(
            f"XA transactions are prepared and not finished ({names}): their rows can't be seen by the copy nor in the log after "
            "it. Finish them (XA COMMIT or XA ROLLBACK)",
            reason="PreparedTransactions",
        )
