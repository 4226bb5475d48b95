"""Fetching ahead and delivering in order; and replacing a branch of the chain as one batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace

from connector_runner.protocols.batch import Batch, Incident, Operation, Row
from connector_runner.sources.ethereum.chain import Chain, ancestor_at, check_depth, lowest_ancestor, to_position
from connector_runner.sources.ethereum.decode.responses import Header, Unit
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.reread import bloom_incident
from connector_runner.sources.ethereum.rpc.pacing import MOST_AHEAD, ReadAhead
from connector_runner.sources.ethereum.streams import StreamPlan
from connector_runner.sources.ethereum.verify.consistency import StaleAnswerError
from connector_runner.sources.ethereum.verify.proofs import Ledger

BATCH_BYTES = 1_000_000
"""Bytes of answers that make one batch when there is more at hand."""
Piece = asyncio.Task[list[Unit]]


class Reading:
    """A stretch of blocks that should continue the dataset's chain.

    Attributes:
        chain: The dataset's, as far as batches were delivered.
        has_diverged: A block came that does not continue it: the chain was reorganised.
        has_refuted: A block came that has logs which its bloom does not hold: what blooms left out is to be read again.
    """

    def __init__(self, fetcher: Fetcher, plan: StreamPlan, chain: Chain, safe_below: int) -> None:
        self.chain = chain
        self.has_diverged = self.has_refuted = False
        self._fetcher = fetcher
        self._plan = plan
        self._safe_below = safe_below
        self._ahead = ReadAhead()
        self._pending: deque[Piece] = deque()
        self._ready: deque[Unit] = deque()

    async def batches(self, first: int, last: int) -> AsyncGenerator[Batch, None]:
        """Batches of these blocks, each of about `BATCH_BYTES` or of what is at hand.

        Raises:
            StaleAnswerError, NodeFailure, ConnectorError: After everything before has been delivered.
        """
        pieces = self._pieces(first, last)
        try:
            while True:
                units, failure = await self._gather(pieces)
                if units:
                    yield self._batch(units)
                if failure is not None:
                    raise failure
                if self.has_diverged or self.has_refuted or not units:
                    return
        finally:
            await self.close()

    def _pieces(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Ranges as far as that is safe, then single blocks; lazily, as the range tunes itself on the way."""
        while first <= last:
            count = 1
            if self._plan.fetch_range is not None:
                count = self._fetcher.tuner.take(min(last - first + 1, self._safe_below - first))
            yield first, first + count - 1
            first += count

    def _ask(self, pieces: Iterator[tuple[int, int]]) -> None:
        while len(self._pending) + bool(self._ready) < self._ahead.pieces and (piece := next(pieces, None)):
            first, last = piece
            is_range = self._plan.fetch_range is not None and last < self._safe_below
            fetch = self._plan.fetch_range if is_range and self._plan.fetch_range else self._plan.fetch_block
            self._pending.append(asyncio.ensure_future(fetch(self._fetcher, first, last)))

    async def _gather(self, pieces: Iterator[tuple[int, int]]) -> tuple[list[Unit], Exception | None]:
        """Linked blocks that are at hand, at least one and about `BATCH_BYTES`, and what ended them."""
        units: list[Unit] = []
        size = 0
        chain = self.chain
        while size < BATCH_BYTES:
            if not self._ready:
                self._ask(pieces)
                if not self._pending or (units and not self._pending[0].done()):
                    break
                try:
                    piece = await self._pending[0]
                except Exception as error:
                    return units, error
                self._pending.popleft()
                self._ahead.arrived(sum(unit.size for unit in piece))
                self._ready.extend(piece)
                self._ask(pieces)
            unit = self._ready.popleft()
            if not chain.is_parent_of(unit.header):
                self.has_diverged = True
                break
            chain = chain.extended(unit.header)
            units.append(unit)
            size += unit.size
            if unit.refutes_bloom and not chain.standing.is_bloom_refuted:
                self.has_refuted = self._fetcher.is_bloom_refuted = True
                break
        return units, None

    def _batch(self, units: list[Unit]) -> Batch:
        self.chain, incidents = settle(self.chain, units, self._fetcher.ledger)
        return build_batch(self._plan, self.chain, units, incidents=incidents)

    async def close(self) -> None:
        """Gives up what is being fetched."""
        pending, self._pending = self._pending, deque()
        for piece in pending:
            piece.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def settle(chain: Chain, units: list[Unit], ledger: Ledger) -> tuple[Chain, tuple[Incident, ...]]:
    """The chain after some blocks, and what is to be told with them."""
    standing = chain.standing
    incidents = []
    for unit in units:
        chain = chain.extended(unit.header)
        if unit.is_left_out:
            first, _ = standing.left_out or (unit.header.number, 0)
            standing = replace(standing, left_out=(first, unit.header.number))
        elif unit.refutes_bloom and not standing.is_bloom_refuted:
            standing = replace(standing, is_bloom_refuted=True)
            incidents.append(bloom_incident(chain.with_standing(standing), unit.header))
    if new := [key for key in ledger.told if key not in standing.told]:
        standing = replace(standing, told=standing.told.union(new))
        incidents += [ledger.told[key] for key in new]
    return chain.with_standing(standing), tuple(incidents)


def build_batch(
    plan: StreamPlan,
    chain: Chain,
    units: list[Unit],
    orphans: tuple[str, ...] = (),
    incidents: tuple[Incident, ...] = (),
) -> Batch:
    """Rows of consecutive blocks, after the retraction of orphaned ones, and the position after them."""
    rows: list[Row] = [(orphan,) for orphan in orphans]
    for unit in units:
        rows += unit.rows
    operations = bytes([Operation.REPLACE]) * len(orphans) + bytes([Operation.UPSERT]) * (len(rows) - len(orphans))
    return Batch(
        plan.schema,
        rows,
        to_position(chain),
        operations if orphans else None,
        size=max(1, sum(unit.size for unit in units)),
        incidents=incidents,
        event_time=float(units[-1].header.seconds) if units and not units[-1].header.is_absent else None,
    )


async def replace_branch(
    fetcher: Fetcher, plan: StreamPlan, chain: Chain, head: Header, top: int
) -> tuple[Batch, Chain, int]:
    """Walks back from block `top` to the common ancestor, and makes one batch of retractions and replacements.

    Returns:
        The batch, the chain after it and the number of orphans.

    Raises:
        DeepReorganisationError: There is no common ancestor in the ring.
        StaleAnswerError: The chain changed while it was read; or block `top`, which was said to differ, does not (a node that
            changed its mind, or another replica behind the same address).
    """
    number = top
    while True:
        check_depth(chain, number)
        if number < chain.oldest and number == lowest_ancestor(chain):
            break
        if ancestor_at(chain, (await fetcher.header(number))[0]):
            break
        number -= 1
    if number == top:
        raise StaleAnswerError(f"the node told another chain, but its block {top} is the dataset's")
    orphans = chain.orphans(number)
    replaced = branch = chain.cut(number)
    units = await _branch(fetcher, plan, number + 1, min(head.number, chain.number))
    for unit in units:
        if not replaced.is_parent_of(unit.header) or unit.header.hash in orphans:
            raise StaleAnswerError(
                f"the chain changed again at block {unit.header.number} while its new branch was read"
            )
        replaced = replaced.extended(unit.header)
    replaced, incidents = settle(branch, units, fetcher.ledger)
    return build_batch(plan, replaced, units, orphans, incidents), replaced, len(orphans)


async def _branch(fetcher: Fetcher, plan: StreamPlan, first: int, last: int) -> list[Unit]:
    limit = asyncio.Semaphore(MOST_AHEAD)

    async def one(number: int) -> list[Unit]:
        async with limit:
            return await plan.fetch_block(fetcher, number, number)

    tasks = [asyncio.create_task(one(number)) for number in range(first, last + 1)]
    try:
        return [unit for units in await asyncio.gather(*tasks) for unit in units]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
