"""Turns the queue into transactions, larger ones when it is far behind, and confirms them in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from connector_runner.pipeline.pace import Pace
from connector_runner.pipeline.parking import Parked, ignore
from connector_runner.pipeline.queue import BatchQueue, Group
from connector_runner.pipeline.quiet import keep_places, only_last
from connector_runner.pipeline.staged import Sent, Staged
from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import ActionRequiredError, TransientError, require_not_back
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import Claim, Receipt, Sink, Transaction, WriteAgain
from connector_runner.resilience.backoff import Backoff

# With `wait: false`: how many transactions may be in flight.
IN_FLIGHT = 4
# Calls that take longer are reported: a lock, a hanging server.
SLOW_SECONDS = 5.0

T = TypeVar("T")


class Writer:
    """The only user of the sink."""

    def __init__(
        self, sink: Sink, queue: BatchQueue, telemetry: Telemetry, backoff: Backoff, *, wait: bool,
        pace: Pace | None = None, on_parked: Callable[[str], None] = ignore,
    ) -> None:  # fmt: skip
        self._sink = sink
        self._queue = queue
        self._telemetry = telemetry
        self._backoff = backoff
        self._in_flight = 1 if wait else IN_FLIGHT
        self._pace = pace or Pace()
        self._sent: deque[Sent] = deque()
        self._number = 0
        self._prepared: dict[str, str] = {}
        self._quiet: Group | None = None
        self._last_send = time.monotonic()
        self._reported_at = 0.0
        self._reconnect_asked = False
        self._announced: tuple[StreamSchema, ...] = ()
        self._unreadable: list[ActionRequiredError] = []
        self._claimed = Claim({}, 0, 0)
        self._parked = Parked(telemetry, on_parked)
        self._staged = Staged(sink, telemetry)
        self._request: tuple[Mapping[str, str] | None, str, asyncio.Future[Claim]] | None = None

    async def claim(self) -> Claim:
        """Claims the dataset, retrying as long as necessary."""
        while True:
            try:
                claim = await self._watched(self._sink.claim(), "the claim of the dataset")
            except TransientError as error:
                await self._wait_out(error)
                continue
            self._number, self._claimed = claim.number, claim
            self._succeeded()
            return claim

    def announce(self, schemas: tuple[StreamSchema, ...], failed: Sequence[ActionRequiredError] = ()) -> None:
        """The source is open: before the first row, creates the tables and proves with a heartbeat that commits go through.

        Args:
            schemas: Of the streams that can be read.
            failed: For streams that can't be read and have a checkpoint: they are parked there before anything else is committed.
        """
        self._announced = schemas
        self._unreadable += failed
        self._queue.wake()

    def reconnect(self) -> None:
        """Makes the sink connect again before the next transaction: its credentials were rotated."""
        self._reconnect_asked = True
        self._queue.wake()

    async def select(self, tables: Mapping[str, str] | None, record: str = "") -> Claim:
        """Changes the selection once everything is committed that was read; until this returns, nothing may be read."""
        future: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        self._request = (tables, record, future)
        self._queue.wake()
        return await future

    async def run(self) -> None:
        """Writes until the queue is finished and everything is confirmed.

        Raises:
            ActionRequiredError: From the sink.
        """
        while not self._queue.is_finished:
            while self._reconnect_asked or self._announced or self._unreadable:
                await self._do_what_was_asked()
            group = self._queue.take()
            if group is None:
                await (self._select(*self._request) if self._request else self._idle())
            elif group.has_rows:
                await self._write(self._take_quiet(group))
            else:
                self._quiet = self._take_quiet(only_last(group))
                if self._seconds_since_send() >= self._pace.heartbeat:
                    await self._flush_quiet()
        await self._flush_quiet()
        await self._settle()

    async def _do_what_was_asked(self) -> None:
        if self._unreadable:
            await self._settle()
        while self._unreadable:
            await self._isolate(self._unreadable.pop(0))
        if self._reconnect_asked:
            self._reconnect_asked = False
            await self._settle()
            await self._repair(WriteAgain("the dataset's credentials were rotated"))
        if schemas := self._announced:
            self._announced = ()
            await self._settle()
            for schema in schemas:
                if schema.stream not in self._prepared:
                    await self._prepare(schema)
            await self._send((), "")
            if self._staged.sink is not None:
                await self._settle()  # a heartbeat that is only staged proves nothing

    async def _select(self, tables: Mapping[str, str] | None, record: str, future: asyncio.Future[Claim]) -> None:
        await self._flush_quiet()
        await self._settle()
        while True:
            try:
                claim = await self._watched(self._sink.select(tables, record), "the change of the selection")
                break
            except TransientError as error:
                await self._repair(error)
        self._request = None
        before, self._claimed = self._claimed.tables, claim
        stay = {stream for stream in claim.checkpoints if before.get(stream) == claim.tables.get(stream)}
        stay -= self._parked.clear()
        self._prepared = {stream: version for stream, version in self._prepared.items() if stream in stay}
        if not future.done():
            future.set_result(claim)

    async def _write(self, group: Group) -> None:
        for stream, schema in group.schemas.items():
            if schema.version != self._prepared.get(stream) and stream not in self._parked:
                await self._settle()
                await self._prepare(schema, renews=group.renews(stream))
        await self._send(tuple(group.batches), group.identity)

    async def _flush_quiet(self) -> None:
        if self._quiet is not None:
            quiet, self._quiet = self._quiet, None
            await self._write(quiet)

    def _take_quiet(self, group: Group) -> Group:
        quiet, self._quiet = self._quiet, None
        return group if quiet is None else keep_places(quiet, group)

    def _seconds_since_send(self) -> float:
        return time.monotonic() - self._last_send

    async def _idle(self) -> None:
        """Waits until there is something to take, a commit is confirmed, or a heartbeat is due."""
        due = self._pace.heartbeat if self._quiet else self._pace.idle
        waiting = asyncio.create_task(self._queue.wait())
        try:
            watched: set[asyncio.Task[object]] = {waiting, *([self._sent[0].task] if self._sent else [])}
            timeout = self._seconds_to_slow() if self._sent else due - self._seconds_since_send()
            timeout = min(timeout, self._staged.seconds_left())
            done, _ = await asyncio.wait(watched, timeout=max(0.0, timeout), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._sent:
            if self._sent[0].task.done():
                await self._confirm_oldest()
            elif self._seconds_to_slow() <= 0:
                self._report_slow()
        elif self._staged.is_due:
            await self._flush()
        elif not done and self._seconds_since_send() >= due:
            await (self._flush_quiet() if self._quiet else self._send((), ""))

    async def _send(self, batches: tuple[Batch, ...], identity: str) -> None:
        while len(self._sent) >= self._in_flight:
            await self._confirm_oldest()
        if self._staged.is_due:
            await self._flush()
        self._number += 1
        self._dispatch(Transaction(self._number, batches, identity))
        if self._in_flight == 1:
            await self._confirm_oldest()

    def _dispatch(self, transaction: Transaction) -> None:
        transaction = self._parked.leave_out(transaction)
        self._last_send = time.monotonic()
        self._sent.append(Sent(transaction, asyncio.create_task(self._sink.write(transaction)), self._last_send))

    async def _settle(self) -> None:
        while self._sent:
            await self._confirm_oldest()
        await self._flush()

    async def _flush(self) -> None:
        await self._staged.commit(self._watched, self._repair)

    async def _confirm_oldest(self) -> None:
        oldest = self._sent[0]
        while not oldest.task.done():
            await asyncio.wait({oldest.task}, timeout=max(0.0, self._seconds_to_slow()))
            if not oldest.task.done() and self._seconds_to_slow() <= 0:
                self._report_slow()
        try:
            receipt = oldest.task.result()
        except TransientError as error:
            await self._repair(error)
        except ActionRequiredError as error:
            await self._isolate(error)
        else:
            self._confirmed(receipt)

    def _seconds_to_slow(self) -> float:
        """Seconds until the oldest transaction in flight must be reported as slow, the first time or again."""
        return max(self._sent[0].at, self._reported_at) + SLOW_SECONDS - time.monotonic()

    def _report_slow(self) -> None:
        self._reported_at = time.monotonic()
        self._telemetry.sink_slow("a transaction", self._reported_at - self._sent[0].at)
        self._report_lag()

    def _report_lag(self) -> None:
        """Reports the lag while nothing is confirmed: that of the oldest rows in flight."""
        batches = self._sent[0].transaction.batches if self._sent else ()
        self._telemetry.behind(batches[0].event_time if batches else None)

    async def _watched(self, work: Coroutine[Any, Any, T], what: str) -> T:
        """Awaits `work` of the sink and reports if it takes long."""
        task, start = asyncio.create_task(work), time.monotonic()
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=SLOW_SECONDS)
                if not task.done():
                    self._telemetry.sink_slow(what, time.monotonic() - start)
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    def _confirmed(self, receipt: Receipt) -> None:
        oldest = self._sent.popleft()
        self._staged.written(oldest.transaction, receipt, oldest.at)
        self._succeeded()

    def _succeeded(self) -> None:
        self._backoff.reset()
        self._telemetry.sink_connected()

    async def _repair(self, error: TransientError) -> None:
        """After a failed commit: asks the sink for the last committed number, and sends the rest again, in order.

        Raises:
            DatasetWentBackError: Transactions that were confirmed are gone.
        """
        if self._sent:
            await asyncio.wait([sent.task for sent in self._sent])
        while True:
            if not isinstance(error, WriteAgain):
                await self._wait_out(error)
            try:
                number = await self._watched(self._sink.recover(), "the new connection")
                await self._parked.store(self._sink)
                break
            except TransientError as next_error:
                error = next_error
        require_not_back(number, self._sent[0].transaction.number - 1 if self._sent else self._number)
        unconfirmed: list[Transaction] = []
        while self._sent:
            transaction, task = self._sent[0].transaction, self._sent[0].task
            failure = task.exception()
            if transaction.number <= number:
                self._confirmed(Receipt() if failure else task.result())
            else:
                unconfirmed.append(transaction)
                self._sent.popleft()
        for transaction in unconfirmed:
            self._dispatch(transaction)

    async def _isolate(self, error: ActionRequiredError) -> None:
        """Parks the stream that failed and sends the rest again; raises if it is not one stream's failure or no other is left."""
        if not error.stream or self._parked.would_hold_all(error.stream, self._claimed.checkpoints):
            raise error
        self._parked.add(error)
        await self._repair(WriteAgain(error.message))

    async def _wait_out(self, error: TransientError) -> None:
        delay = self._backoff.next_delay(error.retry_after)
        self._telemetry.sink_lost(error, delay)
        self._report_lag()
        await asyncio.sleep(delay)

    async def _prepare(self, schema: StreamSchema, *, renews: bool = False) -> None:
        while True:
            try:
                await self._watched(self._sink.prepare(schema, renews=renews), "the preparation of the table")
            except TransientError as error:
                await self._repair(error)
                continue
            except ActionRequiredError as error:
                if schema.since:
                    error.add(f". The stream is so since: {schema.since}")
                await self._isolate(error)
            else:
                self._prepared[schema.stream] = schema.version
            return

    async def close(self) -> None:
        """Drops unconfirmed transactions and closes the sink."""
        if self._request is not None:
            self._request[-1].cancel()
        for sent in self._sent:
            sent.task.cancel()
        if self._sent:
            await asyncio.gather(*(sent.task for sent in self._sent), return_exceptions=True)
        await self._sink.close()
