"""The packets of the replication stream: each is an event, or the end. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from connector_runner.sources.mysql.binlog.frames import Frames, Take
from connector_runner.sources.mysql.errors import log_error

_LARGEST_PACKET = 0xFFFFFF


class PacketSplitter:
    """Splits the stream into events.

    Args:
        feed: Receives an event, buffer[start:end]; it returns whether to stop after it for now.
    """

    def __init__(self, feed: Callable[[bytes, int, int], bool]) -> None:
        self._feed = feed
        self.has_ended = False

    def split(self, buffer: bytes, position: int = 0) -> int:
        """Feeds the complete events in the buffer from a position on; returns the position after the last one that was fed.

        Raises:
            ConnectorError: The server ended the stream with an error.
        """
        end, feed = len(buffer), self._feed
        while end - position > 4:
            size = buffer[position] | buffer[position + 1] << 8 | buffer[position + 2] << 16
            stop = position + 4 + size
            if stop > end:
                break
            first = buffer[position + 4]
            is_enough = False
            if size == _LARGEST_PACKET:
                event, stop = _join(buffer, position)
                if not stop:
                    break
                is_enough = feed(event, 1, len(event))
            elif not first:
                is_enough = feed(buffer, position + 5, stop)
            elif first == 0xFF:
                code = buffer[position + 5] | buffer[position + 6] << 8
                raise log_error(code, buffer[position + 13 : stop].decode("utf-8", "replace"))
            else:
                self.has_ended = True
                return stop
            position = stop
            if is_enough:
                break
        return position


def _join(buffer: bytes, position: int) -> tuple[bytes, int]:
    """An event of 16 MB or more, sent in several packets: (event, position after it); (b"", 0) if not all has arrived."""
    parts = []
    while True:
        size = int.from_bytes(buffer[position : position + 3], "little")
        stop = position + 4 + size
        if stop > len(buffer) or len(buffer) < position + 4:
            return b"", 0
        parts.append(buffer[position + 4 : stop])
        position = stop
        if size < _LARGEST_PACKET:
            return b"".join(parts), position


class EventStream:
    """All events of a stretch of the log, from the bytes that the server sends.

    Args:
        take: Receives an event, see `Take`.
    """

    def __init__(self, take: Take) -> None:
        self._frames = Frames(take)
        self._packets = PacketSplitter(self._receive_event)
        self._data = b""

    @property
    def has_ended(self) -> bool:
        """Whether the server has sent the end of the stretch."""
        return self._packets.has_ended

    def receive_data(self, data: bytes) -> None:
        """Receives bytes of the stream.

        Raises:
            ConnectorError: The server ended the stream with an error, or an event is damaged.
        """
        self._data += data
        self._data = self._data[self._packets.split(self._data) :]

    def _receive_event(self, buffer: bytes, start: int, end: int) -> bool:
        self._frames.feed(buffer, start, end)
        while self._frames.unpack():
            pass
        return False
