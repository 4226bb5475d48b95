"""Fetches blocks ahead, limited by bytes, and delivers them in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator

from connector_runner.protocols.batch import Batch
from connector_runner.sources.ethereum.chain import Chain
from connector_runner.sources.ethereum.fetch.batches import build_batches, settle
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan_set import PlanSet, Unit
from connector_runner.sources.ethereum.rpc.gathering import cancel_all

BATCH_BYTES = 1_000_000
"""Bytes of answers in one batch, when more has already arrived."""
READ_AHEAD_BYTES = 12_000_000
"""The most bytes of answers that are fetched ahead; decoded rows need about three times as much memory."""
MOST_AHEAD = 16
"""The most pieces in flight."""
Piece = asyncio.Task[list[Unit]]


class ReadAhead:
    """Decides how many pieces may be in flight, from the size of earlier pieces: one at first, at most doubled after each piece."""

    def __init__(self) -> None:
        self._average = 1.0
        self._most = 1

    def arrived(self, size: int) -> None:
        """Records the size of a piece that arrived; larger pieces have an effect at once, smaller ones slowly."""
        self._average = max(1.0, float(size) if size > self._average else self._average * 0.9 + size * 0.1)
        self._most = min(MOST_AHEAD, 2 * self._most)

    @property
    def pieces(self) -> int:
        """How many pieces may be in flight: 1 … `MOST_AHEAD`."""
        return max(1, min(self._most, int(READ_AHEAD_BYTES / self._average)))


class Prefetcher:
    """Fetches a range of blocks that should continue the dataset's chain.

    Attributes:
        chain: The dataset's chain, up to the last delivered batch.
        has_diverged: A block does not continue the chain: there was a reorganisation.
        has_refuted: A block has logs that are missing in its bloom: blocks that were skipped because of blooms must be read again.
    """

    def __init__(self, fetcher: Fetcher, plans: PlanSet, chain: Chain, safe_below: int) -> None:
        self.chain = chain
        self.has_diverged = self.has_refuted = False
        self._fetcher = fetcher
        self._plans = plans
        self._safe_below = safe_below
        self._ahead = ReadAhead()
        self._pending: deque[Piece] = deque()
        self._ready: deque[Unit] = deque()

    async def batches(self, first: int, last: int) -> AsyncGenerator[Batch, None]:
        """Yields batches of these blocks, each of about `BATCH_BYTES`, or of the blocks that have arrived.

        Raises:
            StaleAnswerError, NodeFailure, ConnectorError: After everything before the failure has been delivered.
        """
        pieces = self._pieces(first, last)
        try:
            while True:
                units, failure = await self._gather(pieces)
                if units:
                    for batch in self._batches(units):
                        yield batch
                if failure is not None:
                    raise failure
                if self.has_diverged or self.has_refuted or not units:
                    return
        finally:
            await self.close()

    def _pieces(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yields ranges as far as that is safe, then single blocks; lazily, because the range limit changes meanwhile."""
        while first <= last:
            count = 1
            if self._plans.has_range:
                count = self._fetcher.tuner.take(min(last - first + 1, self._safe_below - first))
            yield first, first + count - 1
            first += count

    def _ask(self, pieces: Iterator[tuple[int, int]]) -> None:
        while len(self._pending) + bool(self._ready) < self._ahead.pieces and (piece := next(pieces, None)):
            first, last = piece
            plans, fetcher = self._plans, self._fetcher
            is_range = plans.has_range and last < self._safe_below
            fetched = plans.fetch_range(fetcher, first, last) if is_range else plans.fetch_block(fetcher, first)
            self._pending.append(asyncio.ensure_future(fetched))

    async def _gather(self, pieces: Iterator[tuple[int, int]]) -> tuple[list[Unit], Exception | None]:
        """Returns linked blocks that have arrived, at least one and about `BATCH_BYTES`, and the error that ended them, if any."""
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
            if unit.refutes_bloom and not chain.state.is_bloom_refuted:
                self.has_refuted = self._fetcher.is_bloom_refuted = True
                break
        return units, None

    def _batches(self, units: list[Unit]) -> list[Batch]:
        self.chain, incidents = settle(self.chain, units, self._fetcher.prover)
        return build_batches(self._plans, self.chain, units, incidents=incidents)

    async def close(self) -> None:
        """Cancels the requests in flight."""
        pending, self._pending = self._pending, deque()
        await cancel_all(pending)
