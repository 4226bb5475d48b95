"""Workers that visit keys, and what follows a failed visit: growing delays for that key alone."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from connector_operator.engine.fair_queue import Key
from connector_operator.engine.queue import Priority, WorkQueue
from connector_operator.metrics import FAILURES, QUEUE_LENGTH, VISIT_SECONDS
from connector_runner.resilience.backoff import backoff_delay

HEARTBEAT = Key("heartbeat", "", "")
_BEAT_SECONDS = 5.0
_LONGEST_VISIT = 180.0
_SHORTEST_DELAY, _LONGEST_DELAY = 0.5, 300.0
_JITTER = (0.8, 1.2)

log = logging.getLogger(__name__)


class VisitError(Exception):
    """A visit could not be finished, for a known reason.

    Attributes:
        delay: When to visit again, in seconds; None: with growing delays.
        shortest: The first of these, in seconds.
        is_expected: Part of normal operation (somebody else wrote first): not worth a warning.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        delay: float | None = None,
        shortest: float = _SHORTEST_DELAY,
        is_expected: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.delay = delay
        self.shortest = shortest
        self.is_expected = is_expected


class Workers:
    """Runs `visit` for each key of the queue; it returns after how many seconds to visit again, None for not at all."""

    def __init__(self, queue: WorkQueue, visit: Callable[[Key], Awaitable[float | None]], count: int) -> None:
        self._queue = queue
        self._visit = visit
        self._count = count
        self._failures: dict[Key, int] = {}
        self.last_beat = time.monotonic()

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat())
            for _ in range(self._count):
                group.create_task(self._work())

    def is_turning(self, within: float = 60.0) -> bool:
        """Whether a heartbeat has recently passed through the queue and a worker: proves that the loop is running."""
        return time.monotonic() - self.last_beat < within

    async def _beat(self) -> None:
        while True:
            self._queue.add(HEARTBEAT, Priority.PERSON)
            QUEUE_LENGTH.set(len(self._queue))
            await asyncio.sleep(_BEAT_SECONDS)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                if key == HEARTBEAT:
                    self.last_beat = time.monotonic()
                else:
                    await self._serve(key)
            finally:
                self._queue.done(key)
            # A visit that needs no request waits for nothing: thousands in a row would hold up the Lease and the probes.
            await asyncio.sleep(0)

    async def _serve(self, key: Key) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_LONGEST_VISIT):
                again = await self._visit(key)
            self._failures.pop(key, None)
        except VisitError as error:
            FAILURES.labels(reason=error.reason).inc()
            level = logging.DEBUG if error.is_expected else logging.WARNING
            again = self._delay(key, error.shortest) if error.delay is None else error.delay
            log.log(level, "%s: looking again in %.1f s", error, again, extra=_about(key))
        except Exception:
            # An unexpected error with one object must not stop the others: it alone waits, and the error is reported.
            FAILURES.labels(reason="Unexpected").inc()
            again = self._delay(key)
            log.exception("an unexpected error; looking again in %.1f s", again, extra=_about(key))
        VISIT_SECONDS.observe(time.monotonic() - started)
        if again is not None:
            self._queue.add(key, Priority.CLUSTER, max(again, 0.001))

    def _delay(self, key: Key, shortest: float = _SHORTEST_DELAY) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return backoff_delay(failures - 1, shortest, _LONGEST_DELAY, random.random(), _JITTER)  # noqa: S311


def _about(key: Key) -> dict[str, str]:
    return {"kind": key.kind, "namespace": key.namespace, "object": key.name}
