"""Single events out of the stream: checksums are checked and cut off, compressed transactions unpacked. No I/O."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, cast

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.events import Event, is_intact

# (buffer, start, end, whole): an event without its checksum; `whole` is the offset in the log at which the compressed transaction
# around it ends, 0 without one.
Take = Callable[[bytes, int, int, int], None]
PIECE_BYTES = 1 << 18
_PAYLOAD, _FORMAT = int(Event.TRANSACTION_PAYLOAD), int(Event.FORMAT_DESCRIPTION)
# The size of a checksum in bytes, by the algorithm's number (`binary_log::enum_binlog_checksum_alg`).
_CHECKSUMS = {0: 0, 1: 4}


class Frames:
    """Hands on the events of a stream one by one.

    Args:
        take: Receives an event.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._checksum: int | None = None
        self.payload: Payload | None = None  # a compressed transaction whose events wait for `unpack`
        self._end = 0

    def feed(self, buffer: bytes, start: int, end: int) -> None:
        """Processes one event, buffer[start:end], its checksum included; those in a compressed transaction wait for `unpack`.

        Raises:
            TransientError: The event is damaged.
        """
        kind = buffer[start + 4]
        if kind == _FORMAT:  # each file of the log has its own algorithm: it can be changed while the server runs
            self._checksum = _read_checksum_size(buffer, start, end)
            end -= 4  # a description itself always has one, whatever it says
        elif self._checksum is None:
            # The first event, a rotation, comes before the format description that names the algorithm; so it is tried.
            self._checksum = 4 if is_intact(buffer, start, end) else 0
            end -= self._checksum
        elif self._checksum:
            _require_intact(buffer, start, end)
            end -= 4
        if kind == _PAYLOAD:
            self.payload, self._end = Payload(buffer[start + events.HEADER_SIZE : end]), _end(buffer, start)
        else:
            self._take(buffer, start, end, 0)

    def unpack(self) -> bool:
        """Hands on the next event of a compressed transaction; False when there is none (any more)."""
        found = None if self.payload is None else self.payload.next()
        if found is None:
            self.payload = None
            return False
        self._take(*found, self._end)
        return True


def _read_checksum_size(buffer: bytes, start: int, end: int) -> int:
    """The checksum size of the events after a format description: its last byte before its own checksum is the algorithm.

    Raises:
        TransientError: It is damaged.
        ActionRequiredError: The algorithm is not known.
    """
    algorithm = buffer[end - 5]
    if algorithm:  # without checksums in the file the server may have changed the event and sent the old checksum
        _require_intact(buffer, start, end)
    size = _CHECKSUMS.get(algorithm)
    if size is None:
        raise ActionRequiredError(
            f"the log has checksums of an unknown kind ({algorithm}); known are NONE and CRC32: SET GLOBAL binlog_checksum = 'CRC32'",
            reason="UnknownChecksum",
        )
    return size


def _require_intact(buffer: bytes, start: int, end: int) -> None:
    if not is_intact(buffer, start, end):
        raise TransientError(f"the event that ends at {_end(buffer, start)} of the log arrived damaged (CRC32)")


def _end(buffer: bytes, start: int) -> int:
    return int.from_bytes(buffer[start + 13 : start + 17], "little")


class Payload:
    """The events in a compressed transaction, unpacked piece by piece; they have no checksums.

    Args:
        body: The event's body: fields (type, length, value) up to a zero, then the payload in zstd.
    """

    def __init__(self, body: bytes) -> None:
        at, is_plain = 0, False
        while body[at]:
            kind, at = events.read_packed(body, at)
            length, at = events.read_packed(body, at)
            if kind == 2:  # the compression: 0 zstd, 255 none
                is_plain = events.read_packed(body, at)[0] == 255
            at += length
        self._read: Callable[[int], bytes] = _plain(body[at + 1 :]) if is_plain else _unpacked(body[at + 1 :])
        self._data, self._at = b"", 0

    def next(self) -> tuple[bytes, int, int] | None:
        """The next event, buffer[start:end]; None at the end."""
        if not self._holds(events.HEADER_SIZE):
            return None
        size = int.from_bytes(self._data[self._at + 9 : self._at + 13], "little")
        if not self._holds(size):
            raise TransientError("a compressed transaction of the log arrived cut off")
        start, self._at = self._at, self._at + size
        return self._data, start, self._at

    def _holds(self, size: int) -> bool:
        while len(self._data) - self._at < size:
            piece = self._read(PIECE_BYTES)
            if not piece:
                return False
            self._data, self._at = self._data[self._at :] + piece, 0
        return True


def _plain(payload: bytes) -> Callable[[int], bytes]:
    return io.BytesIO(payload).read


def _unpacked(payload: bytes) -> Callable[[int], bytes]:
    import zstandard  # late: only compressed transactions need it

    reader: Any = zstandard.ZstdDecompressor().stream_reader(payload, read_across_frames=True)
    return cast("Callable[[int], bytes]", reader.read)
