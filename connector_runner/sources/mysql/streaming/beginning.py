"""Where streams begin: at one position in the log, with the definitions that are valid there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pymysql

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.prepared import PreparedSearch, Wanted
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.definitions import read_definition
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import read_position, read_prepared
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.scan import find_prepared
from connector_runner.sources.mysql.types.names import fold_table
from connector_runner.sources.mysql.types.table import TableDefinition

# How often tables may be altered between two queries of their definitions, at the start.
DEFINITION_TRIES = 20
# How long XA transactions may take from their PREPARE to their end, where a copy would wait for them. Most take milliseconds; one that
# nobody finishes is for a person.
PREPARED_SECONDS = 5.0
PREPARED_POLL_SECONDS = 0.05


def first_copy(settings: Settings) -> Progress | None:
    """How far the copy of a new stream is; None where nothing is copied."""
    return Progress(is_cleared=True) if settings.copies else None


def position_beside(shared: LogPosition, definition: TableDefinition, copy: Progress | None) -> StreamPosition:
    """The position of a stream that begins where others are.

    For transactions that are prepared there it is unknown whether they have rows of the table: it is looked up when they commit.
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
        ActionRequiredError: An XA transaction with rows of the tables stays prepared, and the copy would wait for its locks.
    """
    found = dict(definitions)
    for _ in range(DEFINITION_TRIES):
        position = read_position(connection, server)
        connection.query("COMMIT")
        if is_copied and not server.is_mariadb and not server.has_gtids:
            _await_locks(connection, settings, server, position, found.values())
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
    return replace(current, dropped=known.dropped, order=known.order, is_guess=known.is_guess, suspects=known.suspects)


def _await_locks(
    connection: Connection, settings: Settings, server: Server, position: LogPosition, tables: Iterable[TableDefinition]
) -> None:
    """Waits until the XA transactions that are prepared now with rows of the tables are finished: the copy would wait for their locks.

    Raises:
        ActionRequiredError: One stays prepared for `PREPARED_SECONDS`.
    """
    waiting, deadline = _read_prepared(connection), time.monotonic() + PREPARED_SECONDS
    while waiting and time.monotonic() < deadline:
        time.sleep(PREPARED_POLL_SECONDS)
        waiting &= _read_prepared(connection)
    names = frozenset(fold_table((table.database, table.name), folds_case=server.folds_case) for table in tables)
    concerned = []
    for xid in sorted(waiting):
        search = PreparedSearch(Wanted(xid, position, names), server)
        find_prepared(settings, search)
        if search.is_too_large or search.events:
            concerned.append(bytes.fromhex(xid.replace(",", "")).decode("utf-8", "replace"))
    if concerned:
        raise ActionRequiredError(
            f"XA transactions with rows of the table are prepared and not finished ({', '.join(concerned[:5])}): without GTIDs the copy "
            "waits for their locks. Finish them (XA COMMIT or XA ROLLBACK)",
            reason="PreparedTransactions",
        )


def _read_prepared(connection: Connection) -> frozenset[str]:
    try:
        return read_prepared(connection)
    except pymysql.MySQLError:
        return frozenset()  # MySQL shows them only with XA_RECOVER_ADMIN; else the copy waits for them, and says so
