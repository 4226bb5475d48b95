"""Streams whose position is behind their connector's reader: read in slices between its steps, until they join it.

A stream that can't be read while others can stands aside in the same way: it keeps its own position and is tried again.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace

from connector_runner.protocols.batch import Batch, Incident
from connector_runner.sources.ethereum.chain import PATIENCE_SECONDS, Chain, Extend, StreamState, WalkBack, next_step
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.errors import as_connector_error, is_doubt, is_final
from connector_runner.sources.ethereum.fetch.batches import build_places
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan_set import PlanSet
from connector_runner.sources.ethereum.fetch.prefetch import Prefetcher
from connector_runner.sources.ethereum.fetch.reorganisation import replace_branch
from connector_runner.sources.ethereum.fetch.reread import reread
from connector_runner.sources.ethereum.position import to_position

SLICE_BLOCKS = 256
"""Blocks that are read for streams behind the reader before the reader continues."""


PATIENT_TRIES = 12
"""Consecutive answers that can't be trusted, over about ten seconds, before the stream is reported as unavailable."""
UNAVAILABLE_TRIES = 2
"""Failures in a row of requests for one stream, each of several attempts, while requests for others are answered."""
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 30.0, 600.0
"""How long a stream that can't be read waits before it is tried again; twice as long each time."""


def tries_of(error: Exception) -> int:
    """How many failures like this, one after another, show that a stream can't be read now."""
    return 1 if is_final(error) else PATIENT_TRIES if is_doubt(error) else UNAVAILABLE_TRIES


class Laggard:
    """Streams that share one position, behind the reader's.

    Attributes:
        plans: The plans of these streams.
        chain: The blocks that the dataset has of them.
        is_parked: They can't be read now, which was reported.
    """

    def __init__(self, plans: PlanSet, chain: Chain) -> None:
        self.plans = plans
        self.chain = chain
        self.is_parked = False
        self._failures = 0
        self._due_at = float("-inf")
        self._is_proven = True  # something of them was read since they were parked

    def is_due(self, reader: Chain, now: float) -> bool:
        """Whether there is something to read now."""
        if now < self._due_at or self.chain.number > reader.number:
            return False
        return self._is_proven or not self._is_level(reader)

    def has_reached(self, reader: Chain) -> bool:
        """Whether the streams can be read together with the reader's from now on."""
        return self._is_level(reader) and self._is_proven

    def _is_level(self, reader: Chain) -> bool:
        is_there = self.chain.number == reader.number and self.chain.head in (None, reader.head)
        return is_there and not self.chain.state.must_reread

    def _advance(self, chain: Chain) -> None:
        self.chain = chain
        self._failures, self._is_proven = 0, True

    def split(self, failed: Iterable[str]) -> list[Laggard]:
        """The same streams, those that failed each by itself."""
        names = set(failed)
        left = [plan for plan in self.plans.plans if plan.schema.stream not in names]
        if not left:
            return [self]
        apart = [PlanSet.of([plan]) for plan in self.plans.plans if plan.schema.stream in names]
        parts = [copy.copy(self) for _ in (left, *apart)]
        for part, plans in zip(parts, (PlanSet.of(left), *apart), strict=True):
            part.plans = plans
        return parts

    def failed(self, error: Exception, reader: Chain, now: float) -> list[Batch]:
        """Sets when the streams are tried again; returns what must be stored if they are parked by this."""
        self._failures += 1
        if self.is_parked or self._failures >= tries_of(error):
            self._due_at = now + min(
                LONGEST_RETRY_SECONDS, RETRY_SECONDS * 2 ** max(0, self._failures - tries_of(error))
            )
        else:
            self._due_at = now + min(5.0, 0.2 * 2**self._failures)
            return []
        return [] if self.is_parked else self.park(error, reader)

    def park(self, error: Exception, reader: Chain) -> list[Batch]:
        """Batches that report that the streams can't be read, and that keep their position while the reader's moves."""
        self.is_parked, self._is_proven = True, False
        said = as_connector_error(error)
        detail = {"reason": said.reason, "block": self.chain.number, "hash": self.chain.head}
        return [
            replace(batch, incidents=(Incident("parked", batch.schema.stream, said.message, detail),))
            for batch in self.build_places(reader)
        ]

    def build_places(self, reader: Chain) -> list[Batch]:
        """Batches without rows that store where these streams stand."""
        return [self._behind(batch, reader) for batch in build_places(self.plans, self.chain)]

    async def slice(self, fetcher: Fetcher, reader: Chain, safe_below: int) -> AsyncGenerator[Batch, None]:
        """Yields some of the blocks between these streams and the reader, as batches that keep the reader's position.

        Raises:
            StaleAnswerError, NodeFailure, ConnectorError: After everything before the failure has been delivered.
        """
        if self.chain.state.must_reread:
            async for batch, after in reread(fetcher, self.plans, self.chain):
                self._advance(after)
                yield self._behind(batch, reader)
            return
        at = Header(reader.number, reader.head or "", "", 0, 0)
        match next_step(self.chain, at, PATIENCE_SECONDS):
            case Extend(first, last):
                prefetcher = Prefetcher(fetcher, self.plans, self.chain, safe_below)
                async with aclosing(prefetcher.batches(first, min(last, first + SLICE_BLOCKS - 1))) as batches:
                    async for batch in batches:
                        self._advance(prefetcher.chain)
                        yield self._behind(batch, reader)
                if prefetcher.has_diverged:
                    async for batch in self._replaced(fetcher, reader, at, self.chain.number):
                        yield batch
            case WalkBack(top):
                async for batch in self._replaced(fetcher, reader, at, top):
                    yield batch

    async def _replaced(self, fetcher: Fetcher, reader: Chain, at: Header, top: int) -> AsyncGenerator[Batch, None]:
        batches, chain, _ = await replace_branch(fetcher, self.plans, self.chain, at, top)
        self._advance(chain)
        for batch in batches:
            yield self._behind(batch, reader)

    def _behind(self, batch: Batch, reader: Chain) -> Batch:
        """The same batch, with the reader's position, and the streams' own position as their place."""
        own = {**to_position(self.chain, of_one=False), **(batch.place or {})}
        return replace(batch, position=to_position(reader, of_one=False), place=own)


def join(reader: Chain, plans: PlanSet, laggard: Laggard) -> tuple[Chain, PlanSet, list[Batch]]:
    """Returns the reader with the streams that have reached it, and the batches that record this."""
    merged = reader.with_state(_merge(reader.state, laggard.chain.state))
    batches = build_places(laggard.plans, merged)
    if laggard.is_parked:
        for batch in batches:
            text = "it can be read again, and has all blocks that the other streams have"
            detail = {"block": merged.number, "hash": merged.head}
            batch.incidents = (Incident("joined", batch.schema.stream, text, detail),)
    return merged, PlanSet.of((*plans.plans, *laggard.plans.plans)), batches


def _merge(own: StreamState, other: StreamState) -> StreamState:
    """Merges what is known about the dataset for streams that are read together from now on."""
    ranges = [state.left_out for state in (own, other) if state.left_out is not None]
    return StreamState(
        reported=own.reported | other.reported,
        left_out=(min(first for first, _ in ranges), max(last for _, last in ranges)) if ranges else None,
        is_bloom_refuted=own.is_bloom_refuted or other.is_bloom_refuted,
        since=max(own.since, other.since),
    )


def shared(chain: Chain) -> Chain:
    """The chain for several streams: the event of each is recorded in its own place."""
    return chain.with_state(replace(chain.state, event=""))
