"""Sorts the messages of a connection that several streams share by the streams that they belong to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from connector_runner.sources.coinbase.decode.decoder import UNREADABLE
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.reader import Reader
from connector_runner.sources.coinbase.streams import StreamSpec

_START = b'{"type":"'


class _Tagged(msgspec.Struct):
    type: str


_TAG = msgspec.json.Decoder(_Tagged)


class Router:
    """Finds the streams of each message by its type, without decoding the rest.

    Heartbeats are for every stream, and so are messages whose type can't be read: any of the streams may have lost one. What
    belongs to no stream (errors, acknowledgements, unknown types) is for the first one.
    """

    def __init__(self, specs: Sequence[StreamSpec]) -> None:
        every, first = range(len(specs)), range(1)
        self._count = len(specs)
        self._every, self._first = every, first
        self._by_tag = {
            tag.encode(): range(index, index + 1) for index, spec in enumerate(specs) for tag in spec.tags
        } | {b"heartbeat": every}

    def sort(self, raws: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        """The messages of each stream, in order."""
        if self._count == 1:
            return [raws]
        sorted_: list[list[bytes]] = [[] for _ in range(self._count)]
        by_tag = self._by_tag
        for raw in raws:
            found = by_tag.get(raw[9 : raw.find(b'"', 9)]) if raw[:9] == _START else None
            for index in self._streams_of(raw) if found is None else found:
                sorted_[index].append(raw)
        return sorted_

    def _streams_of(self, raw: bytes) -> range:
        """The streams of a message that does not begin with a known type."""
        try:
            tag = _TAG.decode(raw).type
        except UNREADABLE:
            return self._every
        return self._by_tag.get(tag.encode(), self._first)


class ReaderGroup:
    """The readers of the streams that share a connection.

    Attributes:
        readers: One for each stream.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.readers = tuple(readers)
        self._router = Router([reader.spec for reader in readers])

    def read(self, raws: Sequence[bytes], begun: Sequence[str] | None, now: float) -> list[tuple[Reader, BatchBuilder]]:
        """Reads messages in order.

        Args:
            raws: The messages.
            begun: The products of the connection if it begins with these messages.
            now: When they are read, by the clock of the readers.

        Returns:
            What came of it for each stream.
        """
        read = []
        for reader, own in zip(self.readers, self._router.sort(raws), strict=True):
            builder = BatchBuilder()
            if begun is not None:
                reader.begin(begun, builder, now)
            reader.read(own, builder, now)
            read.append((reader, builder))
        return read
