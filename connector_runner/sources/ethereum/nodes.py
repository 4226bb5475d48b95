"""The endpoints of a configuration as one: connected, verified to be on the right chain, retried, rate-limited, changed on failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from connector_runner.protocols.errors import SourceChangedError
from connector_runner.protocols.source import Report, require_same_source
from connector_runner.sources.ethereum.decode.answers import Header, decode_header
from connector_runner.sources.ethereum.decode.rows import MalformedAnswerError
from connector_runner.sources.ethereum.failures import NodeFailure, Verdict
from connector_runner.sources.ethereum.pacing import RateLimit, backoff
from connector_runner.sources.ethereum.settings import Endpoint, Settings
from connector_runner.sources.ethereum.sockets import build_transport
from connector_runner.sources.ethereum.transports import Answer, Call, Transport

ATTEMPTS = 4
"""Tries of one request before the stream as a whole backs off."""
LONGEST_HOLD = 10.0
"""Seconds of Retry-After that are waited for inside; longer ones are the pipeline's to wait."""
AT_ONCE = 32
"""Requests in flight."""
_text = msgspec.json.Decoder(str)


def whole_number(answer: Answer) -> int:
    """A quantity that is an answer by itself.

    Raises:
        MalformedAnswerError: It is something else.
    """
    try:
        return int(_text.decode(answer), 16)
    except (msgspec.DecodeError, ValueError):
        raise MalformedAnswerError("expected a quantity") from None


def identity_of(chain_id: int, genesis: str) -> str:
    """What a checkpoint remembers of the chain."""
    return f"chain {chain_id}, genesis {genesis}"


class Nodes:
    """Sends requests to the endpoint in use, and uses the next one when that fails.

    Attributes:
        identity: Of the chain, once it is known; endpoints of another one are not used.
    """

    def __init__(self, settings: Settings, report: Report) -> None:
        self._endpoints = settings.endpoints
        self._report = report
        self._current = 0
        self._transport: Transport | None = None
        self._lock = asyncio.Lock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._rate = RateLimit(settings.requests_per_second)
        self._free_at = [0.0] * len(self._endpoints)
        self.identity: str | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The one in use."""
        return self._endpoints[self._current]

    @property
    def place(self) -> int:
        """Its place among them, from 0."""
        return self._current

    @property
    def count(self) -> int:
        """How many endpoints there are."""
        return len(self._endpoints)

    @property
    def has_fallbacks(self) -> bool:
        """Whether there is another one."""
        return self.count > 1

    async def connect(self, recorded: str | None) -> str:
        """Finds the first endpoint that answers, on the recorded chain if there is one; returns its identity.

        Raises:
            SourceChangedError: All that answer are on another chain.
            TransientError, ActionRequiredError: None answers; what the first one said.
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
        # One that may come back on the right chain is waited for, whatever the others say.
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
                else:  # another request went over to the next endpoint meanwhile
                    await transport.close()
            return self._transport

    async def _verify(self, transport: Transport) -> None:
        """The chain id and the genesis block are those that are known.

        Raises:
            SourceChangedError: They are not.
        """
        try:
            answers = await transport.send([("eth_chainId", []), ("eth_getBlockByNumber", ["0x0", False])])
            genesis = decode_header(answers[1])
            if genesis is None:
                raise transport_failure(transport, "has no block 0; it may still be starting")
            found = identity_of(whole_number(answers[0]), genesis.hash)
        except MalformedAnswerError as error:
            raise transport_failure(transport, f"does not answer as a node does: {error}") from None
        if self.identity is None:
            self.identity = found
        try:
            require_same_source(self.identity, found)
        except SourceChangedError as error:
            raise SourceChangedError(f"{transport.endpoint.shown}: {error.message}") from None

    async def call(self, method: str, *params: Any) -> Answer:
        """One request's result as raw JSON; see `call_many`."""
        return (await self.call_many([(method, params)]))[0]

    async def call_many(self, calls: Sequence[Call]) -> list[Answer]:
        """The results in order. Passing trouble is tried again, on the next endpoint if there is one.

        Raises:
            NodeFailure: Shrink, missing and unsupported ones, which are the caller's to act on.
            TransientError, ActionRequiredError: Trouble that did not pass, or that only a person can mend.
        """
        final: dict[int, NodeFailure] = {}
        passing: NodeFailure | None = None
        for attempt in range(ATTEMPTS + self.count - 1):
            transport: Transport | None = None
            used = self._current
            try:
                transport = await self._link()
                used = self._current
                async with self._slots:
                    await self._pace(len(calls), used)
                    return await transport.send(calls)
            except SourceChangedError as error:
                if not self.has_fallbacks:
                    raise
                failure = NodeFailure(Verdict.TRANSIENT, "SourceChanged", error.message)
            except NodeFailure as refusal:
                failure = refusal
            if failure.verdict in (Verdict.SHRINK, Verdict.MISSING, Verdict.UNSUPPORTED):
                raise failure
            if failure.verdict is Verdict.FINAL:
                final[used] = failure
                if len(final) == self.count:  # no endpoint is left that may answer
                    raise final[min(final)].as_error() from None
            else:
                passing = failure
            await self._recover(failure, transport, used, attempt)
        raise (passing or failure).as_error() from None

    async def _pace(self, requests: int, used: int) -> None:
        now = time.monotonic()
        if (seconds := max(self._rate.reserve(now, requests), self._free_at[used] - now)) > 0:
            await asyncio.sleep(seconds)

    async def _recover(self, failure: NodeFailure, transport: Transport | None, used: int, attempt: int) -> None:
        """Waits as asked; leaves the endpoint when it failed for good, or again."""
        self._report.count("request_failures")
        if failure.reason == "RateLimited":
            await self._heed_limit(failure, used, attempt)
            return
        if transport is not None and transport.is_broken:
            await self._drop(transport)
        if attempt > 0 or transport is None or failure.verdict is Verdict.FINAL:
            await self.rotate(failure.message, used)
        await asyncio.sleep(backoff(attempt, 2.0))

    async def _heed_limit(self, failure: NodeFailure, used: int, attempt: int) -> None:
        """The endpoint rests as long as it asked for; the one that is free first is used meanwhile."""
        now = time.monotonic()
        self._free_at[used] = now + (failure.retry_after or backoff(attempt, 5.0))

        place = min(range(self.count), key=partial(self._turn, now))
        if self._free_at[place] > now + LONGEST_HOLD:
            raise failure.as_error() from None
        if place != self._current:
            await self._go_over(place, why=failure.message)

    def _turn(self, now: float, place: int) -> tuple[float, int]:
        """Who comes first: endpoints that need not rest, from the current one on."""
        return max(now, self._free_at[place]), (place - self._current) % self.count

    async def _drop(self, transport: Transport | None) -> None:
        """Closes a connection; the next request makes a new one. One that is no longer in use is left alone."""
        if transport is not None and transport is self._transport:
            self._transport = None
            await transport.close()

    async def reconnect(self) -> None:
        """The next request makes a new connection, which verifies the chain again."""
        await self._drop(self._transport)

    async def rotate(self, why: str, used: int | None = None) -> None:
        """Goes over to the next endpoint, if there is one that need not rest; not if another request has left the one `used` already."""
        now = time.monotonic()
        place = min(range(self.count), key=lambda place: (place == self._current, *self._turn(now, place)))
        if used in (None, self._current) and place != self._current and self._free_at[place] <= now:
            await self._go_over(place, why=why)

    async def _go_over(self, place: int, **why: Any) -> None:
        # Changed before anything is waited for, so that of several that fail at once only the first does it.
        self._current = place
        left, self._transport = self._transport, None
        self._report.count("endpoint_changes")
        self._report.note(f"going over to {self.endpoint.shown}", **why)
        if left is not None:
            await left.close()

    async def leave_if_behind(self, least: int) -> None:
        """Goes over to the endpoint of this chain whose newest block is the highest, when it is at least `least` blocks ahead."""
        used = self._current
        head = whole_number(await self.call("eth_blockNumber"))
        heads = await self.heads_of_others()
        if used == self._current and heads and max(heads.values()) >= head + least:
            place = max(heads, key=lambda place: heads[place])
            await self._go_over(place, why="it is ahead", head=head, ahead=heads[place])

    async def heads_of_others(self) -> dict[int, int]:
        """Block numbers of the other endpoints that answer, by their place; for finding out whether one is ahead."""
        heads = {}
        for place, endpoint in enumerate(self._endpoints):
            if place == self._current:
                continue
            transport = build_transport(endpoint)
            try:
                async with asyncio.timeout(10):
                    await transport.connect()
                    await self._verify(transport)
                    heads[place] = whole_number((await transport.send([("eth_blockNumber", [])]))[0])
            except (NodeFailure, SourceChangedError, MalformedAnswerError, TimeoutError):
                continue
            finally:
                await transport.close()
        return heads

    async def header(self, number: int | str) -> Header | None:
        """A block's header by number or tag; None when the node has no such block."""
        tag = hex(number) if isinstance(number, int) else number
        return decode_header(await self.call("eth_getBlockByNumber", tag, False))

    async def close(self) -> None:
        """Closes the connection in use."""
        await self._drop(self._transport)


def transport_failure(transport: Transport, what: str) -> NodeFailure:
    """Passing trouble with an endpoint."""
    return NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{transport.endpoint.shown} {what}")
