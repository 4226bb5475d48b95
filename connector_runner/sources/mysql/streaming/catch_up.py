"""Catches up streams that stand behind the others, by a second reader of the log beside the first, until they stand at the same place.

The streams that are caught up are a *crew*: they have one position, which is older than the shared one. The second reader reads in
rounds, each exactly to where the other streams are when it begins (or to where a further stream stands behind, which then joins
the crew). Once a round ends where the other streams still are, the crew joins them. When rounds are short, the other streams wait
for one, so that this comes true.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError
from connector_runner.protocols.source import Report, StreamState
from connector_runner.sources.mysql.binlog.comparing import has_all_of, order_of, place_in_log
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.log_reader.log_reader import LogReader
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.streaming.answers import Answers
from connector_runner.sources.mysql.streaming.followed_stream import FollowedStream
from connector_runner.sources.mysql.streaming.log_thread import LogThread
from connector_runner.sources.mysql.streaming.resuming import Resumed, Resuming, Wish

# A stream that could not be read is tried again after so many seconds, which double with each try up to the most.
RETRY_SECONDS = 15.0
MOST_SECONDS = 600.0
# After a round that took less, the other streams wait for the next one; but not longer than this. A round has costs of its own, so
# that on a slow machine none is as short: each round that ends without joining makes the time longer, up to the most.
HOLD_SECONDS, MOST_HOLD_SECONDS = 0.5, 10.0


@dataclass
class _Waiting:
    """A stream that is to be tried at a time of the monotonic clock.

    `stream` is None where it has no position yet; `again` says that the log can't be followed from its position on.
    """

    id: str
    stream: FollowedStream | None
    due: float
    again: bool = False


class CatchUp:
    """The streams that stand behind.

    Args:
        settings, server: The server, and how to reach it.
        report: Where to report notes.
        isolates: Whether a stream that fails is parked; else its failure is raised.
    """

    def __init__(self, settings: Settings, server: Server, report: Report, *, isolates: bool) -> None:
        self._settings = settings.for_catching_up
        self._report, self._isolates = report, isolates
        self._resuming = Resuming(self._settings, server)
        self._waiting: dict[str, _Waiting] = {}
        self._delays: dict[str, float] = {}
        self._joined: dict[str, float] = {}
        self._reported: dict[str, str] = {}
        self._asked: list[_Waiting] = []
        self._asking: asyncio.Task[list[Resumed | ConnectorError]] | None = None
        self._crew: dict[str, FollowedStream] = {}
        self._later: list[FollowedStream] = []
        self._thread: LogThread | None = None
        self._target, self._at, self._began = LogPosition(), LogPosition(), 0.0
        self._holds, self.hold_seconds = False, HOLD_SECONDS
        self.arrived: list[FollowedStream] = []
        """Streams that stand where the others are: the owner takes them."""

    def add(self, id_: str, stream: FollowedStream | None, *, fails: bool = True) -> None:
        """Adds a stream that stands behind.

        Args:
            id_: Its id.
            stream: The stream; None for one without a position.
            fails: Whether it has just failed, so that it is tried after a while; else it is tried at once.
        """
        self._waiting[id_] = _Waiting(id_, stream, time.monotonic() + (self._next_delay(id_) if fails else 0.0))

    def hurry(self, id_: str) -> bool:
        """Has a stream that waits tried at once; returns whether it stands behind."""
        if id_ in self._waiting:
            self._waiting[id_].due = 0.0
        return id_ in self._waiting or id_ in self._crew

    def _next_delay(self, id_: str) -> float:
        if time.monotonic() - self._joined.pop(id_, math.inf) > MOST_SECONDS:  # it was followed for long
            self._delays.pop(id_, None)
        delay = self._delays.get(id_, RETRY_SECONDS)
        self._delays[id_] = min(2 * delay, MOST_SECONDS)
        return delay

    @property
    def is_empty(self) -> bool:
        """Whether no stream stands behind."""
        return not (self._waiting or self._asked or self._crew or self._later)

    @property
    def holds(self) -> bool:
        """Whether the other streams should wait for a moment."""
        return self._holds and self._thread is not None and time.monotonic() - self._began < self.hold_seconds

    @property
    def has_news(self) -> bool:
        """Whether `step` has something to do."""
        if self._thread is not None:
            return self._thread.has_news
        if self._asking is not None:
            return self._asking.done()
        return not self._crew and any(each.due <= time.monotonic() for each in self._waiting.values())

    async def wait(self) -> None:
        """Waits until `step` has something to do; may be cancelled at any time."""
        if self._thread is not None:
            await self._thread.wait()
        elif self._asking is not None:
            await asyncio.wait({self._asking})
        elif self._crew or not self._waiting:
            await asyncio.Event().wait()  # the other streams go on first
        else:
            due = min(each.due for each in self._waiting.values())
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def step(self, shared: LogPosition) -> list[Batch]:
        """Does what can be done now; returns batches that become visible together.

        Args:
            shared: Where the other streams are.

        Raises:
            ConnectorError: A stream failed, and streams are not parked.
        """
        if self._thread is not None:
            return await self._read(self._thread, shared)
        if self._crew:
            self._begin_round(shared)
            return []
        if self._asking is not None:
            return self._take_answers(shared) if self._asking.done() else []
        self._ask(shared)
        return []

    # --- asking the server

    def _ask(self, shared: LogPosition) -> None:
        now = time.monotonic()
        due = [each for each in self._waiting.values() if each.due <= now]
        if not due or not shared.file:
            return
        for each in due:
            del self._waiting[each.id]
        wishes = [
            Wish(each.id, None if each.stream is None else each.stream.stand(shared), again=each.again) for each in due
        ]
        self._asked = due
        self._asking = asyncio.create_task(asyncio.to_thread(self._resuming.ask, wishes, shared))

    def _take_answers(self, shared: LogPosition) -> list[Batch]:
        asking, self._asking, asked, self._asked = self._asking, None, self._asked, []
        assert asking is not None  # noqa: S101 - asked by the caller
        try:
            answers = asking.result()
        except ConnectorError as error:
            answers = [error] * len(asked)
        batches, ready = list[Batch](), list[FollowedStream]()
        for each, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Resumed):
                stream = each.stream
                if stream is None:
                    stream = FollowedStream(answer.start, shared, answer.rows, is_behind=True)
                stream.estimate = answer.rows
                stream.resume(answer.start, answer.incident)
                if answer.incident is not None:
                    self._report.count("resnapshots")
                ready.append(stream)
                stream.report(self._report)
                batches.append(stream.first_batch(shared))
            else:
                batches += self._fail(each.id, each.stream, answer, shared)
        ready.sort(key=lambda stream: order_of(stream.stand(shared).log))
        self._muster(ready, shared)
        return batches

    def _fail(self, id_: str, stream: FollowedStream | None, error: ConnectorError, shared: LogPosition) -> list[Batch]:
        if not self._isolates:
            raise error
        is_reported = stream is None or stream.failure is error
        self.add(id_, stream)
        if self._reported.get(id_) != error.message:
            self._reported[id_] = error.message
            self._report.note(
                f"{id_} is paused and tried again from time to time, the others continue: {error.message}",
                stream=id_, reason=error.reason,
            )  # fmt: skip
        if not isinstance(error, ActionRequiredError):
            return []
        self._report.stream(id_, StreamState.FAILED, error.reason, error.message)
        if stream is None:
            return []
        batches = [] if is_reported else [stream.park(error, shared, time.time())]
        kept = self._resuming.server.kept_seconds
        if kept and (warning := stream.warn_of_expiry(kept, shared, time.time())) is not None:
            self._report.note(warning.incidents[0].message, stream=id_, reason=error.reason)
            batches.append(warning)
        return batches

    # --- reading

    def _muster(self, streams: list[FollowedStream], shared: LogPosition) -> None:
        """Makes a crew of the streams at the oldest position; the others follow when it has come to them."""
        if not streams:
            self._crew = {}
            return
        self._at = streams[0].stand(shared).log
        self._crew = {
            stream.id: stream for stream in streams if place_in_log(stream.stand(shared).log) == place_in_log(self._at)
        }
        self._later = []
        for stream in streams:
            if stream.id in self._crew:
                continue
            if stream.stand(shared).log.file:
                self._later.append(stream)
            else:
                # By GTID alone it is unknown where it stands: it is a crew of its own.
                self.add(stream.id, stream, fails=False)
        self._begin_round(shared)

    def _begin_round(self, shared: LogPosition) -> None:
        target = shared
        if self._later:
            target = self._later[0].stand(shared).log
        if not target.file or (self._at.file and order_of(self._at) > order_of(target)):
            return  # the other streams have not come so far yet
        self._target, self._began = target, time.monotonic()
        stands = [stream.stand(shared) for stream in self._crew.values()]
        first, *others = [(stand.definition, stand.log) for stand in stands]
        server = self._resuming.server
        reader = LogReader(self._settings, server, *first, *others, isolates=self._isolates, until=target)
        self._thread = LogThread(self._settings, reader, self._at, Answers(self._settings, server))
        self._thread.start()

    async def _read(self, thread: LogThread, shared: LogPosition) -> list[Batch]:
        if thread.end is not None:
            await self._end_round(thread.end, shared)
            return []
        if not thread.has_news:
            return []
        try:
            group = [await thread.next()]
            while group[-1].has_more:
                group.append(await thread.next())
        except ConnectorError as error:
            return await self._break_off(error, shared)
        return await self._apply(group, shared)

    async def _apply(self, group: Sequence[LogBatch], shared: LogPosition) -> list[Batch]:
        batches = []
        for log_batch in group:
            stream = self._crew[log_batch.definition.id]
            batches.append(stream.apply(log_batch, time.time(), shared=shared))
            if stream.failure is not None:
                del self._crew[stream.id]
                batches += self._fail(stream.id, stream, stream.failure, shared)
                self._waiting[stream.id].again = self._settings.resnapshots
        self._at = group[-1].log
        if not self._crew:
            await self._close_thread()
            self._muster(self._later, shared)
        return batches

    async def _break_off(self, error: ConnectorError, shared: LogPosition) -> list[Batch]:
        """The log can't be read: a failure of all streams of the crew."""
        await self._close_thread()
        crew, self._crew = list(self._crew.values()), {}
        batches = []
        for stream in crew:
            batches += self._fail(stream.id, stream, error, shared)
            # Some servers tell only now that the log is gone.
            self._waiting[stream.id].again = self._settings.resnapshots and isinstance(error, LogGoneError)
        self._muster(self._later, shared)
        return batches

    async def _end_round(self, end: LogPosition, shared: LogPosition) -> None:
        took = time.monotonic() - self._began
        await self._close_thread()
        self._at = end
        for stream in self._crew.values():
            stream.advance(end)
        while self._later and order_of(self._later[0].stand(shared).log) <= order_of(end):
            stream = self._later.pop(0)
            self._crew[stream.id] = stream
        if not self._later and place_in_log(end) == place_in_log(shared) and has_all_of(end.gtids, shared.gtids):
            self.arrived = list(self._crew.values())
            self._joined |= dict.fromkeys(self._crew, time.monotonic())
            self._crew, self._holds, self.hold_seconds = {}, False, HOLD_SECONDS
            return
        if not self._later:
            self.hold_seconds = min(1.5 * self.hold_seconds, MOST_HOLD_SECONDS)
        self._holds = took < self.hold_seconds and not self._later
        self._begin_round(shared)

    async def _close_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.close()

    async def close(self) -> None:
        """Ends all threads and connections."""
        asking, self._asking = self._asking, None
        if asking is not None:
            await asyncio.gather(asking, return_exceptions=True)
        await self._close_thread()
