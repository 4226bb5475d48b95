"""Reads a range of the log at once, on its own connection, for a question that no query can answer."""

from __future__ import annotations

from typing import Protocol

from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.events import Event
from connector_runner.sources.mysql.binlog.gtid import MariaGtids
from connector_runner.sources.mysql.binlog.packets import EventStream
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.log_reader.prepared import PreparedSearch, file_before
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.dump import open_dump, read_block


class Receiver(Protocol):
    """A reader of a range of the log."""

    @property
    def is_done(self) -> bool:
        """Whether it has read enough, or the log has ended."""

    def receive_data(self, data: bytes) -> None:
        """Takes in bytes of the log as the server sends them."""


def scan(settings: Settings, position: LogPosition, receiver: Receiver) -> None:
    """Feeds the log to a receiver, from a position to its present end or until the receiver is done.

    Raises:
        ConnectorError: The server can't be reached, or does not have the position.
    """
    connection = open_dump(settings, position, server_id=settings.scan_server_id, blocks=False)
    try:
        while not receiver.is_done:
            receiver.receive_data(read_block(connection))
    finally:
        connection.abort()


def find_prepared(settings: Settings, search: PreparedSearch) -> None:
    """Feeds the files of the log to a search, from the one of its position back, until it has found its transaction.

    Raises:
        ConnectorError: The server can't be reached.
    """
    file: str | None = search.wanted.position.file
    while file and not search.is_found:
        search.begin_file(file)
        try:
            scan(settings, LogPosition(file, 4), search)
        except LogGoneError:
            if file == search.wanted.position.file:
                raise
            return  # there is no older one
        search.end_file()
        file = file_before(file)


class GtidReader:
    """Reads a file of MariaDB's log from its start up to an offset, to find the GTID position there.

    Args:
        offset: The offset in bytes.
    """

    def __init__(self, offset: int) -> None:
        self._offset, self._stream = offset, EventStream(self._look)
        self._gtids, self._is_found, self._is_past = MariaGtids(), False, False

    @property
    def found(self) -> MariaGtids | None:
        """The position; None where no transaction ends at the offset."""
        return self._gtids if self._is_found else None

    @property
    def is_done(self) -> bool:
        """Whether the offset was reached."""
        return self._is_past or self._stream.has_ended

    def receive_data(self, data: bytes) -> None:
        """Takes in bytes of the log as the server sends them."""
        self._stream.receive_data(data)

    def _look(self, buffer: bytes, start: int, end: int, _whole: int) -> None:
        if self._is_past:
            return
        _, kind, server, _, at, flags = events.read_header(buffer, start)
        if flags & events.ARTIFICIAL or kind == Event.HEARTBEAT:
            return
        body = buffer[start + events.HEADER_SIZE : end]
        if at <= self._offset and kind == Event.MARIA_GTID_LIST:
            self._gtids = events.parse_maria_gtid_list(body)
        elif at <= self._offset and kind == Event.MARIA_GTID:
            domain, number, _ = events.parse_maria_gtid(body)
            self._gtids.add(domain, server, number)
        self._is_found, self._is_past = self._is_found or at == self._offset, at >= self._offset


def read_maria_gtids(settings: Settings, file: str, offset: int) -> MariaGtids | None:
    """The GTID position at an offset of a file of MariaDB's log, from its events; None where no transaction ends there.

    Raises:
        ConnectorError: The server can't be reached, or does not have the file.
    """
    reader = GtidReader(offset)
    scan(settings, LogPosition(file, 4), reader)
    return reader.found
