"""LOG_BASED for several tables: one log for all of them and their copies one after another, merged with exact positions.

While a chunk is read the log continues for all tables (with GTIDs): its changes to the chunk's table are remembered meanwhile, and
left out of the chunk. Without GTIDs the log is held while a chunk is read, as for one table.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.protocols.source import Report
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.log_reader.log_reader import LogReader
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.snapshot.chunk import Chunk
from connector_runner.sources.mysql.snapshot.chunks import ChunkReader, DefinitionChangedError
from connector_runner.sources.mysql.snapshot.watermark import Watermark
from connector_runner.sources.mysql.streaming.answers import Answers
from connector_runner.sources.mysql.streaming.followed_stream import FollowedStream
from connector_runner.sources.mysql.streaming.log_thread import LogThread

# A new position without rows is handed on at most this often.
QUIET_SECONDS = 1.0
# How often a chunk may fail until the stream ends, and the seconds between these tries, which grow with each one.
TRIES = 5
TRY_SECONDS = 0.5


class ManyStreams:
    """Several streams of one server from their common position on.

    Args:
        settings, server: The server, and how to reach it.
        log: The position in the log.
        streams: The streams that are followed from there on.
        report: Where to report metrics and notes.
        isolates: Whether a stream that fails is parked while the others continue.
    """

    def __init__(
        self, settings: Settings, server: Server, log: LogPosition, streams: Sequence[FollowedStream], report: Report, *, isolates: bool
    ) -> None:  # fmt: skip
        self._settings, self._server, self._log, self._report = settings, server, log, report
        self._streams = {stream.id: stream for stream in streams}
        self._isolates = isolates
        self._copying = deque(stream for stream in streams if stream.copy is not None)
        self._thread: LogThread | None = None
        self._chunks = ChunkReader(settings, server)
        self._reading: asyncio.Task[Chunk] | None = None
        self._is_stale = False  # the chunk that is being read can't be used any more
        self._chunk: tuple[Chunk, Watermark] | None = None  # was read, and waits until the log is applied up to it
        self._since: list[LogBatch] = []  # changes to the chunk's table since its reading began
        self._told, self._is_untold, self._is_closed = 0.0, False, False

    async def batches(self) -> AsyncIterator[Batch]:
        """All batches from the position on; ends only when just copies are configured.

        Raises:
            ConnectorError: The log or a chunk can't be read, or a stream failed and streams are not parked.
        """
        try:
            self._open_log().start()
            for batch in _together([stream.first_batch(self._log) for stream in self._streams.values()]):
                yield batch
            while self._copying or self._settings.snapshot != "only":
                self._begin_chunk()
                for batch in self._from_log(await self._next_group()):
                    yield batch
                for batch in await self._from_copy():
                    yield batch
        except LogGoneError as error:
            if not self._settings.resnapshots:
                raise
            raise TransientError(error.message, reason=error.reason) from None  # the next start copies all tables again
        except Exception as error:
            raise translate(error, "following the log") from error.__cause__

    def _open_log(self) -> LogThread:
        stands = [stream.stand(self._log) for stream in self._streams.values()]
        first, *others = [(stand.definition, stand.log) for stand in stands]
        reader = LogReader(self._settings, self._server, *first, *others, isolates=self._isolates)
        self._thread = LogThread(self._settings, reader, self._log, Answers(self._settings, self._server))
        return self._thread

    # --- the log

    async def _next_group(self) -> list[LogBatch]:
        """The log's next batches, of one position. None when a chunk has been read, or a position was held back long enough."""
        thread = self._thread
        assert thread is not None  # noqa: S101 - opened by `batches`
        if self._reading is not None and not self._server.has_gtids:
            await asyncio.wait({self._reading})  # the log is held
        if self._reading is not None and self._reading.done():
            return []
        if not thread.has_news:
            await self._wait(thread)
        if not thread.has_news:
            return []
        group = [await thread.next()]
        while group[-1].has_more:
            group.append(await thread.next())
        return group

    async def _wait(self, thread: LogThread) -> None:
        """Waits until the log has something, a chunk has been read, or a position was held back long enough."""
        waiting = asyncio.ensure_future(thread.wait())
        tasks: set[asyncio.Future[object]] = {waiting}  # type: ignore[arg-type]
        if self._reading is not None:
            tasks.add(self._reading)  # type: ignore[arg-type]
        try:
            seconds = QUIET_SECONDS if self._is_untold else None
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def _from_log(self, group: list[LogBatch]) -> list[Batch]:
        """Makes the batches of a group of the log and advances the positions."""
        if not group:
            return self._held_back()
        self._log, batches = group[-1].log, []
        for log_batch in group:
            stream = self._streams[log_batch.definition.id]
            if stream.failure is not None:
                continue
            self._watch_copy(stream, log_batch)
            batch = stream.apply(log_batch)
            if stream.copy is not None and stream not in self._copying and stream.failure is None:
                self._report.count("resnapshots")
                self._copying.append(stream)
            if stream.failure is not None:
                self._report.note(f"{stream.id} is paused, the others continue: {stream.failure.message}")
            batches.append(batch)
        times = [batch.event_time for batch in batches if batch.event_time is not None]
        now = time.time()
        if times:
            self._report.lag(max(0.0, now - max(times)))
        elif group[-1].is_at_end:
            self._report.lag(0.0)
        has_news = any(batch.rows or batch.incidents for batch in batches) or any(
            log_batch.again for log_batch in group
        )
        if not has_news and now - self._told < QUIET_SECONDS:
            self._is_untold = True
            return []
        self._told, self._is_untold = now, False
        return _together(batches)

    def _held_back(self) -> list[Batch]:
        if not self._is_untold or time.time() - self._told < QUIET_SECONDS:
            return []
        self._told, self._is_untold = time.time(), False
        return [stream.position_batch(self._log) for stream in self._streams.values() if stream.failure is None][:1]

    # --- the copies

    def _begin_chunk(self) -> None:
        """Begins to read the next chunk, of the first table that is copied."""
        if not self._copying or self._reading is not None or self._chunk is not None:
            return
        if self._is_closed:  # a batch was requested at the same moment
            raise TransientError("the source was closed")
        stand = self._copying[0].stand(self._log)
        last = stand.copy.last if stand.copy else None
        self._since, self._is_stale = [], False
        self._reading = asyncio.create_task(asyncio.to_thread(self._chunks.read, stand.definition, last, stand.log))

    def _watch_copy(self, stream: FollowedStream, log_batch: LogBatch) -> None:
        """Notes the log's changes to the table whose chunk is being read; a statement on it makes the chunk unusable."""
        if not self._copying or stream is not self._copying[0]:
            if log_batch.failure is not None and stream in self._copying:
                self._copying.remove(stream)
            return
        if log_batch.again is not None or log_batch.failure is not None or log_batch.definition != stream.definition:
            self._is_stale, self._chunk = self._reading is not None, None
        elif self._chunk is not None:
            self._chunk[1].note(log_batch)
        else:
            self._since.append(log_batch)
        if log_batch.failure is not None:
            self._copying.popleft()

    async def _from_copy(self) -> list[Batch]:
        """The batches of the chunk, once it was read and the log is applied up to it."""
        if self._reading is not None and self._reading.done() and (parked := await self._take_chunk()):
            return parked
        if self._chunk is None:
            return []
        (chunk, window), stream = self._chunk, self._copying[0]
        if window.is_full:
            self._chunk = None
            return []
        if not chunk.bounds.is_reached(self._log):
            return []
        self._chunk = None
        batches = stream.store(chunk, window.remaining(chunk.rows), self._log)
        copy = stream.copy
        if copy is not None:
            self._report.progress(copy.done, max(copy.done, stream.estimate or 0), "rows")
        if chunk.target is not None:
            batches += await self._drain(stream, chunk)
        if stream.copy is None and self._copying and self._copying[0] is stream:
            self._copying.popleft()
            if not self._copying:
                await asyncio.to_thread(self._chunks.close)
        return batches

    async def _take_chunk(self) -> list[Batch]:
        """Takes the chunk that was read; returns batches only if its stream is parked because the chunk can't be read."""
        reading, self._reading = self._reading, None
        assert reading is not None  # noqa: S101 - asked by the caller
        if self._is_stale:
            reading.exception()
            return []
        stream = self._copying[0]
        try:
            chunk = reading.result()
        except DefinitionChangedError as error:
            # The log will have the statement that changed the table; it continues meanwhile.
            stream.misses += 1
            if stream.misses >= TRIES:
                return self._park(stream, error)
            self._report.note(f"{error.message} (try {stream.misses} of {TRIES})")
            await asyncio.sleep(TRY_SECONDS * stream.misses)
        except ActionRequiredError as error:
            return self._park(stream, error)
        else:
            stream.misses = 0
            window = Watermark(chunk.bounds, chunk.definition.key_places)
            for log_batch in self._since:
                window.note(log_batch)
            self._chunk = chunk, window
        return []

    def _park(self, stream: FollowedStream, error: ConnectorError) -> list[Batch]:
        """Parks a stream whose table can't be copied; later changes in the log are ignored for it.

        Raises:
            ConnectorError: Streams are not parked.
        """
        if not self._isolates:
            raise error
        self._copying.popleft()
        self._report.note(f"{stream.id} is paused, the others continue: {error.message}")
        return [stream.park(error, self._log)]

    async def _drain(self, stream: FollowedStream, chunk: Chunk) -> list[Batch]:
        """Applies the log up to a chunk that is newer (without GTIDs), before the next chunk is read."""
        stored, batches = stream.copy, list[Batch]()
        assert chunk.target is not None  # noqa: S101 - asked by the caller
        while not self._log.has_reached(chunk.target):
            batches += self._from_log(await self._next_group())
        if chunk.is_end and stream.copy is stored and stream.failure is None:
            stream.copy = None
            batches.append(stream.position_batch(self._log))
        return batches

    async def close(self) -> None:
        """Ends all threads and connections."""
        self._is_closed = True
        reading, self._reading = self._reading, None
        while reading is not None and not reading.done():
            self._chunks.abort()  # repeated: it may be about to connect
            await asyncio.wait({reading}, timeout=0.1)
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)
        self._chunks.close()
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.close()


def _together(batches: list[Batch]) -> list[Batch]:
    """Marks batches that become visible together."""
    for batch in batches[:-1]:
        batch.more = True
    return batches
