"""The copies of several tables, one after another, each in chunks that are woven into the log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.protocols.source import Report
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.snapshot.chunk import Chunk
from connector_runner.sources.mysql.snapshot.chunks import ChunkReader, DefinitionChangedError
from connector_runner.sources.mysql.snapshot.watermark import Watermark
from connector_runner.sources.mysql.streaming.followed_stream import FollowedStream

# How often a chunk may fail until the stream ends, and the seconds between these tries, which grow with each one.
TRIES = 5
TRY_SECONDS = 0.5


class Copies:
    """Reads the next chunk of the first table that is copied, while the log continues.

    Args:
        settings, server: The server, and how to reach it.
        streams: The streams; those with a copy in progress are copied.
        report: Where to report progress and notes.
    """

    def __init__(self, settings: Settings, server: Server, streams: Iterable[FollowedStream], report: Report) -> None:
        self._report, self._chunks = report, ChunkReader(settings, server)
        self._copying = deque(stream for stream in streams if stream.copy is not None)
        self.reading: asyncio.Task[Chunk] | None = None
        self._is_stale = False  # the chunk that is being read can't be used any more
        self._chunk: tuple[Chunk, Watermark] | None = None  # was read, and waits until the log is applied up to it
        self._since: list[LogBatch] = []  # changes to the chunk's table since its reading began
        self._is_closed = False

    @property
    def is_empty(self) -> bool:
        """Whether no table is copied."""
        return not self._copying

    def add(self, stream: FollowedStream) -> bool:
        """Adds a stream if it has a copy in progress; returns whether it was added."""
        if stream.copy is None or stream in self._copying:
            return False
        self._copying.append(stream)
        stream.report(self._report)
        return True

    def begin_chunk(self, log: LogPosition) -> None:
        """Begins to read the next chunk, if there is one to read and none that waits.

        Args:
            log: The position in the log that all streams share.
        """
        if not self._copying or self.reading is not None or self._chunk is not None:
            return
        if self._is_closed:  # a batch was requested at the same moment
            raise TransientError("the source was closed")
        stand = self._copying[0].stand(log)
        last = stand.copy.last if stand.copy else None
        self._since, self._is_stale = [], False
        self.reading = asyncio.create_task(asyncio.to_thread(self._chunks.read, stand.definition, last, stand.log))

    def watch(self, stream: FollowedStream, log_batch: LogBatch) -> None:
        """Notes the log's changes to the table whose chunk is being read; a statement on it makes the chunk unusable."""
        self._chunks.note(log_batch)
        if not self._copying or stream is not self._copying[0]:
            if log_batch.failure is not None and stream in self._copying:
                self._copying.remove(stream)
            return
        if log_batch.again is not None or log_batch.failure is not None or log_batch.definition != stream.definition:
            self._is_stale, self._chunk = self.reading is not None, None
        elif self._chunk is not None:
            self._chunk[1].note(log_batch)
        else:
            self._since.append(log_batch)
        if log_batch.failure is not None:
            self._copying.popleft()

    async def take_chunk(self) -> tuple[FollowedStream, ConnectorError] | None:
        """Takes the chunk if it was read; returns the stream, and why, if its table can't be copied. It is not copied any further."""
        reading = self.reading
        if reading is None or not reading.done():
            return None
        self.reading = None
        if self._is_stale:
            reading.exception()
            return None
        stream = self._copying[0]
        try:
            chunk = reading.result()
        except DefinitionChangedError as error:
            # The log will have the statement that changed the table; it continues meanwhile.
            stream.misses += 1
            if stream.misses >= TRIES:
                self._copying.popleft()
                return stream, error
            self._report.note(f"{error.message} (try {stream.misses} of {TRIES})")
            await asyncio.sleep(TRY_SECONDS * stream.misses)
        except ActionRequiredError as error:
            self._copying.popleft()
            return stream, error
        else:
            stream.misses = 0
            window = Watermark(chunk.bounds, chunk.definition.key_places)
            for log_batch in self._since:
                window.note(log_batch)
            self._chunk = chunk, window
        return None

    def store(self, log: LogPosition) -> tuple[FollowedStream, Chunk, list[Batch]] | None:
        """The batches of the chunk that was read, once the log is applied up to it; None until then."""
        if self._chunk is None:
            return None
        (chunk, window), stream = self._chunk, self._copying[0]
        if window.is_full:
            self._chunk = None
            return None
        if not chunk.bounds.is_reached(log):
            return None
        self._chunk = None
        done = len(chunk.rows) + (stream.copy.done if stream.copy is not None else 0)
        batches = stream.store(chunk, window.remaining(chunk.rows), log)
        if stream.copy is not None:
            stream.report(self._report)
        else:  # its last chunk: nothing knows any more how many rows it had
            self._report.progress(done, done, "rows", stream.id)
        return stream, chunk, batches

    async def end_if_copied(self, stream: FollowedStream) -> None:
        """Goes on to the next table once this one is copied."""
        if stream.copy is None and self._copying and self._copying[0] is stream:
            self._copying.popleft()
            stream.report(self._report)
            if not self._copying:
                await asyncio.to_thread(self._chunks.close)

    async def close(self) -> None:
        """Ends the reading and its connection."""
        self._is_closed = True
        reading, self.reading = self.reading, None
        while reading is not None and not reading.done():
            self._chunks.abort()  # repeated: it may be about to connect
            await asyncio.wait({reading}, timeout=0.1)
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)
        self._chunks.close()
