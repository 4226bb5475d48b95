"""Where several streams begin together: the one position in the log that they share, and which of them stand behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import RESET, ActionRequiredError, ConnectorError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.source import Checkpoint, Report
from connector_runner.sources.mysql.binlog.position import LogPosition, join_positions
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.answers import later_statements
from connector_runner.sources.mysql.streaming.beginning import first_copy, first_place, position_beside, with_defaults
from connector_runner.sources.mysql.streaming.followed_stream import FollowedStream
from connector_runner.sources.mysql.streaming.resume_check import check_resume
from connector_runner.sources.mysql.types.table import FoundTable

Tables = Mapping[str, FoundTable]


@dataclass
class Beginning:
    """Where several streams begin.

    Attributes:
        log: The position in the log that they share.
        streams: The streams that are followed from there on.
        behind: Those that stand at an older position of their own; one with a `failure` can't be read now.
        absent: Those without a position that can't begin there, and are tried again.
        schemas: The schemas of all streams that have a position or a table.
        failed: Why streams can't be read now.
    """

    log: LogPosition
    streams: list[FollowedStream] = field(default_factory=list)
    behind: list[FollowedStream] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    schemas: dict[str, StreamSchema] = field(default_factory=dict)
    failed: dict[str, ConnectorError] = field(default_factory=dict)


class Together:
    """Determines where several streams begin or resume.

    Args:
        connection, server, settings: The server, and how its log is read.
        report: Where to report notes.
        isolates: Whether a stream that can't resume is left behind; else its failure is raised.
    """

    def __init__(
        self, connection: Connection, server: Server, settings: Settings, report: Report, *, isolates: bool
    ) -> None:
        self._connection, self._server, self._settings = connection, server, settings
        self._report, self._isolates = report, isolates

    def begin(
        self, tables: Tables, failed: Mapping[str, ActionRequiredError], checkpoints: Mapping[str, Checkpoint | None]
    ) -> Beginning:
        """The beginning of all streams; one without a checkpoint begins at the position of the others.

        Args:
            tables: The tables of the streams that can be read.
            failed: Why the others can't be read.
            checkpoints: Of all streams.

        Raises:
            ConnectorError: They can't begin.
        """
        failures: dict[str, ActionRequiredError] = dict(failed)
        stands: dict[str, StreamPosition] = {}
        identities: dict[str, str] = {}
        for stream, checkpoint in checkpoints.items():
            if checkpoint is None:
                continue
            try:
                stands[stream] = _stand_of(stream, checkpoint)
            except ActionRequiredError as error:
                if not self._isolates:
                    raise
                failures[stream] = error
            identities[stream] = checkpoint.identity
        able = {stream: stand for stream, stand in stands.items() if stream in tables}
        able = {stream: stand for stream, stand in able.items() if stand.parked is None} or able
        fresh = {stream: tables[stream] for stream in tables if stream not in identities}
        if able:
            beginning = self._resume(able, tables, identities)
        elif fresh:
            beginning = self._begin_new(fresh)
            fresh = {}
        else:
            raise next(iter(failures.values()))
        beginning.failed |= failures
        joined = {stream.id for stream in beginning.streams}
        for stream, stand in stands.items():
            if stream not in joined:
                self._leave_behind(beginning, stand, tables.get(stream), identities[stream])
        self._add_new(beginning, fresh)
        beginning.absent += [stream for stream in failures if stream not in identities]
        for stream, failure in beginning.failed.items():
            self._report.note(
                f"{stream} can't be read, the others are: {failure.message}", stream=stream, reason=failure.reason
            )
        return beginning

    def _resume(self, able: Mapping[str, StreamPosition], tables: Tables, identities: Mapping[str, str]) -> Beginning:
        """The newest of the positions, with the streams that stand there."""
        newest = _newest(stand.log for stand in able.values())
        joined = {stream: stand for stream, stand in able.items() if _place(stand.log) == _place(newest)}
        shared = join_positions([stand.log for stand in joined.values()])
        shared = replace(shared, rows=max(stand.log.rows for stand in joined.values()))
        identity = identities[next(iter(joined))]
        try:
            resumed = check_resume(self._connection, self._settings, self._server, identity, shared)
        except LogGoneError as error:
            if not self._settings.resnapshots:
                raise
            return self._begin_again({stream: tables[stream] for stream in identities if stream in tables}, error)
        beginning = Beginning(resumed)
        for stream, stand in joined.items():
            moved = replace(stand.log, file=resumed.file, offset=resumed.offset, gtids=resumed.gtids)
            definition = with_defaults(stand.definition, tables[stream].definition)
            start = replace(stand, log=moved, definition=definition)
            beginning.streams.append(FollowedStream(start, resumed, tables[stream].rows))
            beginning.schemas[stream] = stand.definition.schema
        return beginning

    def _leave_behind(
        self, beginning: Beginning, stand: StreamPosition, table: FoundTable | None, identity: str
    ) -> None:
        """Adds a stream that stands at an older position, or that can't be read."""
        stream = stand.definition.id
        failure = beginning.failed.get(stream)
        beginning.schemas[stream] = stand.definition.schema
        try:
            stand = replace(
                stand, log=check_resume(self._connection, self._settings, self._server, identity, stand.log)
            )
        except LogGoneError as error:
            if self._settings.resnapshots and table is not None:
                self._report.count("resnapshots")
                incident = Incident("resnapshot", stream, f"{error.message}; the table is copied again", {})
                again = position_beside(beginning.log, table.definition, Progress(is_cleared=False))
                again = replace(again, parked=stand.parked)
                beginning.streams.append(FollowedStream(again, beginning.log, table.rows, incident))
                beginning.schemas[stream] = table.definition.schema
                return
            failure = failure or error
        except ActionRequiredError as error:
            failure = failure or error
        if failure is not None:
            if not self._isolates:
                raise failure
            beginning.failed[stream] = failure
        behind = FollowedStream(stand, beginning.log, None if table is None else table.rows, is_behind=True)
        behind.failure = failure
        beginning.behind.append(behind)

    def _add_new(self, beginning: Beginning, tables: Tables) -> None:
        """Adds streams without a position, unless their tables were altered after the position of the others."""
        log, definitions = beginning.log, [table.definition for table in tables.values()]
        changed = later_statements(self._settings, self._server, definitions, log) if definitions else {}
        for stream, table in tables.items():
            beginning.schemas[stream] = table.definition.schema
            if stream in changed:
                beginning.absent.append(stream)
                continue
            start = position_beside(log, table.definition, first_copy(self._settings))
            beginning.streams.append(FollowedStream(start, log, table.rows))

    def _begin_new(self, tables: Tables) -> Beginning:
        log, definitions = first_place(
            self._connection,
            self._settings,
            self._server,
            {stream: table.definition for stream, table in tables.items()},
            is_copied=self._settings.copies,
        )
        beginning = Beginning(log)
        for stream, definition in definitions.items():
            start = StreamPosition(log, definition, first_copy(self._settings))
            beginning.streams.append(FollowedStream(start, log, tables[stream].rows))
            beginning.schemas[stream] = definition.schema
        return beginning

    def _begin_again(self, tables: Tables, error: LogGoneError) -> Beginning:
        """Begins with new copies of all tables, since the next part of the log is gone."""
        log, definitions = first_place(
            self._connection,
            self._settings,
            self._server,
            {stream: table.definition for stream, table in tables.items()},
            is_copied=True,
        )
        beginning = Beginning(log)
        for stream, definition in definitions.items():
            self._report.count("resnapshots")
            incident = Incident("resnapshot", stream, f"{error.message}; the table is copied again", {})
            stand = StreamPosition(log, definition, Progress(is_cleared=False))
            beginning.streams.append(FollowedStream(stand, log, tables[stream].rows, incident))
            beginning.schemas[stream] = definition.schema
        return beginning


def _stand_of(stream: str, checkpoint: Checkpoint) -> StreamPosition:
    if "log" not in checkpoint.position:
        raise ActionRequiredError(
            f"the dataset's checkpoint of {stream} is of another mode than LOG_BASED; choose another datasetId, or start over "
            f"with {RESET}",
            reason="ModeChanged",
        )
    return StreamPosition.from_json(stream, checkpoint.position)


def _place(log: LogPosition) -> tuple[str, int, str]:
    return log.file, log.offset, log.gtids


def _newest(logs: Iterable[LogPosition]) -> LogPosition:
    newest, *others = logs
    for log in others:
        if log.has_reached(newest):
            newest = log
    return newest
