"""Where streams begin: all of them at one position in the log, with the definitions that are valid there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pymysql

from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import RESET, ActionRequiredError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.source import Checkpoint, Report
from connector_runner.sources.mysql.binlog.position import LogPosition, join_positions
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.definitions import read_definition
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import read_position
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.answers import later_statement
from connector_runner.sources.mysql.streaming.followed_stream import FollowedStream
from connector_runner.sources.mysql.streaming.resume_check import check_resume
from connector_runner.sources.mysql.types.table import FoundTable, TableDefinition

# How often tables may be altered between two queries of their definitions, at the start.
DEFINITION_TRIES = 20


@dataclass(frozen=True)
class Beginning:
    """Where several streams begin.

    Attributes:
        log: The position in the log that they share.
        streams: The streams that are followed from there on.
        schemas: The schemas of all streams, including the parked ones.
    """

    log: LogPosition
    streams: list[FollowedStream]
    schemas: dict[str, StreamSchema]


def begin_together(
    connection: Connection, server: Server, settings: Settings, tables: Mapping[str, FoundTable],
    checkpoints: Mapping[str, Checkpoint | None], report: Report,
) -> Beginning:  # fmt: skip
    """Determines the one position at which several streams begin or resume.

    A stream without a checkpoint begins at the position of the others; one with an older position stays parked.

    Raises:
        ConnectorError: They can't begin.
    """
    known = {stream: checkpoint for stream, checkpoint in checkpoints.items() if checkpoint is not None}
    if not known:
        return _begin_new(connection, server, settings, tables)
    logs = {stream: LogPosition.from_json(_log_of(stream, checkpoint)) for stream, checkpoint in known.items()}
    newest = _newest(logs.values())
    joined = {stream: log for stream, log in logs.items() if _place(log) == _place(newest)}
    shared = join_positions(list(joined.values()))
    shared = replace(shared, rows=max(log.rows for log in joined.values()))
    identity = known[next(iter(joined))].identity
    try:
        resumed = check_resume(connection, settings, server, identity, shared)
    except LogGoneError as error:
        if not settings.resnapshots:
            raise
        return _begin_again(connection, server, tables, error, report)
    streams, schemas = [], {}
    for stream, checkpoint in known.items():
        stand = StreamPosition.from_json(stream, checkpoint.position)
        schemas[stream] = stand.definition.schema
        if stream not in joined:
            report.note(
                f"{stream} is paused at an older position in the log than the other streams: it is not followed"
            )
            continue
        moved = replace(stand.log, file=resumed.file, offset=resumed.offset, gtids=resumed.gtids)
        definition = with_defaults(stand.definition, tables[stream].definition)
        streams.append(FollowedStream(StreamPosition(moved, definition, stand.copy), resumed, tables[stream].rows))
    for stream in checkpoints.keys() - known.keys():
        table = tables[stream]
        schemas[stream] = table.definition.schema
        if later_statement(settings, server, table.definition, resumed) is not None:
            report.note(
                f"{stream} was changed since the place in the log where the other streams stand: it is followed after the next start"
            )
            continue
        # For transactions that are prepared there it is unknown whether they have rows of the table.
        start = replace(resumed, rows=0, transaction="", prepared=(*resumed.prepared, *resumed.others), others=())
        streams.append(
            FollowedStream(StreamPosition(start, table.definition, _first_copy(settings)), resumed, table.rows)
        )
    return Beginning(resumed, streams, schemas)


def _log_of(stream: str, checkpoint: Checkpoint) -> Mapping[str, Any]:
    log: Mapping[str, Any] | None = checkpoint.position.get("log")
    if log is None:
        raise ActionRequiredError(
            f"the dataset's checkpoint of {stream} is of another mode than LOG_BASED; choose another datasetId, or start over "
            f"with {RESET}",
            reason="ModeChanged",
        )
    return log


def _place(log: LogPosition) -> tuple[str, int, str]:
    return log.file, log.offset, log.gtids


def _newest(logs: Iterable[LogPosition]) -> LogPosition:
    newest, *others = logs
    for log in others:
        if log.has_reached(newest):
            newest = log
    return newest


def _first_copy(settings: Settings) -> Progress | None:
    return Progress(is_cleared=True) if settings.copies else None


def _begin_new(
    connection: Connection, server: Server, settings: Settings, tables: Mapping[str, FoundTable]
) -> Beginning:
    log, definitions = first_place(connection, server, {stream: table.definition for stream, table in tables.items()})
    streams = [
        FollowedStream(StreamPosition(log, definitions[stream], _first_copy(settings)), log, table.rows)
        for stream, table in tables.items()
    ]
    return Beginning(log, streams, {stream: definition.schema for stream, definition in definitions.items()})


def _begin_again(
    connection: Connection, server: Server, tables: Mapping[str, FoundTable], error: LogGoneError, report: Report
) -> Beginning:
    """Begins with new copies of all tables, since the next part of the log is gone."""
    log, definitions = first_place(connection, server, {stream: table.definition for stream, table in tables.items()})
    streams = []
    for stream, table in tables.items():
        report.count("resnapshots")
        incident = Incident("resnapshot", stream, f"{error.message}; the table is copied again", {})
        stand = StreamPosition(log, definitions[stream], Progress(is_cleared=False))
        streams.append(FollowedStream(stand, log, table.rows, incident))
    return Beginning(log, streams, {stream: definition.schema for stream, definition in definitions.items()})


def first_place(
    connection: Connection, server: Server, definitions: Mapping[str, TableDefinition]
) -> tuple[LogPosition, dict[str, TableDefinition]]:
    """The present end of the log, with the definitions that are valid there.

    Raises:
        TransientError: They changed each time.
        ActionRequiredError: An XA transaction is prepared.
    """
    found = dict(definitions)
    for _ in range(DEFINITION_TRIES):
        refuse_prepared(connection)
        position = read_position(connection, server)
        connection.query("COMMIT")
        again = {
            stream: read_definition(connection, known.database, known.name) or known for stream, known in found.items()
        }
        if again == found:
            return position, found
        found = again
    raise TransientError(
        f"{', '.join(sorted(found))} had other definitions each time they were asked for, {DEFINITION_TRIES} times",
        reason="DefinitionChanged",
    )


def with_defaults(known: TableDefinition, current: TableDefinition) -> TableDefinition:
    """The checkpoint's definition; the present one where they are equal (it also has the columns' defaults)."""
    if not current.equals(known):
        return known
    return replace(current, dropped=known.dropped, order=known.order, is_guess=known.is_guess)


def refuse_prepared(connection: Connection) -> None:
    """Refuses to start while an XA transaction is prepared: its rows are in the log before the start, its commit after it.

    Raises:
        ActionRequiredError: An XA transaction is prepared.
    """
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
