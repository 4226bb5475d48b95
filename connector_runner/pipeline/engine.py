"""Runs reader and writer together until the stream ends, a user must act, or a stop is requested."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import Callable, Mapping
from typing import Any

from connector_runner.pipeline.pace import Pace
from connector_runner.pipeline.queue import BatchQueue, Limits
from connector_runner.pipeline.reader import Reader
from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.pipeline.writer import Writer
from connector_runner.protocols.batch import place_of
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.sink import Claim, Sink
from connector_runner.protocols.source import Opened, Source, StreamState
from connector_runner.resilience.backoff import Backoff
from connector_runner.schemas.outcome import ExitCode

# Shorter than the operator's grace period (30 s or more); in this time what was read is committed.
STOP_SECONDS = 20.0
CLOSE_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 600.0
# Rows and batches form no reference cycles; collecting after every 700 objects took up to a third of the time for single rows.
OBJECTS_BETWEEN_COLLECTIONS = 50_000


class Engine:
    """One execution: carries the selected streams into one dataset."""

    def __init__(
        self, build_source: Callable[[], Source], sink: Sink, telemetry: Telemetry, *, wait: bool,
        limits: Limits | None = None, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        self.queue = BatchQueue(limits or Limits())
        self._telemetry = telemetry
        self._stopping = asyncio.Event()
        self._pace = pace or Pace()
        self._failed: set[str] = set()
        self._reader = Reader(build_source, self.queue, telemetry, Backoff(random.random), self._opened)
        self._writer = Writer(
            sink, self.queue, telemetry, Backoff(random.random), wait=wait, pace=self._pace, on_parked=self._parked
        )
        self._selecting = asyncio.Lock()

    def stop(self) -> None:
        """Commits what was read, then `run` returns `TERMINATED`."""
        self._stopping.set()

    def reconnect(self) -> None:
        """Credentials were rotated: source and sink connect again with the present ones."""
        self._telemetry.note("mounted Secrets have changed; connecting again")
        self._reader.reconnect()
        self._writer.reconnect()

    async def select(self, tables: Mapping[str, str] | None, record: str = "") -> Claim:
        """Changes the selection while it runs.

        Reading stops where it is, what was read is committed, the claim is changed, and the source is opened again with the
        checkpoints of the new selection: streams that stay go on exactly, streams that left are released at their present position.

        Args:
            tables: Stream → table, all of the new selection; None for the present one. Streams that failed are tried again.

            record: See `Sink.select`.

        Returns:
            The new claim.
        """
        async with self._selecting:
            claim = await self._reader.select(lambda: self._writer.select(tables, record))
            self._report_claimed(claim, "the selection is claimed")
            return claim

    async def _retry_failed(self) -> None:
        """Tries streams that failed in the dataset again: each attempt opens the source again, so ever more rarely."""
        delay, before = self._pace.retry, set[str]()
        while True:
            await asyncio.sleep(delay)
            if failed := set(self._failed):
                delay = min(delay * 2, LONGEST_RETRY_SECONDS) if failed == before else self._pace.retry
                before = failed
                self._telemetry.note("streams that failed are tried again", streams=len(failed))
                await self.select(None)

    def _parked(self, stream: str) -> None:
        self._failed.add(stream)
        self._reader.leave_out(stream)

    def _opened(self, opened: Opened) -> None:
        unreadable = []
        for stream, error in opened.failed.items():
            self._telemetry.stream(stream, StreamState.FAILED, error.reason, error.message)
            if stream not in opened.schemas and self._reader.has_position(stream):
                unreadable.append(ActionRequiredError(error.message, reason=error.reason))
                unreadable[-1].stream = stream
        self._writer.announce(tuple(opened.schemas.values()), unreadable)

    async def run(self) -> ExitCode:
        """Runs until the end.

        Returns:
            END_OF_STREAM, or TERMINATED after `stop`.

        Raises:
            ActionRequiredError: A user must act; rows that were read before are committed if the dataset accepts them.
        """
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
        stopping = asyncio.create_task(self._stopping.wait())
        tasks: list[asyncio.Task[Any]] = [stopping]
        try:
            claiming = asyncio.create_task(self._writer.claim())
            tasks.append(claiming)
            await asyncio.wait({stopping, claiming}, return_when=asyncio.FIRST_COMPLETED)
            if not claiming.done():
                return ExitCode.TERMINATED
            claim = claiming.result()
            self._report_claimed(claim, "the dataset is claimed")
            if claim.failures and not claim.checkpoints:
                raise next(iter(claim.failures.values()))
            reading = asyncio.create_task(self._reader.run(claim))
            writing = asyncio.create_task(self._writer.run())
            tasks += [reading, writing, asyncio.create_task(self._retry_failed())]
            await asyncio.wait({stopping, reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            return await self._wind_up(reading, writing, stopping)
        finally:
            for task in tasks:
                await _end(task)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._writer.close()

    def _report_claimed(self, claim: Claim, message: str) -> None:
        self._failed = set(claim.failures)
        self._telemetry.select([*claim.checkpoints, *claim.failures])
        for stream, error in claim.failures.items():
            self._telemetry.parked(stream, error)
        if len(claim.checkpoints) == 1:
            (checkpoint,) = claim.checkpoints.values()
            where: dict[str, Any] = {"position": place_of(checkpoint.position) if checkpoint else None}
        else:
            where = {"streams": len(claim.checkpoints), "new": list(claim.checkpoints.values()).count(None)}
        self._telemetry.note(message, epoch=claim.epoch, **where)

    async def _wind_up(
        self, reading: asyncio.Task[None], writing: asyncio.Task[None], stopping: asyncio.Task[Any]
    ) -> ExitCode:
        """A task ended: commits what was read, then raises or returns the reason."""
        if writing.done():
            writing.result()
        failure = reading.exception() if reading.done() else None
        if not reading.done():
            await _end(reading)
        self.queue.close()
        if failure is None and not stopping.done():
            await asyncio.wait({stopping, writing}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({writing}, timeout=STOP_SECONDS)
        if writing.done():
            writing.result()
        else:
            self._telemetry.log(
                "warning", f"not committed within {STOP_SECONDS:.0f} s: the last batches; they are read again"
            )
        if failure is not None:
            raise failure
        return ExitCode.TERMINATED if stopping.done() else ExitCode.END_OF_STREAM


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
