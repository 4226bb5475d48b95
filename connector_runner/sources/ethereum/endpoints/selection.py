"""Selects the endpoint of a configuration that is in use, and connects to it; verifies that it is on the right chain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from connector_runner.protocols.errors import SourceChangedError
from connector_runner.protocols.source import Report, require_same_source
from connector_runner.sources.ethereum.endpoints.identity import identify, whole_number
from connector_runner.sources.ethereum.errors import MalformedAnswerError, NodeFailure, Verdict
from connector_runner.sources.ethereum.rpc.methods import HEAD_NUMBER
from connector_runner.sources.ethereum.rpc.sockets import build_transport
from connector_runner.sources.ethereum.rpc.transport import Transport
from connector_runner.sources.ethereum.settings import Endpoint


class EndpointSelection:
    """The endpoint in use; it is replaced by another one when it fails, is paused by a rate limit, or lags.

    Attributes:
        identity: The chain's identity, once it is known; endpoints on another chain are not used.
        changes: How often the endpoint in use was replaced by another one.
    """

    def __init__(self, endpoints: Sequence[Endpoint], report: Report) -> None:
        self._endpoints = endpoints
        self._report = report
        self._current = 0
        self._transport: Transport | None = None
        self._lock = asyncio.Lock()
        self._free_at = [0.0] * len(endpoints)
        self.identity: str | None = None
        self.changes = 0

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint in use."""
        return self._endpoints[self._current]

    @property
    def index(self) -> int:
        """The index of the endpoint in use, from 0."""
        return self._current

    @property
    def count(self) -> int:
        """The number of endpoints."""
        return len(self._endpoints)

    async def connect(self, recorded: str | None) -> str:
        """Connects to the first endpoint that answers and is on the recorded chain, if there is one; returns its identity.

        Raises:
            SourceChangedError: All endpoints that answer are on another chain.
            TransientError, ActionRequiredError: No endpoint answers; the error is that of the first one.
        """
        failures: list[Exception] = []
        self.identity = recorded
        for _ in self._endpoints:
            try:
                await self._link()
                assert self.identity is not None  # noqa: S101 - set by the link
                return self.identity
            except (NodeFailure, SourceChangedError) as failure:
                failures.append(failure)
                self._report.note(str(failure))
                self._current = (self._current + 1) % len(self._endpoints)
        changed = [failure for failure in failures if isinstance(failure, SourceChangedError)]
        if len(changed) == len(failures):
            raise changed[0]
        refusals = [failure for failure in failures if isinstance(failure, NodeFailure)]
        # Wait for an endpoint that may come back on the right chain, whatever the others answered.
        transient = [refusal for refusal in refusals if refusal.verdict is Verdict.TRANSIENT]
        raise (transient or refusals)[0].as_error()

    async def _link(self) -> Transport:
        async with self._lock:
            while self._transport is None:
                used = self._current
                transport = build_transport(self.endpoint)
                try:
                    await transport.connect()
                    await self._verify(transport)
                except BaseException:
                    await transport.close()
                    raise
                if used == self._current:
                    self._transport = transport
                else:  # another request changed to the next endpoint meanwhile
                    await transport.close()
            return self._transport

    async def _verify(self, transport: Transport) -> None:
        """Checks that the endpoint has the known chain id and genesis block.

        Raises:
            SourceChangedError: It has different ones.
        """
        found = await identify(transport)
        self.identity = self.identity or found
        try:
            require_same_source(self.identity, found)
        except SourceChangedError as error:
            raise SourceChangedError(f"{transport.endpoint.shown}: {error.message}") from None

    def _turn(self, now: float, place: int) -> tuple[float, int]:
        """Sort key of endpoints: those that are available first, beginning with the current one."""
        return max(now, self._free_at[place]), (place - self._current) % self.count

    async def _drop(self, transport: Transport | None) -> None:
        """Closes a connection, so that the next request opens a new one. Does nothing if it is no longer in use."""
        if transport is not None and transport is self._transport:
            self._transport = None
            await transport.close()

    async def reconnect(self) -> None:
        """Makes the next request open a new connection, which verifies the chain again."""
        await self._drop(self._transport)

    async def rotate(self, why: str, used: int | None = None) -> None:
        """Changes to the next endpoint that is available, if any; not if another request has already left endpoint `used`."""
        now = time.monotonic()
        place = min(range(self.count), key=lambda place: (place == self._current, *self._turn(now, place)))
        if used in (None, self._current) and place != self._current and self._free_at[place] <= now:
            await self._go_over(place, why=why)

    async def _go_over(self, place: int, **why: Any) -> None:
        # Changed before the first await, so that of several concurrent failures only the first one does it.
        self._current = place
        self.changes += 1
        left, self._transport = self._transport, None
        self._report.count("endpoint_changes")
        self._report.note(f"going over to {self.endpoint.shown}", **why)
        if left is not None:
            await left.close()

    async def heads_of_others(self) -> dict[int, int]:
        """Returns the newest block numbers of the other endpoints that answer, by their index, to find out whether one is ahead."""
        heads = {}
        for place, endpoint in enumerate(self._endpoints):
            if place == self._current:
                continue
            transport = build_transport(endpoint)
            try:
                async with asyncio.timeout(10):
                    await transport.connect()
                    await self._verify(transport)
                    heads[place] = whole_number((await transport.send([(HEAD_NUMBER, [])]))[0])
            except (NodeFailure, SourceChangedError, MalformedAnswerError, TimeoutError):
                continue
            finally:
                await transport.close()
        return heads

    async def close(self) -> None:
        """Closes the connection in use."""
        await self._drop(self._transport)
