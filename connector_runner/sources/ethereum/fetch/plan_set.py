"""Several streams of the same blocks: each block is fetched once, and every stream uses the part that it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from connector_runner.protocols.errors import ConnectorError, SourceChangedError, TransientError
from connector_runner.sources.ethereum.decode.responses import BlockRows, Header
from connector_runner.sources.ethereum.errors import MalformedAnswerError, NodeFailure, StaleAnswerError, is_final
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan import StreamPlan

FAILURES = (StaleAnswerError, MalformedAnswerError, NodeFailure, ConnectorError)
Fetch = Callable[[StreamPlan], Awaitable[list[BlockRows]]]


class PlanFailuresError(Exception):
    """Some streams can't be read.

    Attributes:
        failed: Stream → why it can't be read.
    """

    def __init__(self, failed: Mapping[str, Exception]) -> None:
        super().__init__(", ".join(failed))
        self.failed = failed


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
            StaleAnswerError, NodeFailure, ConnectorError, PlanFailuresError: See `_fetch`.
        """
        piece = fetcher.for_piece(is_shared=len(self.plans) > 1)
        return _joined(
            await self._fetch(piece.isolates, self.plans, lambda plan: plan.fetch_block(piece, number, number))
        )

    async def fetch_range(self, fetcher: Fetcher, first: int, last: int) -> list[Unit]:
        """Fetches several blocks that don't change any more; only if `has_range`.

        Raises:
            StaleAnswerError, NodeFailure, ConnectorError, PlanFailuresError: See `_fetch`.
        """
        piece = fetcher.for_piece(is_shared=len(self.plans) > 1)

        async def fetch(plan: StreamPlan) -> list[BlockRows]:
            assert plan.fetch_range is not None  # noqa: S101 - `has_range`
            return await plan.fetch_range(piece, first, last)

        return _joined(await self._fetch(piece.isolates, self.plans, fetch))

    async def _fetch(self, isolates: bool, plans: Sequence[StreamPlan], fetch: Fetch) -> list[list[BlockRows]]:
        """Fetches for each stream in turn. If one fails, the others show whether that is because of the stream.

        Raises:
            PlanFailuresError: Some streams can't be read while others can; or none can, and a person must act.
            StaleAnswerError, NodeFailure, ConnectorError: They are not available now.
        """
        if self.is_alone or not isolates:
            return [await fetch(plan) for plan in plans]
        found: list[list[BlockRows]] = []
        failed: dict[str, Exception] = {}
        for plan in plans:
            try:
                found.append(await fetch(plan))
            except SourceChangedError:
                raise
            except FAILURES as error:
                failed[plan.schema.stream] = error
                if not found and len(failed) > 1 and isinstance(error, TransientError):
                    break  # the node can't be reached: asking it for all the others would take long
        if not failed:
            return found
        first = next(iter(failed.values()))
        if not found and not is_final(first):
            raise first
        raise PlanFailuresError(failed)


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
