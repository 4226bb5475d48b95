"""Requests the trades that a `MatchesReader` lacks from REST: a few pages at a time, with backoff while REST fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterable

from connector_runner.protocols.errors import TransientError
from connector_runner.resilience.backoff import Backoff
from connector_runner.sources.coinbase.decode.messages import RestTrade
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.rest.client import RestClient
from connector_runner.sources.coinbase.settings import RETRY_JITTER
from connector_runner.sources.coinbase.trades.reader import MatchesReader, Request

PAGES_AT_ONCE = 4
RETRY_SECONDS = (1.0, 30.0)
LONGEST_RETRY_AFTER = 60.0


class Backfill:
    """Requests in progress, and responses that wait to be drained."""

    def __init__(self, rest: RestClient, wake: asyncio.Event) -> None:
        """Args: wake: Set when there is something to drain."""
        self._rest = rest
        self._wake = wake
        self._answers: deque[tuple[Request, list[RestTrade] | Exception, float]] = deque()
        self._fetching: set[asyncio.Task[None]] = set()
        self._delays: dict[str, Backoff] = {}

    def ask(self, reader: MatchesReader, now: float) -> None:
        """Starts the requests that are due."""
        for request in reader.due(now, PAGES_AT_ONCE - len(self._fetching)):
            task = asyncio.create_task(self._fetch(request))
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)

    def drain(self, reader: MatchesReader) -> Iterable[BatchBuilder]:
        """The responses of REST, as builders; each counts from the time when it arrived.

        Raises:
            Exception: An error that no retry can fix.
        """
        while self._answers:
            request, answer, came = self._answers.popleft()
            builder = BatchBuilder()
            if isinstance(answer, TransientError):
                delay = self._backoff_of(request.product).next_delay()
                reader.failed(request, came + max(delay, min(answer.retry_after or 0.0, LONGEST_RETRY_AFTER)))
                builder.notes.append(f"trades can't be filled yet: {answer.message}")
            elif isinstance(answer, Exception):
                raise answer
            else:
                self._delays.pop(request.product, None)
                reader.fill(request, answer, builder, came)
            yield builder

    async def close(self) -> None:
        """Cancels all requests; safe to call twice."""
        for task in self._fetching:
            task.cancel()
        await asyncio.gather(*self._fetching, return_exceptions=True)
        self._fetching.clear()

    def _backoff_of(self, product: str) -> Backoff:
        return self._delays.setdefault(product, Backoff(random.random, *RETRY_SECONDS, RETRY_JITTER))

    async def _fetch(self, request: Request) -> None:
        """Every outcome is kept as a response: a product whose request was forgotten would wait forever."""
        answer: list[RestTrade] | Exception
        try:
            answer = await self._rest.trades(request)
        except Exception as error:
            answer = error
        self._answers.append((request, answer, time.monotonic()))
        self._wake.set()
