"""Where streams begin: at one position in the log, with the definitions that are valid there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pymysql

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.lookahead import FinishedBefore
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.definitions import read_definition
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import read_position
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.scan import scan
from connector_runner.sources.mysql.types.table import TableDefinition

# How often tables may be altered between two queries of their definitions, at the start.
DEFINITION_TRIES = 20
# How long XA transactions may take from their PREPARE to their end. Most take milliseconds; one that nobody finishes is for a person.
PREPARED_SECONDS = 5.0
PREPARED_POLL_SECONDS = 0.05


def first_copy(settings: Settings) -> Progress | None:
    """How far the copy of a new stream is; None where nothing is copied."""
    return Progress(is_cleared=True) if settings.copies else None


def position_beside(shared: LogPosition, definition: TableDefinition, copy: Progress | None) -> StreamPosition:
    """The position of a stream that begins where others are.

    For transactions that are prepared there it is unknown whether they have rows of the table.
    """
    log = replace(shared, rows=0, transaction="", prepared=(*shared.prepared, *shared.others), others=())
    return StreamPosition(log, definition, copy)


def first_place(
    connection: Connection,
    settings: Settings,
    server: Server,
    definitions: Mapping[str, TableDefinition],
    *,
    is_copied: bool,
) -> tuple[LogPosition, dict[str, TableDefinition]]:
    """The present end of the log, with the definitions that are valid there.

    Args:
        connection: To the server.
        settings: With which its log is read.
        server: Its facts.
        definitions: By stream, as they were a moment ago.
        is_copied: Whether the tables are copied from there on.

    Raises:
        TransientError: They changed each time.
        ActionRequiredError: An XA transaction stays prepared.
    """
    found = dict(definitions)
    for _ in range(DEFINITION_TRIES):
        position = read_position(connection, server)
        connection.query("COMMIT")
        await_prepared(connection, settings, server)
        again = {
            stream: read_definition(connection, known.database, known.name) or known for stream, known in found.items()
        }
        if again == found:
            return _without_finished(connection, settings, server, position) if is_copied else position, found
        found = again
    raise TransientError(
        f"{', '.join(sorted(found))} had other definitions each time they were asked for, {DEFINITION_TRIES} times",
        reason="DefinitionChanged",
    )


def _without_finished(connection: Connection, settings: Settings, server: Server, position: LogPosition) -> LogPosition:
    """The position, from which XA transactions that were prepared before it and are finished by now have no effect: a copy has their rows."""
    now = read_position(connection, server)
    connection.query("COMMIT")
    if now == position:
        return position
    finished = FinishedBefore(server)
    scan(settings, position, finished)
    return replace(position, others=(*position.others, *finished.found))


def with_defaults(known: TableDefinition, current: TableDefinition) -> TableDefinition:
    """The checkpoint's definition; the present one where they are equal (it also has the columns' defaults)."""
    if not current.equals(known):
        return known
    return replace(current, dropped=known.dropped, order=known.order, is_guess=known.is_guess, suspects=known.suspects)


def await_prepared(connection: Connection, settings: Settings, server: Server) -> None:
    """Waits until all XA transactions that are prepared now are finished: their rows are in the log before the start, their commits after it.

    With `onLogGap: resnapshot` one that stays prepared is no obstacle: when it commits, the table is copied again. But where the copy
    waits for locks (MySQL without GTIDs), it would wait for those of the transaction, too.

    Raises:
        ActionRequiredError: One stays prepared for `PREPARED_SECONDS`.
    """
    waiting, deadline = _read_prepared(connection), time.monotonic() + PREPARED_SECONDS
    while waiting and time.monotonic() < deadline:
        time.sleep(PREPARED_POLL_SECONDS)
        waiting &= _read_prepared(connection)
    copies_again = settings.resnapshots and (server.is_mariadb or server.has_gtids)
    if waiting and not copies_again:
        names = ", ".join(sorted(waiting)[:5])
        raise ActionRequiredError(
            f"XA transactions are prepared and not finished ({names}): their rows can't be seen by the copy nor in the log after "
            "it. Finish them (XA COMMIT or XA ROLLBACK)",
            reason="PreparedTransactions",
        )


def _read_prepared(connection: Connection) -> set[str]:
    try:
        prepared: list[Any] = connection.rows("XA RECOVER")
    except pymysql.MySQLError:
        return set()  # MySQL shows them only with XA_RECOVER_ADMIN; else the log's XA COMMIT of an unknown one is a gap
    return {str(row[3]) for row in prepared}
