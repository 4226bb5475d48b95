"""The packets of the replication stream: each holds an event, or the end. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from connector_runner.sources.mysql.errors import log_error

_LARGEST_PACKET = 0xFFFFFF


class PacketSplitter:
    """Cuts the stream into events."""

    def __init__(self, feed: Callable[[bytes, int, int], None]) -> None:
        self._feed = feed
        self.has_ended = False

    def split(self, buffer: bytes) -> int:
        """Feeds all whole events in the buffer; returns where the first incomplete one starts.

        Raises:
            ConnectorError: The server ended the stream with an error.
        """
        position, end, feed = 0, len(buffer), self._feed
        while end - position > 4:
            size = buffer[position] | buffer[position + 1] << 8 | buffer[position + 2] << 16
            stop = position + 4 + size
            if stop > end:
                break
            first = buffer[position + 4]
            if size == _LARGEST_PACKET:
                event, stop = _join(buffer, position)
                if not stop:
                    break
                feed(event, 1, len(event))
            elif not first:
                feed(buffer, position + 5, stop)
            elif first == 0xFF:
                code = buffer[position + 5] | buffer[position + 6] << 8
                raise log_error(code, buffer[position + 13 : stop].decode("utf-8", "replace"))
            else:
                self.has_ended = True
                return stop
            position = stop
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
