"""The MYSQL source: opens a stream in the configured mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import TypeVar

import pymysql

from connector_runner.protocols.batch import Batch, Incident
from connector_runner.protocols.errors import (
    RESET,
    ActionRequiredError,
    InvalidConfigError,
)
from connector_runner.protocols.source import Checkpoint, Opened, SourceContext
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.sources.mysql.discovery import read_catalogue
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import Connection, connect
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import read_server
from connector_runner.sources.mysql.settings import Mode, Settings, parse_settings
from connector_runner.sources.mysql.snapshot.polling import Poller
from connector_runner.sources.mysql.streaming.beginning import first_copy, first_place, with_defaults
from connector_runner.sources.mysql.streaming.log_based import LogBasedStream
from connector_runner.sources.mysql.streaming.many_streams import ManyStreams
from connector_runner.sources.mysql.streaming.resume_check import check_resume
from connector_runner.sources.mysql.streaming.table_finder import TableFinder
from connector_runner.sources.mysql.streaming.together import Together
from connector_runner.sources.mysql.types.table import FoundTable

Result = TypeVar("Result")


class MysqlSource:
    """One stream of a MySQL or MariaDB server."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._settings: Settings = parse_settings(context.config, context.connector)
        self._reader: LogBasedStream | ManyStreams | Poller | None = None

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        """See `Source.discover`."""
        wanted = (*([selected] if selected is not None else []), *also)
        return await self._ask(lambda connection, server: read_catalogue(connection, server, self._settings, wanted))

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        """See `Source.open`; several streams share one log."""
        if self._settings.mode is Mode.INCREMENTAL and not self._settings.cursor_column:
            raise InvalidConfigError(["config.cursorColumn: is required by mode INCREMENTAL"])
        opened: Opened = await self._ask(lambda connection, server: self._open_all(connection, server, checkpoints))
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
        """Runs a blocking query on its own connection."""

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

    def _open_all(self, connection: Connection, server: Server, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        finder = TableFinder(connection, server, self._settings)
        if len(checkpoints) == 1:
            ((stream, checkpoint),) = checkpoints.items()
            return self._open(connection, server, stream, finder.find(stream, checkpoint), checkpoint)
        if self._settings.mode is not Mode.LOG_BASED:
            raise InvalidConfigError(
                [f"config.mode: {self._settings.mode.value} carries one stream; several need LOG_BASED"]
            )
        isolates, report = self._context.isolates, self._context.report
        tables, failed = finder.find_all(checkpoints, isolates=isolates)
        beginning = Together(connection, server, self._settings, report, isolates=isolates).begin(
            tables, failed, checkpoints
        )
        if beginning.log.file and not beginning.log.gtids:
            server = server.without_gtids()
        self._reader = ManyStreams(
            self._settings, server, beginning, report, isolates=isolates, appeared=self._context.appeared
        )
        return Opened(beginning.schemas, server.identity, beginning.failed)

    def _open(
        self, connection: Connection, server: Server, stream: str, table: FoundTable, checkpoint: Checkpoint | None
    ) -> Opened:
        if self._settings.mode is not Mode.LOG_BASED:
            self._reader = Poller(self._settings, server, table, checkpoint, self._context.report)
            return Opened({stream: table.definition.schema}, server.identity)
        if checkpoint is None:
            copy = first_copy(self._settings)
            place, incident = self._first_place(connection, server, table, copy), None
        else:
            place, incident = self._resumed(connection, server, table, checkpoint)
        if place.log.file and not place.log.gtids:
            server = server.without_gtids()
        self._reader = LogBasedStream(self._settings, server, place, table.rows, self._context.report, incident)
        return Opened({stream: place.definition.schema}, server.identity)

    def _first_place(
        self, connection: Connection, server: Server, table: FoundTable, copy: Progress | None
    ) -> StreamPosition:
        """The present end of the log, with the definition that is valid there."""
        stream, is_copied = table.definition.id, copy is not None
        log, found = first_place(connection, self._settings, server, {stream: table.definition}, is_copied=is_copied)
        return StreamPosition(log, found[stream], copy)

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
            self._context.report.count("resnapshots")
            incident = Incident("resnapshot", stream, f"{error.message}; the table is copied again", {})
            return self._first_place(connection, server, table, Progress(is_cleared=False)), incident
        return StreamPosition(log, with_defaults(place.definition, table.definition), place.copy), None
