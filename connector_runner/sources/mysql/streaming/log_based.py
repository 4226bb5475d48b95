"""LOG_BASED: the copy in chunks and the log, merged into one stream of batches with exact positions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pymysql

from connector_runner.protocols.batch import Batch, Incident
from connector_runner.protocols.errors import START_OVER, ActionRequiredError, TransientError
from connector_runner.protocols.source import Report
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.ddl.old_rows import dropped_since
from connector_runner.sources.mysql.decode.undecodable import DecodingFailedError
from connector_runner.sources.mysql.errors import LogGoneError, UnloggedChangeError
from connector_runner.sources.mysql.log_reader import decisions
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.log_reader.log_reader import LogReader
from connector_runner.sources.mysql.log_reader.questions import DescribeTable
from connector_runner.sources.mysql.position import Progress, StreamPosition
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import connect
from connector_runner.sources.mysql.server.definitions import read_table
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import read_position
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.snapshot.chunk import Chunk
from connector_runner.sources.mysql.snapshot.chunks import ChunkReader, DefinitionChangedError
from connector_runner.sources.mysql.snapshot.watermark import Watermark
from connector_runner.sources.mysql.streaming.answers import Answers
from connector_runner.sources.mysql.streaming.beginning import first_place
from connector_runner.sources.mysql.streaming.log_thread import LogThread
from connector_runner.sources.mysql.streaming.weaving import (
    apply_log,
    build_log_batch,
    chunk_batches,
    clearing_batch,
    position_batch,
)
from connector_runner.sources.mysql.types.table import FoundTable

# A new position without rows is handed on at most this often.
QUIET_SECONDS = 1.0
# How often the table may differ from its definition by the log, with all of the log applied, before the stream fails.
MISSES = 3
# How often the stream tries a chunk that fails although the table's definition is the one in the log, and data that can't be
# decoded, before it fails; and the seconds between these tries, which grow with each one.
TRIES = 5
TRY_SECONDS = 0.5


class LogBasedStream:
    """One stream from a position on.

    Args:
        settings, server: The server, and how to reach it.
        place: The position to begin at.
        estimate: The estimated number of rows of the table, for progress.
        report: Where to report metrics and notes.
        incident: Why the table must be emptied first, if it must.
    """

    def __init__(
        self, settings: Settings, server: Server, place: StreamPosition, estimate: int | None, report: Report, incident: Incident | None = None
    ) -> None:  # fmt: skip
        self._settings, self._server, self._place = settings, server, place
        self._incident, self._is_unreported = incident, False
        self._estimate, self._report = estimate, report
        self._chunks = ChunkReader(settings, server)
        self._log: LogThread | None = None
        self._reading: asyncio.Task[Chunk] | None = None
        self._is_closed = False
        self._reported_at, self._misses, self._failures = 0.0, 0, 0
        self._failed_at: LogPosition | None = None

    async def batches(self) -> AsyncIterator[Batch]:
        """All batches from the position on; ends only when just a copy is configured."""
        while True:
            try:
                async for batch in self._run():
                    yield batch
                return
            except LogGoneError as error:
                if not self._settings.resnapshots:
                    raise
                await self._close_log()
                yield await asyncio.to_thread(self._start_over, error)
            except Exception as error:
                failure = translate(error, f"following {self._place.definition.id}")
                if not isinstance(failure, DecodingFailedError):
                    raise failure from error.__cause__
                await self._try_again(failure)

    async def _try_again(self, error: DecodingFailedError) -> None:
        """Waits, and has the log read again from the position: bytes may have been damaged in transit.

        Raises:
            DecodingFailedError: There are no more tries.
        """
        self._failures = self._failures + 1 if self._failed_at == self._place.log else 1
        self._failed_at = self._place.log
        if self._failures >= TRIES:
            raise error
        self._report.note(f"{error.message} (try {self._failures} of {TRIES})")
        await self._close_log()
        await asyncio.sleep(TRY_SECONDS * self._failures)

    def _start_over(self, error: LogGoneError) -> Batch:
        """The first batch of a new copy after the log was lost.

        Raises:
            ActionRequiredError: The table can't be followed as it is now.
        """
        known = self._place.definition
        answers = Answers(self._settings, self._server)
        is_there = answers.answer(DescribeTable(known.database, known.name, decisions.RETURN_SECONDS)) is not None
        position, current = self._ask_server(is_start=True) if is_there else (LogPosition(), None)
        if current is None:  # a copy would fail, and begin again, for ever
            raise decisions.build_gone_error(known)
        decisions.Decisions(self._settings, self._server).require_followable(
            current, "a change that the log no longer has"
        )
        definition = replace(current.definition, dropped=dropped_since(known, current.definition))
        self._report.count("resnapshots")
        incident = Incident("resnapshot", definition.id, f"{error.message}; the table is copied again", {})
        self._place = StreamPosition(position, definition, Progress(is_cleared=True))
        return clearing_batch(self._place, incident, renews=True)

    async def _run(self) -> AsyncIterator[Batch]:
        self._log = self._open_log()
        self._log.start()
        if self._place.copy is not None and not self._place.copy.is_cleared:
            self._place = replace(self._place, copy=replace(self._place.copy, is_cleared=True))
            yield clearing_batch(self._place, self._incident, renews=self._settings.resnapshots)
        while True:
            if self._place.copy is None:
                if self._settings.snapshot == "only":
                    return
                for batch in await self._follow(self._log):
                    yield batch
            else:
                async for batch in self._copy_chunk():
                    yield batch

    def _open_log(self) -> LogThread:
        place = self._place
        reader = LogReader(self._settings, self._server, place.definition, place.log)
        return LogThread(self._settings, reader, place.log, Answers(self._settings, self._server))

    # --- the log

    async def _follow(self, log: LogThread) -> list[Batch]:
        """The next batches; when there are none, the position that was held back."""
        if not self._is_unreported:
            return self._from_log(await log.next())
        try:
            # Not `asyncio.wait_for`: before Python 3.12 it loses a cancellation that comes together with a batch.
            async with asyncio.timeout(QUIET_SECONDS):
                log_batch = await log.next()
            return self._from_log(log_batch)
        except TimeoutError:
            self._reported_at, self._is_unreported = time.time(), False
            return [position_batch(self._place)]

    def _from_log(self, log_batch: LogBatch) -> list[Batch]:
        """Makes the batches of a batch of the log and advances the position."""
        self._chunks.note(log_batch)
        applied = apply_log(self._place, log_batch)
        if applied.is_copied_again:
            self._report.count("resnapshots")
        self._place = applied.position
        now = time.time()
        if log_batch.event_time is not None:
            self._report.lag(max(0.0, now - log_batch.event_time))
        elif log_batch.is_at_end:
            self._report.lag(0.0)
        has_news = log_batch.rows or applied.incidents or log_batch.again
        if not has_news and now - self._reported_at < QUIET_SECONDS:
            self._is_unreported = True
            return []
        self._reported_at, self._is_unreported = now, False
        return [build_log_batch(applied, log_batch, applied.position.to_json())]

    # --- the copy

    def _read_ahead(self) -> asyncio.Task[Chunk]:
        if self._is_closed:  # a batch was requested at the same moment
            raise TransientError("the source was closed")
        place = self._place
        last = place.copy.last if place.copy else None
        return asyncio.create_task(asyncio.to_thread(self._chunks.read, place.definition, last, place.log))

    async def _copy_chunk(self) -> AsyncIterator[Batch]:
        """Copies one chunk: reads it while the log is held, applies the log up to it, stores it."""
        assert self._log is not None  # noqa: S101 - opened by _run
        self._reading = self._reading or self._read_ahead()
        try:
            chunk = await asyncio.shield(
                self._reading
            )  # its thread outlives a cancelled wait, and `close` waits for it
        except DefinitionChangedError as error:
            self._reading = None
            async for batch in self._catch_up(error):
                yield batch
            return
        self._reading, self._misses = None, 0
        window = Watermark(chunk.bounds, chunk.definition.key_places)
        while not chunk.bounds.is_reached(self._place.log):
            log_batch = await self._log.next()
            window.note(log_batch)
            for batch in self._from_log(log_batch):
                yield batch
            if log_batch.again is not None or log_batch.definition != chunk.definition or window.is_full:
                return  # the chunk is read again
        for batch in self._store(chunk, window):
            yield batch
        if chunk.target is not None:
            # The chunk is newer than the log that was applied: a statement between them may require another copy.
            stored = self._place.copy
            while self._place.copy is stored and not self._place.log.has_reached(chunk.target):
                async for batch in self._drain(chunk.target):
                    yield batch
            if chunk.is_end and stored is not None and self._place.copy is stored:
                self._place = replace(self._place, copy=None)
                self._report.progress(stored.done, stored.done, "rows")
                yield position_batch(self._place)
        if self._place.copy is None:
            await asyncio.to_thread(self._chunks.close)

    def _store(self, chunk: Chunk, window: Watermark) -> list[Batch]:
        """Makes the chunk's batches, advances the position, and begins to read the next chunk."""
        copy = self._place.copy or Progress()
        rows = window.remaining(chunk.rows)
        start = self._place
        done = copy.done + len(chunk.rows)
        end = None if chunk.is_end and chunk.target is None else Progress(chunk.last or copy.last, done)
        self._place = replace(start, copy=end)
        if end is not None and chunk.target is None:
            self._reading = self._read_ahead()
        estimate = self._estimate or 0
        self._report.progress(done, done if end is None else estimate if done < estimate else None, "rows")
        return chunk_batches(start, self._place, chunk, rows)

    async def _catch_up(self, error: DefinitionChangedError) -> AsyncIterator[Batch]:
        """Applies the log up to its end: it has the statement that changed the table, which must come before the next chunk."""
        known = self._place.definition
        end, found = await asyncio.to_thread(self._ask_server)
        current = None if found is None else found.definition
        self._misses += 1
        if known.equals(current):
            # It was altered and altered back, or the definition is not the cause.
            if self._misses >= TRIES:
                raise ActionRequiredError(
                    f"{error.message}, though {known.id} is defined as the log says; tried {TRIES} times",
                    reason=error.reason if error.reason != DefinitionChangedError.reason else "Refused",
                )
            self._report.note(f"{error.message} (try {self._misses} of {TRIES})")
            await asyncio.sleep(TRY_SECONDS * self._misses)
        elif self._misses > MISSES:
            raise UnloggedChangeError(
                f"{error.message}, but the log has no statement that changed it (SET sql_log_bin = 0 keeps them out). Set onLogGap: "
                f"resnapshot to copy the table again as it is now, or {START_OVER}"
            )
        async for batch in self._drain(end):
            yield batch

    def _ask_server(self, *, is_start: bool = False) -> tuple[LogPosition, FoundTable | None]:
        """The present end of the log, and after that the table; `is_start`: the table is copied from that position on."""
        connection, known = connect(self._settings, purpose="definitions"), self._place.definition
        try:
            if is_start:
                position, _ = first_place(connection, self._settings, self._server, {"": known}, is_copied=True)
            else:
                position = read_position(connection, self._server)
                connection.query("COMMIT")
            return position, read_table(connection, known.database, known.name)
        except pymysql.MySQLError as error:
            raise translate(error, f"reading the definition of {known.id}") from None
        finally:
            connection.discard()

    async def _drain(self, target: LogPosition) -> AsyncIterator[Batch]:
        """Applies the log up to the target, or until something else must be done first."""
        assert self._log is not None  # noqa: S101 - opened by _run
        while not self._place.log.has_reached(target):
            log_batch = await self._log.next()
            changes = log_batch.again is not None or log_batch.definition != self._place.definition
            for batch in self._from_log(log_batch):
                yield batch
            if changes:
                self._misses = 0
                return

    async def _close_log(self) -> None:
        reading, self._reading = self._reading, None
        while reading is not None and not reading.done():
            self._chunks.abort()  # repeated: it may be about to connect
            await asyncio.wait({reading}, timeout=0.1)
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)
        self._chunks.close()
        if self._log is not None:
            await self._log.close()
            self._log = None

    async def close(self) -> None:
        """Ends all threads and connections."""
        self._is_closed = True
        await self._close_log()
