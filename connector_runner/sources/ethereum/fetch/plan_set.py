"""Several streams of the same blocks: each block is fetched once, and every stream uses the part that it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from connector_runner.sources.ethereum.decode.responses import BlockRows, Header
from connector_runner.sources.ethereum.errors import StaleAnswerError
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan import StreamPlan


class Unit(msgspec.Struct, frozen=True, gc=False):
    """One block, for all streams.

    Attributes:
        header: The block's header.
        parts: The rows of each stream, in the order of the streams' plans.
        size: Bytes of the answers that the rows were made from.
        is_left_out: Some stream did not request its logs, because according to its bloom none are wanted.
        refutes_bloom: It has logs that are missing in its bloom.
    """

    header: Header
    parts: tuple[BlockRows, ...]
    size: int
    is_left_out: bool
    refutes_bloom: bool


@dataclass(frozen=True)
class PlanSet:
    """The streams that are read together.

    Attributes:
        plans: One per stream; streams that request more of a block come first, so that later ones can reuse it.
        is_alone: The connector has one stream, so checkpoints contain only its position.
    """

    plans: tuple[StreamPlan, ...]
    is_alone: bool = False

    @classmethod
    def of(cls, plans: Iterable[StreamPlan], *, is_alone: bool = False) -> PlanSet:
        """Sorts plans in the order in which they are fetched."""
        return cls(tuple(sorted(plans, key=lambda plan: plan.rank)), is_alone)

    @cached_property
    def has_range(self) -> bool:
        """Whether all streams can be fetched for several blocks in fewer requests."""
        return all(plan.fetch_range is not None for plan in self.plans)

    @cached_property
    def of_logs(self) -> PlanSet:
        """The streams whose blocks may be skipped because of a bloom."""
        return PlanSet(tuple(plan for plan in self.plans if plan.fetch_range is not None), self.is_alone)

    async def fetch_block(self, fetcher: Fetcher, number: int) -> list[Unit]:
        """Fetches one block, proven as far as possible.

        Raises:
            StaleAnswerError, NodeFailure, ConnectorError: It is not available now.
        """
        piece = fetcher.for_piece() if len(self.plans) > 1 else fetcher
        return _joined([await plan.fetch_block(piece, number, number) for plan in self.plans])

    async def fetch_range(self, fetcher: Fetcher, first: int, last: int) -> list[Unit]:
        """Fetches several blocks that don't change any more; only if `has_range`.

        Raises:
            StaleAnswerError, NodeFailure, ConnectorError: They are not available now.
        """
        piece = fetcher.for_piece() if len(self.plans) > 1 else fetcher
        return _joined([await plan.fetch_range(piece, first, last) for plan in self.plans if plan.fetch_range])


def _joined(found: list[list[BlockRows]]) -> list[Unit]:
    """Joins the streams' blocks to one list, each with a part of every stream.

    Raises:
        StaleAnswerError: Streams that were fetched at different times have different blocks at one height.
    """
    if len(found) == 1:
        return [Unit(p.header, (p,), p.size, p.is_left_out, p.refutes_bloom) for p in found[0]]
    units = []
    for parts in zip(*found, strict=True):
        header = parts[0].header
        if any(part.header.hash != header.hash for part in parts):
            raise StaleAnswerError(f"block {header.number} was replaced while it was read")
        is_left_out, refutes = any(p.is_left_out for p in parts), any(p.refutes_bloom for p in parts)
        units.append(Unit(header, parts, max(part.size for part in parts), is_left_out, refutes))
    return units
