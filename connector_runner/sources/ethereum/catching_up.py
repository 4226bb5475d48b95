"""Streams whose position is behind their connector's reader: read in slices between its steps, until they join it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace

from connector_runner.protocols.batch import Batch
from connector_runner.sources.ethereum.chain import PATIENCE_SECONDS, Chain, Extend, StreamState, WalkBack, next_step
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.fetch.batches import build_places
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan import StreamPlan
from connector_runner.sources.ethereum.fetch.plan_set import PlanSet
from connector_runner.sources.ethereum.fetch.prefetch import Prefetcher
from connector_runner.sources.ethereum.fetch.reorganisation import replace_branch
from connector_runner.sources.ethereum.fetch.reread import reread
from connector_runner.sources.ethereum.position import to_position

SLICE_BLOCKS = 256
"""Blocks that are read for streams behind the reader before the reader continues."""


class Laggard:
    """Streams that share one position, behind the reader's.

    Attributes:
        plans: The plans of these streams.
        chain: The blocks that the dataset has of them.
    """

    def __init__(self, plans: PlanSet, chain: Chain, *, is_new: bool = False) -> None:
        self.plans = plans
        self.chain = chain
        self._is_new = is_new  # the dataset has no rows or positions of them yet

    def has_reached(self, reader: Chain) -> bool:
        """Whether the streams can be read together with the reader's from now on."""
        is_there = self.chain.number == reader.number and self.chain.head in (None, reader.head)
        return is_there and not self.chain.state.must_reread

    async def slice(self, fetcher: Fetcher, reader: Chain, safe_below: int) -> AsyncGenerator[Batch, None]:
        """Yields some of the blocks between these streams and the reader, as batches that keep the reader's position.

        Raises:
            StaleAnswerError, NodeFailure, ConnectorError: After everything before the failure has been delivered.
        """
        if self._is_new:
            self._is_new = False
            for batch in build_places(self.plans, self.chain):
                yield self._behind(batch, reader)
        if self.chain.state.must_reread:
            async for batch, after in reread(fetcher, self.plans, self.chain):
                self.chain = after
                yield self._behind(batch, reader)
            return
        at = Header(reader.number, reader.head or "", "", 0, 0)
        match next_step(self.chain, at, PATIENCE_SECONDS):
            case Extend(first, last):
                prefetcher = Prefetcher(fetcher, self.plans, self.chain, safe_below)
                async with aclosing(prefetcher.batches(first, min(last, first + SLICE_BLOCKS - 1))) as batches:
                    async for batch in batches:
                        self.chain = prefetcher.chain
                        yield self._behind(batch, reader)
                if prefetcher.has_diverged:
                    async for batch in self._replaced(fetcher, reader, at, self.chain.number):
                        yield batch
            case WalkBack(top):
                async for batch in self._replaced(fetcher, reader, at, top):
                    yield batch

    async def _replaced(self, fetcher: Fetcher, reader: Chain, at: Header, top: int) -> AsyncGenerator[Batch, None]:
        batches, self.chain, _ = await replace_branch(fetcher, self.plans, self.chain, at, top)
        for batch in batches:
            yield self._behind(batch, reader)

    def _behind(self, batch: Batch, reader: Chain) -> Batch:
        """The same batch, with the reader's position, and the streams' own position as their place."""
        own = {**to_position(self.chain, of_one=False), **(batch.place or {})}
        return replace(batch, position=to_position(reader, of_one=False), place=own)


def join(reader: Chain, plans: PlanSet, laggard: Laggard) -> tuple[Chain, PlanSet, list[Batch]]:
    """Returns the reader with the streams that have reached it, and the batches that record this."""
    merged = reader.with_state(_merge(reader.state, laggard.chain.state))
    plans = PlanSet.of((*plans.plans, *laggard.plans.plans))
    return merged, plans, build_places(laggard.plans, merged)


def _merge(own: StreamState, other: StreamState) -> StreamState:
    """Merges what is known about the dataset for streams that are read together from now on."""
    ranges = [state.left_out for state in (own, other) if state.left_out is not None]
    return StreamState(
        told=own.told | other.told,
        left_out=(min(first for first, _ in ranges), max(last for _, last in ranges)) if ranges else None,
        is_bloom_refuted=own.is_bloom_refuted or other.is_bloom_refuted,
        since=max(own.since, other.since),
    )


def split_by_position(
    found: Iterable[tuple[StreamPlan, Chain | None]], first: Chain
) -> tuple[tuple[PlanSet, Chain | None], list[Laggard]]:
    """Splits streams into the reader's, with their chain, and those behind it.

    Args:
        found: Each stream with its chain; None for a stream that the dataset has no data of.
        first: The chain that such a stream starts with when others have begun.

    Returns:
        The streams with the highest position (with None when none has begun), and the others grouped by position.
    """
    groups: dict[tuple[int, str | None] | None, tuple[list[StreamPlan], Chain | None]] = {}
    for plan, chain in found:
        key = None if chain is None else (chain.number, chain.head)
        groups.setdefault(key, ([], chain))[0].append(plan)
    begun = [key for key in groups if key is not None]
    furthest = max(begun, key=lambda key: key[0]) if begun else None
    plans, chain = groups.pop(furthest)
    if not groups and len(plans) == 1:
        return (PlanSet.of(plans, is_alone=True), chain), []
    laggards = [
        Laggard(PlanSet.of(own), _shared(other or first), is_new=other is None) for own, other in groups.values()
    ]
    return (PlanSet.of(plans), chain and _shared(chain)), laggards


def _shared(chain: Chain) -> Chain:
    """The chain for several streams: the event of each is recorded in its own place."""
    return chain.with_state(replace(chain.state, event=""))
