"""Combines the endpoints of a configuration: requests are limited, retried, and sent to another endpoint on failure."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from connector_runner.protocols.errors import SourceChangedError
from connector_runner.protocols.source import Report
from connector_runner.resilience.backoff import backoff_delay
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.sources.ethereum.decode.responses import Header, decode_header
from connector_runner.sources.ethereum.endpoints.concurrency import AdaptiveSemaphore
from connector_runner.sources.ethereum.endpoints.identity import whole_number
from connector_runner.sources.ethereum.endpoints.limits import EndpointLimits, limits_of
from connector_runner.sources.ethereum.endpoints.outage import Outage
from connector_runner.sources.ethereum.endpoints.selection import EndpointSelection
from connector_runner.sources.ethereum.errors import NodeFailure, OtherWayError, TooLargeError, Verdict
from connector_runner.sources.ethereum.rpc.gathering import cancel_all
from connector_runner.sources.ethereum.rpc.methods import BLOCK, HEAD_NUMBER
from connector_runner.sources.ethereum.rpc.transport import FIRST_BACKOFF, Answer, Call, Transport
from connector_runner.sources.ethereum.settings import Settings

ATTEMPTS = 4
"""Attempts of one request before the whole stream backs off."""
LONGEST_HOLD = 10.0
"""The longest Retry-After, in seconds, that is waited for here; the pipeline waits for longer ones."""


class EndpointPool(EndpointSelection):
    """Sends requests to the endpoint in use, and changes to the next one when it fails."""

    def __init__(self, settings: Settings, report: Report) -> None:
        super().__init__(settings.endpoints, report)
        self._limits = [limits_of(endpoint.url) for endpoint in settings.endpoints]
        self._semaphores = [AdaptiveSemaphore(limits.concurrency) for limits in self._limits]
        self._outage = Outage(report)
        self._rate = RateLimit(settings.requests_per_second)

    @property
    def limits(self) -> EndpointLimits:
        """The limits of the endpoint in use."""
        return self._limits[self._current]

    async def call(self, method: str, *params: Any, width: int = 1, tries: int | None = None) -> Answer:
        """Returns one request's result as raw JSON; see `call_many`.

        `width`: how many smaller requests it can be split into. `tries`: there is another request for the same; how often to try
        this one before.

        Raises:
            TooLargeError: A request that can be split failed: ask for less.
            OtherWayError: A request that has an alternative failed: use the alternative.
        """
        return (await self._attempts([(method, params)], width, tries))[0]

    async def call_many(self, calls: Sequence[Call], most: int | None = None) -> list[Answer]:
        """Returns results in order, in batches of at most `most`; retries transient failures, on another endpoint if there is one.

        Raises:
            NodeFailure: With the verdicts shrink, missing and unsupported, which the caller must handle.
            TransientError, ActionRequiredError: A failure that did not pass, or that only a person can solve.
        """
        # No batches over a socket: they would save nothing.
        most = min(most or len(calls), len(calls)) if self.endpoint.kind == "http" else 1
        tasks: list[asyncio.Task[list[Answer]]] = []
        place = 0
        try:
            while place < len(calls) and not any(task.done() and task.exception() for task in tasks):
                # Wait here, so that the size of each batch follows the newest limit when it is sent.
                await self._semaphores[self._current].room()
                size = self.limits.batch.take(min(most, len(calls) - place))
                tasks.append(asyncio.create_task(self._batch(calls[place : place + size])))
                await asyncio.sleep(0)  # let the task start
                place += size
            return [answer for found in await asyncio.gather(*tasks) for answer in found]
        finally:
            await cancel_all(tasks)

    async def _batch(self, calls: Sequence[Call]) -> list[Answer]:
        try:
            return await self._attempts(calls, 1)
        except TooLargeError:  # the limit has shrunk meanwhile; half as many is always less
            return await self.call_many(calls, len(calls) // 2)

    async def _attempts(self, calls: Sequence[Call], width: int, tries: int | None = None) -> list[Answer]:
        final: dict[int, NodeFailure] = {}
        passing: NodeFailure | None = None
        refusals = 0
        for attempt in range(ATTEMPTS + self.count - 1):
            transport: Transport | None = None
            used = self._current
            try:
                transport = await self._link()
                used = self._current
                return await self._sent(transport, calls, used)
            except SourceChangedError as error:
                if self.count == 1:
                    raise
                failure = NodeFailure(Verdict.TRANSIENT, "SourceChanged", error.message, is_unreachable=True)
            except NodeFailure as refusal:
                failure = refusal
                failure.place = used
            self._outage.failed(failure.message)
            self._ask_less(failure, calls, width, used, attempt)
            if failure.verdict in (Verdict.SHRINK, Verdict.MISSING, Verdict.UNSUPPORTED):
                raise failure
            refusals += failure.is_refusal
            if tries is not None and failure.is_refusal and (refusals >= tries or failure.verdict is Verdict.FINAL):
                raise OtherWayError(failure)
            if failure.verdict is Verdict.FINAL:
                final[used] = failure
                if len(final) == self.count:  # no endpoint is left to try
                    raise final[min(final)].as_error() from None
            else:
                passing = failure
            await self._recover(failure, transport, used, attempt)
        raise (passing or failure).as_error() from None

    async def _sent(self, transport: Transport, calls: Sequence[Call], used: int) -> list[Answer]:
        """Sends one request or batch within the known limits, and updates them with the result."""
        limits = self._limits[used]
        async with self._semaphores[used].passed() as in_flight:
            await self._pace(len(calls), used)
            timeout = limits.read_timeout(calls[0][0])
            silence, start = timeout.seconds, time.monotonic()
            self._outage.asked(start)
            try:
                answers = await transport.send(calls, silence)
            except NodeFailure as failure:
                if failure.reason == "RateLimited" or (failure.is_silence and len(calls) == 1):
                    limits.concurrency.failed(in_flight)
                if failure.is_silence:
                    timeout.timed_out(silence)
                raise
        now = time.monotonic()
        timeout.answered(now - start)
        limits.concurrency.answered()
        if transport.endpoint.kind == "http":
            limits.batch.answered(len(calls))
        self._outage.passed()
        return answers

    def _ask_less(self, failure: NodeFailure, calls: Sequence[Call], width: int, used: int, attempt: int) -> None:
        """Asks for less after a failure, whatever its message, if the request can be split; before anything else is tried.

        Raises:
            TooLargeError: The caller should split the request.
        """
        batch = self._limits[used].batch
        if width == len(calls) == 1:
            batch.restore()
        if failure.is_unreachable or failure.verdict is Verdict.MISSING or (width == 1 and len(calls) == 1):
            return
        if failure.reason == "RateLimited" and attempt < 2:  # most rate limits count requests per time
            return
        self._report.count("requests_made_smaller")
        if len(calls) > 1:
            batch.refused(len(calls), is_certain="batch" in failure.message)
        raise TooLargeError(failure)

    async def _pace(self, requests: int, used: int) -> None:
        now = time.monotonic()
        if (seconds := max(self._rate.reserve(now, requests), self._free_at[used] - now)) > 0:
            await asyncio.sleep(seconds)

    async def _recover(self, failure: NodeFailure, transport: Transport | None, used: int, attempt: int) -> None:
        """Waits as requested; changes the endpoint when it failed permanently, or again."""
        self._report.count("request_failures")
        if failure.reason == "RateLimited":
            await self._heed_limit(failure, used, attempt)
            return
        if transport is not None and transport.is_broken:
            await self._drop(transport)
        if attempt > 0 or transport is None or failure.verdict is Verdict.FINAL:
            await self.rotate(failure.message, used)
        await asyncio.sleep(_backoff(attempt, 2.0))

    async def _heed_limit(self, failure: NodeFailure, used: int, attempt: int) -> None:
        """Pauses a rate-limited endpoint as long as it requested; meanwhile the endpoint that is available first is used."""
        now = time.monotonic()
        self._free_at[used] = now + (failure.retry_after or _backoff(attempt, 5.0))

        place = min(range(self.count), key=partial(self._turn, now))
        if self._free_at[place] > now + LONGEST_HOLD:
            raise failure.as_error() from None
        if place != self._current:
            await self._go_over(place, why=failure.message)

    async def leave_if_behind(self, least: int) -> None:
        """Changes to the endpoint of this chain with the highest newest block, when it is at least `least` blocks ahead."""
        used = self._current
        head = whole_number(await self.call(HEAD_NUMBER))
        heads = await self.heads_of_others()
        if used == self._current and heads and max(heads.values()) >= head + least:
            place = max(heads, key=lambda place: heads[place])
            await self._go_over(place, why="it is ahead", head=head, ahead=heads[place])

    async def header(self, number: int | str) -> Header | None:
        """Returns a block's header by number or tag; None when the node has no such block."""
        tag = hex(number) if isinstance(number, int) else number
        return decode_header(await self.call(BLOCK, tag, False))


def _backoff(attempt: int, longest: float) -> float:
    return backoff_delay(attempt, FIRST_BACKOFF, longest, random.random())  # noqa: S311 - no secret
