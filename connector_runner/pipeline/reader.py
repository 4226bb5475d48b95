"""Reads the source into the queue; after a lost connection opens it again at the last position."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from connector_runner.pipeline.queue import BatchQueue
from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.batch import Batch, Position, whole_position
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.sink import Claim
from connector_runner.protocols.source import Checkpoint, Opened, Source
from connector_runner.resilience.backoff import Backoff

# A source that never waits would keep the writer from sending; after this many batches the event loop runs other tasks.
BATCHES_A_TURN = 64


class Reader:
    """Reads the streams of one source, each from its checkpoint on."""

    def __init__(
        self, build: Callable[[], Source], queue: BatchQueue, telemetry: Telemetry, backoff: Backoff,
        on_opened: Callable[[Opened], None],
    ) -> None:  # fmt: skip
        self._build = build
        self._queue = queue
        self._telemetry = telemetry
        self._backoff = backoff
        self._on_opened = on_opened
        self._handed_over: dict[str, Checkpoint | None] = {}
        self._places: dict[str, Position] = {}
        self._left_out: set[str] = set()
        self._reading: asyncio.Task[None] | None = None
        self._reconnect_asked = False
        self._change: tuple[Callable[[], Awaitable[Claim]], asyncio.Future[Claim]] | None = None
        self._woken = asyncio.Event()

    async def run(self, start: Claim) -> None:
        """Reads until the streams end.

        Args:
            start: Their checkpoints in the dataset.

        Raises:
            ActionRequiredError: A user must act.
        """
        self._start_from(start)
        while True:
            if self._change is not None:
                await self._reselect(*self._change)
            self._reading = asyncio.create_task(self._read())
            try:
                await self._reading
                if self._change is None:
                    return
            except TransientError as error:
                delay = self._backoff.next_delay(error.retry_after)
                self._telemetry.source_lost(error, delay)
                await self._wait_out(delay)
            except asyncio.CancelledError:
                asked, self._reconnect_asked = self._reconnect_asked, False
                task = asyncio.current_task()
                # If a reconnection and the end of the run come together, the end counts.
                if not asked or (task is not None and task.cancelling()):
                    self._reading.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await self._reading
                    raise

    def reconnect(self) -> None:
        """Opens the source again with the present configuration."""
        if self._reading is not None and not self._reading.done():
            self._reconnect_asked = True
            self._reading.cancel()

    async def _wait_out(self, delay: float) -> None:
        """Waits before the next attempt; a change of the selection ends it."""
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._woken.wait()

    async def select(self, change: Callable[[], Awaitable[Claim]]) -> Claim:
        """Closes the source, changes the claim, and opens the source with the checkpoints of the new one."""
        future: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        self._change = (change, future)
        self._woken.set()
        self.reconnect()
        return await future

    def leave_out(self, stream: str) -> None:
        """A stream is not opened again before the next change of the selection: the dataset can't take its rows."""
        self._left_out.add(stream)
        self._handed_over.pop(stream, None)
        self._places.pop(stream, None)

    def has_position(self, stream: str) -> bool:
        """Whether the dataset, or what was handed over for it, holds something of the stream."""
        return self._handed_over.get(stream) is not None

    def _start_from(self, claim: Claim) -> None:
        self._handed_over = dict(claim.checkpoints)
        self._places = dict(claim.places)
        self._left_out.clear()

    async def _reselect(self, change: Callable[[], Awaitable[Claim]], future: asyncio.Future[Claim]) -> None:
        claim = await change()
        self._change = None
        self._start_from(claim)
        if not future.done():
            future.set_result(claim)

    async def _read(self) -> None:
        source = self._build()
        end: Batch | None = None
        last: dict[str, Batch] = {}
        begun: list[Batch] = []
        identity = ""
        offer, turn = self._queue.offer, 0
        try:
            opened = await source.open(self._handed_over)
            identity = opened.identity
            self._on_opened(opened)
            async for received in source.batches():
                if not offer(received, identity):
                    await self._queue.put(received, identity)
                if received.more:
                    begun.append(received)
                else:
                    if begun or (end is not None and received.schema is not end.schema):
                        last.update({batch.schema.stream: batch for batch in ([end] if end else []) + begun})
                        begun.clear()
                    end = received  # entered into `last` later: nearly free while one stream goes on
                turn += 1
                if turn == BATCHES_A_TURN:
                    turn = 0
                    await asyncio.sleep(0)
        finally:
            self._queue.discard_begun()
            if end is not None:
                last[end.schema.stream] = end
                self._hand_over(end, last, identity)
                self._backoff.reset()
            await source.close()

    def _hand_over(self, newest: Batch, last: Mapping[str, Batch], identity: str) -> None:
        """The present checkpoint of each stream: the reader's position after a transaction, and the place of the stream's last batch."""
        by_stream = {self._selected(stream): batch for stream, batch in last.items() if stream not in self._left_out}
        for stream, batch in by_stream.items():
            self._places[stream] = batch.place or {}
        for stream, place in self._places.items():
            before = self._handed_over.get(stream)
            batch_of = by_stream.get(stream)
            version = batch_of.schema.version if batch_of else before.schema_version if before else ""
            self._handed_over[stream] = Checkpoint(whole_position(newest.position, place), identity, version)

    def _selected(self, stream: str) -> str:
        """The id by which a stream was selected: a source may spell that of a single one otherwise (names that fold case)."""
        return next(iter(self._handed_over)) if len(self._handed_over) == 1 else stream
