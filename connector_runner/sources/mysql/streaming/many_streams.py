"""LOG_BASED for several tables: one log for all of them and their copies one after another, merged with exact positions.

While a chunk is read the log continues for all tables (with GTIDs): its changes to the chunk's table are remembered meanwhile, and
left out of the chunk. Without GTIDs the log is held while a chunk is read, as for one table.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.protocols.source import Report, StreamState
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.log_reader.log_reader import LogReader
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.snapshot.chunk import Chunk
from connector_runner.sources.mysql.streaming.answers import Answers
from connector_runner.sources.mysql.streaming.catch_up import CatchUp
from connector_runner.sources.mysql.streaming.copies import Copies
from connector_runner.sources.mysql.streaming.followed_stream import FollowedStream
from connector_runner.sources.mysql.streaming.log_thread import LogThread
from connector_runner.sources.mysql.streaming.open_transaction import OpenTransaction
from connector_runner.sources.mysql.streaming.together import Beginning
from connector_runner.sources.mysql.types.names import TableName

# A new position without rows is handed on at most this often.
QUIET_SECONDS = 1.0


class ManyStreams:
    """Several streams of one server from their common position on.

    Args:
        settings, server: The server, and how to reach it.
        beginning: Where the streams begin.
        report: Where to report metrics and notes.
        isolates: Whether a stream that fails is parked while the others continue.
        appeared: Receives the ids of tables that were made or renamed, see `SourceContext.appeared`.
    """

    def __init__(
        self, settings: Settings, server: Server, beginning: Beginning, report: Report, *, isolates: bool,
        appeared: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self._appeared, self._seen = appeared, set[str]()
        self._settings, self._server, self._log, self._report = settings, server, beginning.log, report
        self._streams = {stream.id: stream for stream in beginning.streams}
        self._isolates = isolates
        self._copies = Copies(settings, server, beginning.streams, report)
        self._behind = CatchUp(settings, server, report, isolates=isolates)
        self._beginning = beginning
        self._failure: ConnectorError | None = None
        self._thread: LogThread | None = None
        self._reported_at, self._is_unreported = 0.0, False
        self._transaction = OpenTransaction(
            settings.transaction_rows, settings.transaction_bytes, is_cut=beginning.log.rows > 0
        )

    async def batches(self) -> AsyncIterator[Batch]:
        """All batches from the position on; ends only when just copies are configured.

        Raises:
            ConnectorError: The log or a chunk can't be read, or a stream failed and streams are not parked.
        """
        try:
            self._open_log().start()
            for batch in _together(self._first_batches()):
                yield batch
            while not self._copies.is_empty or not self._behind.is_empty or self._settings.snapshot != "only":
                self._copies.begin_chunk(self._log)
                for batch in self._from_log(await self._next_group()):
                    yield batch
                while self._transaction.is_open:  # nothing else comes between its parts
                    for batch in self._from_log(await self._next_group(may_wait=False)):
                        yield batch
                for batch in await self._from_copy():
                    yield batch
                for batch in await self._from_behind():
                    yield batch
                if not self._streams:
                    raise self._no_stream()
        except LogGoneError as error:
            if not self._settings.resnapshots:
                raise
            raise TransientError(error.message, reason=error.reason) from None  # the next start copies all tables again
        except Exception as error:
            raise translate(error, "following the log") from error.__cause__

    def _first_batches(self) -> list[Batch]:
        """A batch of each stream with its place, so that places are stored before anything else."""
        batches = [stream.first_batch(self._log) for stream in self._streams.values()]
        for stream in self._beginning.behind:
            failure = stream.failure
            self._behind.add(stream.id, stream, fails=failure is not None)
            batches.append(
                stream.position_batch(self._log) if failure is None else stream.park(failure, self._log, time.time())
            )
        for id_ in self._beginning.absent:
            self._behind.add(id_, None)
            failure = self._beginning.failed.get(id_)
            reason, message = ("Unavailable", "") if failure is None else (failure.reason, failure.message)
            self._report.stream(id_, StreamState.FAILED, reason, message)
        for stream in (*self._streams.values(), *self._beginning.behind):
            stream.report(self._report)
        return batches

    def _no_stream(self) -> ConnectorError:
        failure = self._failure or ActionRequiredError("no stream is left")
        return ActionRequiredError(
            f"no stream of this connector can be followed any more; the last one: {failure.message}",
            reason=failure.reason,
        )

    # --- streams that stand behind

    async def _from_behind(self) -> list[Batch]:
        """The batches of streams that are caught up; those that stand where the others are join them."""
        batches = await self._behind.step(self._log)
        arrived, self._behind.arrived = self._behind.arrived, []
        if arrived:
            # The log is opened again for all of them; what was read ahead of the shared position comes again.
            thread, self._thread = self._thread, None
            if thread is not None:
                await thread.close()
            for stream in arrived:
                batches.append(stream.rejoin(self._log))
                self._streams[stream.id] = stream
                self._report.note(
                    f"{stream.id} has caught up and is followed together with the others", stream=stream.id
                )
                stream.report(self._report)
                self._copies.add(stream)
            self._open_log().start()
        return _together(batches)

    def _leave_behind(self, stream: FollowedStream, error: ConnectorError) -> None:
        """Lets a stream that was parked stand behind; it is tried again later."""
        del self._streams[stream.id]
        self._failure = error
        self._behind.add(stream.id, stream)
        stream.report(self._report)
        self._report.note(
            f"{stream.id} is paused, the others continue: {error.message}", stream=stream.id, reason=error.reason
        )

    def _open_log(self) -> LogThread:
        stands = [stream.stand(self._log) for stream in self._streams.values()]
        first, *others = [(stand.definition, stand.log) for stand in stands]
        reader = LogReader(self._settings, self._server, *first, *others, isolates=self._isolates)
        self._thread = LogThread(self._settings, reader, self._log, Answers(self._settings, self._server))
        return self._thread

    # --- the log

    async def _next_group(self, *, may_wait: bool = True) -> list[LogBatch]:
        """The log's next batches, of one position. None when a chunk has been read, or there is something else to do.

        Args:
            may_wait: Whether the log may wait for streams that are about to join.
        """
        thread = self._thread
        assert thread is not None  # noqa: S101 - opened by `batches`
        if may_wait and self._behind.holds:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._behind.hold_seconds):
                    await self._behind.wait()
            return []
        reading = self._copies.reading
        if reading is not None and not self._server.has_gtids:
            await asyncio.wait({reading})  # the log is held
        if reading is not None and reading.done() and not self._transaction.is_open:
            return []
        if not thread.has_news and not (may_wait and self._behind.has_news):
            await self._wait(thread)
        if not thread.has_news:
            return []
        group = [await thread.next()]
        while group[-1].has_more:
            group.append(await thread.next())
        return group

    async def _wait(self, thread: LogThread) -> None:
        """Waits until the log has something, a chunk has been read, or there is something else to do."""
        if self._behind.is_empty and self._copies.reading is None and not self._is_unreported:
            await thread.wait()  # nothing else can happen meanwhile; a lone row is through sooner without further tasks
            return
        waiting = [asyncio.ensure_future(thread.wait())]
        if not self._behind.is_empty:
            waiting.append(asyncio.ensure_future(self._behind.wait()))
        tasks: set[asyncio.Future[object]] = {*waiting}  # type: ignore[arg-type]
        if self._copies.reading is not None:
            tasks.add(self._copies.reading)  # type: ignore[arg-type]
        try:
            seconds = QUIET_SECONDS if self._is_unreported else None
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def _from_log(self, group: list[LogBatch]) -> list[Batch]:
        """Makes the batches of a group of the log and advances the positions."""
        if not group:
            return self._held_back()
        before = self._end_transaction() if self._transaction.must_end(group) else []
        self._log, batches = group[-1].log, []
        for log_batch in group:
            if log_batch.appeared:
                self._report_appeared(log_batch.appeared)
            stream = self._streams.get(log_batch.definition.id)
            if stream is None:  # parked since
                continue
            self._copies.watch(stream, log_batch)
            batch = stream.apply(log_batch, time.time())
            if stream.copy is not None and stream.failure is None and self._copies.add(stream):
                self._report.count("resnapshots")
            if stream.failure is not None:
                self._leave_behind(stream, stream.failure)
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
        if self._transaction.is_open or self._log.rows:
            has_news, batches = True, batches or [next(iter(self._streams.values())).position_batch(self._log)]
        if not batches or (not has_news and now - self._reported_at < QUIET_SECONDS):
            self._is_unreported = True
            return before
        self._reported_at, self._is_unreported = now, False
        batches[-1].incidents += self._transaction.take(batches, self._log)
        _together(batches)[-1].more = self._transaction.is_open
        return [*before, *batches]

    def _end_transaction(self) -> list[Batch]:
        """A batch that ends the open transaction where it stands."""
        stream = next(iter(self._streams.values()))
        batch = stream.position_batch(self._log)
        batch.incidents = self._transaction.end(stream.id, self._log)
        return [batch]

    def _report_appeared(self, tables: Iterable[TableName]) -> None:
        """Tells of tables that are there since; streams that waited for theirs are tried at once."""
        for database, name in tables:
            id_ = f"{database}.{name}"
            if self._behind.hurry(id_) or id_ in self._streams or id_ in self._seen or self._appeared is None:
                continue
            self._seen.add(id_)
            self._appeared(id_)

    def _held_back(self) -> list[Batch]:
        if not self._is_unreported or self._transaction.is_open or time.time() - self._reported_at < QUIET_SECONDS:
            return []
        self._reported_at, self._is_unreported = time.time(), False
        return [stream.position_batch(self._log) for stream in self._streams.values()][:1]

    # --- the copies

    async def _from_copy(self) -> list[Batch]:
        """The batches of the chunk, once it was read and the log is applied up to it."""
        copies = self._copies
        if (failed := await copies.take_chunk()) is not None:
            stream, error = failed
            if not self._isolates:
                raise error
            batch = stream.park(error, self._log, time.time())
            self._leave_behind(stream, error)
            return [batch]
        stored = copies.store(self._log)
        if stored is None:
            return []
        stream, chunk, batches = stored
        if chunk.target is not None:
            batches += await self._drain(stream, chunk)
        await copies.end_if_copied(stream)
        return batches

    async def _drain(self, stream: FollowedStream, chunk: Chunk) -> list[Batch]:
        """Applies the log up to a chunk that is newer (without GTIDs), before the next chunk is read."""
        before, batches = stream.copy, list[Batch]()
        assert chunk.target is not None  # noqa: S101 - asked by the caller
        while self._transaction.is_open or not self._log.has_reached(chunk.target):
            batches += self._from_log(await self._next_group(may_wait=False))
        if chunk.is_end and stream.copy is before and stream.failure is None:
            stream.copy = None
            batches.append(stream.position_batch(self._log))
        return batches

    async def close(self) -> None:
        """Ends all threads and connections."""
        await self._copies.close()
        await self._behind.close()
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.close()


def _together(batches: list[Batch]) -> list[Batch]:
    """Marks batches that become visible together."""
    for batch in batches[:-1]:
        batch.more = True
    return batches
