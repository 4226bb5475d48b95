"""The files in the data directory that hold the ledgers of what goes out by HTTP.

A connector of one stream has a file of its own stream and table; a selection has one file for all of its streams, and once that exists
the connector's single streams use it too. A stream that has a position only in a file of its own is moved: that row gets another epoch and
a form that no runner can start from, then the row is entered in the selection's file. A kill between the two leaves a
row that is moved again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from connector_runner.datasets.blocking.database import Begun, BlockingConnection
from connector_runner.datasets.fencing import Holder, encode_position, next_epoch
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.places import ANCHOR, encode_place, place_in
from connector_runner.datasets.procedure import Procedure, Statement, run
from connector_runner.datasets.recorded import read_stored
from connector_runner.datasets.sqlite.connection import SqliteFile
from connector_runner.protocols.sink import SinkContext, StoredStream

T = TypeVar("T")

# Stands in the row that was moved, as the UID of who holds it.
MOVED = "moved"
PATTERN = "connector-*.checkpoint.db"


def _name(connector: str, stream: str, table: str) -> str:
    digest = hashlib.sha256("\0".join([connector, stream, table]).encode()).hexdigest()[:16]
    return f"connector-{digest}.checkpoint.db"


def _common_name(context: SinkContext) -> str:
    return _name(context.connector, *ANCHOR)


def _file(context: SinkContext, name: str) -> SqliteFile:
    return SqliteFile(lambda: _url(name), context.directory)


def _url(name: str) -> str:
    return f"sqlite:///{name}"


def ledger_file(context: SinkContext) -> SqliteFile:
    """The file that holds the ledger: the selection's if there is one, else that of the only stream."""
    return SqliteFile(lambda: ledger_url(context), context.directory)


def ledger_url(context: SinkContext) -> str:
    """The URL of that file."""
    if is_common(context):
        return _url(_common_name(context))
    ((stream, table),) = context.tables.items()
    return _url(_name(context.connector, stream, table))


def is_common(context: SinkContext) -> bool:
    """Whether the selection's file is the one in use."""
    return context.has_anchor or (context.directory / _common_name(context)).exists()


def other_files(context: SinkContext) -> list[Path]:
    """The files beside the selection's; those of other connectors too."""
    return [path for path in sorted(context.directory.glob(PATTERN)) if path.name != _common_name(context)]


def read_streams(context: SinkContext, ledger: Ledger) -> list[StoredStream]:
    """The streams of the connector with a position in the files of single streams that were not moved; changes nothing."""
    stored = run_in_others(context, lambda: read_stored(ledger, context.connector))
    return [stream for one in stored for stream in one.streams if stream.has_position and not stream.is_member]


def run_in_others(context: SinkContext, build: Callable[[], Procedure[T]]) -> list[T]:
    """Runs a procedure in each of the files of single streams, if the file in use is the selection's."""
    if not is_common(context):
        return []
    found = []
    for path in other_files(context):
        with _opened(_file(context, path.name), create=False) as connection:
            found.append(run(connection, build()))
    return found


def move_rows(context: SinkContext, ledger: Ledger) -> None:
    """Enters the claimed streams that have a position only in a file of their own in the selection's file, if there is one.

    Raises:
        ClaimRefusedError: A later run of the connector holds one.
    """
    if not is_common(context) or not (others := other_files(context)):
        return
    keys = {stream.key for stream in ledger.streams.values()}
    with _opened(_file(context, _common_name(context))) as target:
        with Begun(target, SqliteFile.begin):
            run(target, ledger.create())
        missing = keys - {_key(row) for row in run(target, _rows(ledger))}
        for path in others if missing else ():
            with _opened(_file(context, path.name), create=False) as connection:
                rows = _take(connection, context, ledger, missing)
            with Begun(target, SqliteFile.begin):
                for row in rows:
                    run(target, _enter(ledger, row))
            missing -= {_key(row) for row in rows}


@contextlib.contextmanager
def _opened(file: SqliteFile, *, create: bool = True) -> Iterator[BlockingConnection]:
    with file.explained(), contextlib.closing(file.connect(create=create)) as connection:
        yield connection


def _key(row: Holder) -> tuple[str, str, str]:
    return (row.connector, row.stream, row.table)


def _rows(ledger: Ledger) -> Procedure[list[Holder]]:
    if not (yield Statement(ledger.dialect.find, [ledger.home.checkpoints])).rows:
        return []
    return (yield from ledger.read_connector())


def _take(
    connection: BlockingConnection, context: SinkContext, ledger: Ledger, missing: Collection[tuple[str, str, str]]
) -> list[Holder]:
    """Fences off who holds these rows in the file of a single stream, and returns them with their whole positions."""
    taken = []
    with Begun(connection, SqliteFile.begin):
        for row in run(connection, _rows(ledger)):
            if _key(row) not in missing or row.is_reset:
                continue
            position, epoch = place_in(row), row.epoch
            if row.uid != MOVED:
                epoch = next_epoch(row, context.uid, context.run, unmoved=context.unmoved)
                run(connection, _hold(ledger, row, epoch, encode_place(position)))
            if position is not None:
                taken.append(replace(row, epoch=epoch, position=encode_position(position)))
    return taken


def _enter(ledger: Ledger, row: Holder) -> Procedure[None]:
    yield from _hold(ledger, row, row.epoch, row.position or "")
    yield Statement(ledger.sql.version, [row.schema_version, *_key(row), row.epoch])


def _hold(ledger: Ledger, row: Holder, epoch: int, position: str) -> Procedure[None]:
    yield Statement(ledger.sql.claim, [*_key(row), epoch, MOVED, 0, row.write_mode])
    yield Statement(ledger.sql.hold, [position, row.identity, *_key(row)])
