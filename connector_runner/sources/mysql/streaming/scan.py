"""Reads a stretch of the log at once, on a connection of its own, for a question that the server does not answer."""

from __future__ import annotations

from collections.abc import Callable

from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.events import Event
from connector_runner.sources.mysql.binlog.frames import Frames, Take
from connector_runner.sources.mysql.binlog.gtid import MariaGtids
from connector_runner.sources.mysql.binlog.packets import PacketSplitter
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.dump import open_dump, read_block


def scan(settings: Settings, position: LogPosition, look: Take, is_done: Callable[[], bool]) -> None:
    """Shows the log's events from a position to its present end, or until it is enough.

    Raises:
        ConnectorError: The server can't be reached, or does not have the position.
    """
    frames = Frames(look)

    def feed(buffer: bytes, start: int, end: int) -> None:
        frames.feed(buffer, start, end)
        while frames.unpack():
            pass

    connection = open_dump(settings, position, server_id=settings.scan_server_id, blocks=False)
    splitter, rest = PacketSplitter(feed), b""
    try:
        while not splitter.has_ended and not is_done():
            rest += read_block(connection)
            rest = rest[splitter.split(rest) :]
    finally:
        connection.abort()


def read_maria_gtids(settings: Settings, file: str, offset: int) -> MariaGtids | None:
    """The GTID position at a place of a file of MariaDB's log, from its events; None where none ends there.

    Raises:
        ConnectorError: The server can't be reached, or does not have the file.
    """
    gtids, found, is_past = MariaGtids(), False, False

    def look(buffer: bytes, start: int, end: int, _whole: int) -> None:
        nonlocal gtids, found, is_past
        if is_past:
            return
        _, kind, server, _, at, flags = events.read_header(buffer, start)
        if flags & events.ARTIFICIAL or kind == Event.HEARTBEAT:
            return
        body = buffer[start + events.HEADER_SIZE : end]
        if at <= offset and kind == Event.MARIA_GTID_LIST:
            gtids = events.parse_maria_gtid_list(body)
        elif at <= offset and kind == Event.MARIA_GTID:
            domain, number, _ = events.parse_maria_gtid(body)
            gtids.add(domain, server, number)
        found, is_past = found or at == offset, at >= offset

    scan(settings, LogPosition(file, 4), look, lambda: is_past)
    return gtids if found else None
