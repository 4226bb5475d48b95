"""The ETHEREUM source: one cursor from any block to the head and beyond, through reorganisations."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import APPEND_COLUMNS
from connector_runner.protocols.source import Checkpoint, Opened, SourceContext, WriteMode
from connector_runner.resilience.backoff import backoff_delay
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.sources.ethereum.catching_up import SLICE_BLOCKS, Laggard, join, split_by_position
from connector_runner.sources.ethereum.chain import (
    RING_BLOCKS,
    Chain,
    Extend,
    Wait,
    WalkBack,
    median_interval,
    next_step,
    summary,
)
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.endpoints.outage import Outage
from connector_runner.sources.ethereum.endpoints.pool import EndpointPool
from connector_runner.sources.ethereum.endpoints.standstill import Standstill, explain_standstill
from connector_runner.sources.ethereum.errors import MalformedAnswerError, NodeFailure, StaleAnswerError, Verdict
from connector_runner.sources.ethereum.fetch.batches import build_places
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan_set import PlanSet
from connector_runner.sources.ethereum.fetch.prefetch import Prefetcher
from connector_runner.sources.ethereum.fetch.reorganisation import replace_branch
from connector_runner.sources.ethereum.fetch.reread import reread
from connector_runner.sources.ethereum.rpc.subscription import HeadSubscription
from connector_runner.sources.ethereum.rpc.transport import FIRST_BACKOFF
from connector_runner.sources.ethereum.settings import Tag, parse_settings
from connector_runner.sources.ethereum.streams import begin_stream, build_plans, chain_identity
from connector_runner.sources.ethereum.verify.families import chain_of, describe, family_of
from connector_runner.sources.ethereum.verify.proofs import Prover

PATIENT_TRIES = 12
"""Consecutive answers that can't be trusted, over about ten seconds, before the stream is reported as unavailable."""
STALL_SECONDS = 30.0
"""How long the head may stay the same before the fallbacks are asked whether they are ahead."""
COMPARE_SECONDS, MOST_BEHIND = 120.0, 5
"""How often the fallbacks are asked while the head moves, and how many blocks ahead one must be to replace the endpoint."""


class EthereumSource:
    """Streams of one chain, read together; see `protocols.source.Source`."""

    def __init__(self, context: SourceContext) -> None:
        self._report = context.report
        self._settings = parse_settings(context.config)
        reserved = APPEND_COLUMNS if context.write_mode is WriteMode.APPEND else ()
        self._plans = build_plans(self._settings, context.report, reserved)
        self._pool = EndpointPool(self._settings, context.report)
        self._prover = Prover(proves_all=self._settings.prove_backfill)
        self._fetcher = Fetcher(self._pool, self._settings.max_block_range, self._prover)
        self._selected = PlanSet(())
        self._laggards: list[Laggard] = []
        self._has_places = False  # the positions of the selected streams are stored in the dataset
        self._chain: Chain | None = None
        self._running: AsyncGenerator[Batch, None] | None = None
        self._subscription: HeadSubscription | None = None
        self._prefetcher: Prefetcher | None = None
        self._announced: Header | None = None
        self._lower_since: float | None = None
        self._stalled = Outage(context.report)
        self._standstill = Standstill()
        self._moved_at = self._compared_at = time.monotonic()
        self._times: deque[int] = deque(maxlen=16)

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        """Returns the streams that are possible with the configuration; see `discovery`."""
        from connector_runner.sources.ethereum.discovery import discover

        return await discover(self._settings, self._plans, self._report, selected)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        """Connects to the first endpoint that is on the checkpoints' chain."""
        found = [begin_stream(self._plans, *begun) for begun in checkpoints.items()]
        identity = await self._pool.connect(chain_identity(checkpoints.values()))
        begun = {chain is not None for _, chain in found}
        first = Chain.starting_at(await self._first_number() if len(begun) == 2 else 0)
        (self._selected, self._chain), self._laggards = split_by_position(found, first)
        self._fetcher.is_bloom_refuted = any(chain.state.is_bloom_refuted for _, chain in found if chain is not None)
        self._learn_family(chain_of(identity))
        self._stalled.opened()
        return Opened({plan.schema.stream: plan.schema for plan, _ in found}, identity)

    async def _first_number(self) -> int:
        """The first block of a stream that starts after other streams of this connector."""
        head = await self._pool.header(Tag.LATEST.value)
        if head is None:
            raise TransientError(f"{self._pool.endpoint.shown} knows no block yet", reason="NoBlock")
        return self._first_block(head)

    def _learn_family(self, chain: int) -> None:
        self._prover.family = family_of(chain, self._settings.proofs)
        if self._prover.family.lacks and (said := describe(chain, self._settings.proofs)):
            self._prover.tell(f"family {self._prover.family.name}", f"chain {chain}", said)

    def batches(self) -> AsyncIterator[Batch]:
        """Extends, waits or walks back, depending on the node's head; never ends."""
        self._running = self._batches()
        return self._running

    async def _batches(self) -> AsyncGenerator[Batch, None]:
        doubts = 0
        diverged = False
        while True:
            try:
                head = await self._head()
                async with aclosing(self._step(head, diverged)) as step:
                    diverged = False
                    async for batch in step:
                        doubts = 0
                        yield batch
                    diverged = self._prefetcher is not None and self._prefetcher.has_diverged
                    self._prefetcher = None
            except (StaleAnswerError, MalformedAnswerError) as error:
                await self._doubt(doubts, str(error))
                doubts += 1
            except NodeFailure as failure:
                if failure.verdict is not Verdict.MISSING:
                    raise failure.as_error() from None
                await self._doubt(doubts, failure.message)
                doubts += 1

    async def _doubt(self, doubts: int, message: str) -> None:
        """Handles an answer that can't be trusted: ask again a little later, another node if possible; finally raise."""
        self._report.count("doubted_answers")
        if doubts >= PATIENT_TRIES:
            raise TransientError(message, reason="NodeInconsistent")
        if doubts % 4 == 3:
            await self._pool.rotate(message)
        await asyncio.sleep(backoff_delay(doubts, FIRST_BACKOFF, 1.0, random.random()))  # noqa: S311 - no secret

    async def _head(self) -> Header | None:
        """The newest block that finality allows; None when there is none yet."""
        announced, self._announced = self._announced, None
        finality = self._settings.finality
        if finality in (0, Tag.LATEST):
            if announced is not None and self._chain is not None and self._chain.head == announced.parent_hash:
                return announced  # its blocks are fetched and checked in any case
            finality = Tag.LATEST
        if isinstance(finality, Tag):
            return await self._pool.header(finality.value)
        latest = await self._pool.header(Tag.LATEST.value)
        if latest is None or latest.number < finality:
            return None
        number = latest.number - finality
        while (header := (await self._fetcher.header(number))[0]).is_absent and number > 0:
            number -= 1
        return header

    async def _step(self, head: Header | None, diverged: bool) -> AsyncGenerator[Batch, None]:
        if head is None:
            self._stalled.asked(time.monotonic())
            self._stalled.failed(f"{self._pool.endpoint.shown} knows no {self._settings.finality} block")
            await self._wait(Wait(), head)
            return
        self._note_standstill(head)
        chain = self._chain = self._chain or self._new_chain(head)
        if not self._has_places and not self._selected.is_alone:
            for batch in build_places(self._selected, chain):
                yield batch
        self._has_places = True
        self._prover.head_from = head.number - RING_BLOCKS + 1
        if chain.state.must_reread:
            async for batch, after in reread(self._fetcher, self._selected, chain):
                self._chain = after
                yield batch
            return
        self._note_height(chain, head)
        step = next_step(chain, head, time.monotonic() - (self._lower_since or time.monotonic()))
        if diverged and head.number >= chain.number:
            step = WalkBack(chain.number)
        match step:
            case Extend(first, last):
                if not chain.hashes:  # there is no parent hash that shows which chain the first block belongs to
                    await self._pool.reconnect()
                self._prefetcher = Prefetcher(self._fetcher, self._selected, chain, self._safe_below(head))
                end = min(last, first + SLICE_BLOCKS - 1) if self._laggards else last
                async with aclosing(self._prefetcher.batches(first, end)) as batches:
                    async for batch in batches:
                        self._arrived(self._prefetcher.chain, batch, last)
                        yield batch
            case WalkBack(top):
                await self._pool.reconnect()  # detects another chain at the same address; else it is a reorganisation
                replaced, self._chain, orphans = await replace_branch(self._fetcher, self._selected, chain, head, top)
                self._lower_since = None
                self._report.count("reorganisations")
                self._report.count("retracted_blocks", orphans)
                self._report.note("reorganisation", depth=orphans, **summary(self._chain))
                for batch in replaced:
                    yield batch
            case Wait():
                if step.behind:
                    self._stalled.asked(time.monotonic())
                    self._stalled.failed(
                        f"the newest block of {self._pool.endpoint.shown} is {head.number}, {step.behind} below the dataset's last one"
                    )
                else:
                    self._stalled.passed()
                if not self._laggards:
                    await self._wait(step, head)
        if self._laggards:
            async with aclosing(self._catch_up(head)) as batches:
                async for batch in batches:
                    yield batch

    async def _catch_up(self, head: Header) -> AsyncGenerator[Batch, None]:
        """Reads a slice of the streams that are behind; those that have caught up are read with the others from now on."""
        assert self._chain is not None  # noqa: S101 - a step was made
        for laggard in list(self._laggards):
            async with aclosing(laggard.slice(self._fetcher, self._chain, self._safe_below(head))) as batches:
                async for batch in batches:
                    yield batch
            if laggard.has_reached(self._chain):
                self._laggards.remove(laggard)
                self._chain, self._selected, joined = join(self._chain, self._selected, laggard)
                self._report.note(
                    "streams have caught up", streams=[plan.schema.stream for plan in laggard.plans.plans]
                )
                for batch in joined:
                    yield batch

    def _new_chain(self, head: Header) -> Chain:
        chain = Chain.starting_at(self._first_block(head))
        if not self._selected.is_alone:
            return chain
        return chain.with_state(replace(chain.state, event=self._selected.plans[0].event))

    def _first_block(self, head: Header) -> int:
        start = self._settings.start
        return head.number if start is Tag.LATEST else 0 if start is Tag.EARLIEST else int(start)

    def _safe_below(self, head: Header) -> int:
        """The number below which blocks may be read by range: they are final, or too deep to be replaced."""
        is_final = self._settings.finality in (Tag.SAFE, Tag.FINALIZED)
        return head.number + 1 if is_final else head.number - RING_BLOCKS + 1

    def _note_standstill(self, head: Header) -> None:
        """Reports a head that stays the same for long; does nothing else."""
        seconds = self._standstill.observe(head.hash, time.monotonic())
        if seconds is None:
            return
        self._report.count("head_standstills")
        said = explain_standstill(self._pool.endpoint.shown, self._settings.finality, head.number, seconds)
        self._report.note(said, block=head.number, hash=head.hash)

    def _note_height(self, chain: Chain, head: Header) -> None:
        if head.number >= chain.number:
            self._lower_since = None
        elif self._lower_since is None:
            self._lower_since = time.monotonic()

    def _arrived(self, chain: Chain, batch: Batch, last: int) -> None:
        self._chain = chain
        self._stalled.passed()
        self._moved_at = time.monotonic()
        if batch.event_time is not None:
            if chain.number == last:  # single blocks, as they arrive at the head
                self._times.append(int(batch.event_time))
            self._report.lag(max(0.0, time.time() - batch.event_time) if chain.number < last else 0.0)
        if last - chain.start > 0:
            self._report.progress(chain.number - chain.start + 1, last - chain.start + 1, "blocks")

    async def _wait(self, step: Wait, head: Header | None) -> None:
        """Waits until a new head is announced, or it is time to poll."""
        if self._subscription is None or self._subscription.endpoint is not self._pool.endpoint:
            await self._close_subscription()
            self._subscription = HeadSubscription(self._pool.endpoint, self._report)
        if not step.behind:
            self._report.lag(0.0)
        interval = median_interval(list(self._times), 1.0)
        seconds = min(30.0, max(2.0, 2 * interval)) if self._subscription.is_live else min(3.0, max(0.2, interval / 4))
        self._announced = await self._subscription.wait(seconds)
        if self._pool.count > 1:
            await self._compare(5 * interval)

    async def _compare(self, longest: float) -> None:
        """Leaves an endpoint that lags behind another one; `longest`: how long without a new block is usual, in seconds."""
        now = time.monotonic()
        is_standing = now - self._moved_at > max(STALL_SECONDS, longest)
        if now - self._compared_at > (STALL_SECONDS if is_standing else COMPARE_SECONDS):
            self._compared_at = now
            await self._pool.leave_if_behind(1 if is_standing else MOST_BEHIND)

    async def _close_subscription(self) -> None:
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None

    async def close(self) -> None:
        """Ends the subscription, what is being fetched, and the connection."""
        if self._running is not None:
            with suppress(RuntimeError):  # it is being read: its reader ends when the connection is closed
                await self._running.aclose()
        await self._close_subscription()
        await self._pool.close()
