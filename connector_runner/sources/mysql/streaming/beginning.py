"""Where streams begin: at one position in the log, with the definitions that are valid there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pymysql

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.definitions import read_definition
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import read_position
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.types.table import TableDefinition

# How often tables may be altered between two queries of their definitions, at the start.
DEFINITION_TRIES = 20


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
