"""The ETHEREUM source: one cursor from any block to the head and beyond, through reorganisations."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.schema import APPEND_COLUMNS
from connector_runner.protocols.source import Checkpoint, Opened, SourceContext, WriteMode
from connector_runner.resilience.backoff import backoff_delay
from connector_runner.schemas.catalogue import Catalogue
from connector_runner.sources.ethereum.catching_up import PATIENT_TRIES, SLICE_BLOCKS, tries_of
from connector_runner.sources.ethereum.chain import (
    RING_BLOCKS,
    Chain,
    Extend,
    Wait,
    WalkBack,
    next_step,
    summary,
)
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.endpoints.outage import Outage
from connector_runner.sources.ethereum.endpoints.pool import EndpointPool
from connector_runner.sources.ethereum.endpoints.standstill import Standstill, explain_standstill
from connector_runner.sources.ethereum.errors import (
    MalformedAnswerError,
    NodeFailure,
    StaleAnswerError,
    as_connector_error,
    is_doubt,
)
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan_set import PlanFailuresError
from connector_runner.sources.ethereum.fetch.prefetch import Prefetcher
from connector_runner.sources.ethereum.fetch.reorganisation import replace_branch
from connector_runner.sources.ethereum.fetch.reread import reread
from connector_runner.sources.ethereum.heads import HeadWatch
from connector_runner.sources.ethereum.rpc.transport import FIRST_BACKOFF
from connector_runner.sources.ethereum.settings import Tag, parse_settings
from connector_runner.sources.ethereum.stream_groups import StreamGroups
from connector_runner.sources.ethereum.streams import begin_streams, build_plans, chain_identity
from connector_runner.sources.ethereum.verify.families import chain_of, describe, family_of
from connector_runner.sources.ethereum.verify.proofs import Prover


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
        self._fetcher.isolates = context.isolates
        self._streams = StreamGroups(context.report)
        self._has_places = False  # the positions of the selected streams are stored in the dataset
        self._running: AsyncGenerator[Batch, None] | None = None
        self._heads = HeadWatch(self._pool, context.report)
        self._prefetcher: Prefetcher | None = None
        self._doubts = 0  # failures since the last batch
        self._lower_since: float | None = None
        self._stalled = Outage(context.report)
        self._standstill = Standstill()

    async def discover(self, selected: str | None, also: Collection[str] = ()) -> Catalogue:
        """Returns the streams that are possible with the configuration; see `discovery`."""
        from connector_runner.sources.ethereum.discovery import discover

        return await discover(self._settings, self._plans, self._report, selected)

    async def open(self, checkpoints: Mapping[str, Checkpoint | None]) -> Opened:
        """Connects to the first endpoint that is on the checkpoints' chain."""
        found, failed = begin_streams(self._plans, checkpoints, isolates=self._fetcher.isolates)
        identity = await self._pool.connect(chain_identity(checkpoints.values()))
        begun = {chain is not None for _, chain in found}
        first = Chain.starting_at(await self._first_number() if len(begun) == 2 else 0)
        self._streams.begin(found, first)
        self._fetcher.is_bloom_refuted = any(chain.state.is_bloom_refuted for _, chain in found if chain is not None)
        self._learn_family(chain_of(identity))
        self._stalled.opened()
        self._fetcher.isolates &= len(checkpoints) > 1
        return Opened({plan.schema.stream: plan.schema for plan, _ in found}, identity, failed)

    async def _first_number(self) -> int:
        """The first block of a stream that starts after other streams of this connector."""
        head = await self._pool.header(Tag.LATEST.value)
        if head is None:
            raise TransientError(f"{self._pool.endpoint.shown} knows no block yet", reason="NoBlock")
        return self._first_block(head)

    def _learn_family(self, chain: int) -> None:
        self._prover.family = family_of(chain, self._settings.proofs)
        if self._prover.family.lacks and (said := describe(chain, self._settings.proofs)):
            self._prover.report(f"family {self._prover.family.name}", f"chain {chain}", said)

    def batches(self) -> AsyncIterator[Batch]:
        """Extends, waits or walks back, depending on the node's head; never ends."""
        self._running = self._batches()
        return self._running

    async def _batches(self) -> AsyncGenerator[Batch, None]:
        diverged = False
        while True:
            try:
                head = await self._head()
                async with aclosing(self._step(head, diverged)) as step:
                    diverged = False
                    async for batch in step:
                        self._doubts = 0
                        yield batch
                    diverged = self._prefetcher is not None and self._prefetcher.has_diverged
                    self._prefetcher = None
            except (StaleAnswerError, MalformedAnswerError, NodeFailure) as error:
                if not is_doubt(error):
                    raise as_connector_error(error) from None
                await self._doubt(str(error))
            except PlanFailuresError as failures:
                for batch in await self._isolate(failures.failed):
                    yield batch

    async def _doubt(self, message: str) -> None:
        """Handles an answer that can't be trusted: ask again a little later, another node if possible; finally raise."""
        self._report.count("doubted_answers")
        doubts, self._doubts = self._doubts, self._doubts + 1
        if doubts >= PATIENT_TRIES:
            raise TransientError(message, reason="NodeInconsistent")
        if doubts % 4 == 3:
            await self._pool.rotate(message)
        await asyncio.sleep(backoff_delay(doubts, FIRST_BACKOFF, 1.0, random.random()))  # noqa: S311 - no secret

    async def _isolate(self, failed: Mapping[str, Exception]) -> list[Batch]:
        """Streams that can't be read while others can stand aside, after as many tries as their failures deserve."""
        due = {stream: error for stream, error in failed.items() if self._doubts + 1 >= tries_of(error)}
        if not due:
            await self._doubt(str(next(iter(failed.values()))))
            return []
        self._doubts = 0
        return self._streams.stand_aside(due)

    async def _head(self) -> Header | None:
        """The newest block that finality allows; None when there is none yet."""
        announced, chain = self._heads.take_announced(), self._streams.chain
        finality = self._settings.finality
        if finality in (0, Tag.LATEST):
            if announced is not None and chain is not None and chain.head is not None and chain.is_parent_of(announced):
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
            await self._wait(Wait())
            return
        self._note_standstill(head)
        chain = self._streams.chain = self._streams.chain or self._new_chain(head)
        if not self._has_places and not self._streams.plans.is_alone:
            for batch in self._streams.build_places():
                yield batch
        self._has_places = True
        self._prover.head_from = head.number - RING_BLOCKS + 1
        if chain.state.must_reread:
            async for batch, after in reread(self._fetcher, self._streams.plans, chain):
                self._streams.chain = after
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
                self._prefetcher = Prefetcher(self._fetcher, self._streams.plans, chain, self._safe_below(head))
                end = min(last, first + SLICE_BLOCKS - 1) if self._streams.has_laggards_due() else last
                async with aclosing(self._prefetcher.batches(first, end)) as batches:
                    async for batch in batches:
                        self._arrived(self._prefetcher.chain, batch, last)
                        yield batch
            case WalkBack(top):
                await self._pool.reconnect()  # detects another chain at the same address; else it is a reorganisation
                replaced, self._streams.chain, orphans = await replace_branch(
                    self._fetcher, self._streams.plans, chain, head, top
                )
                self._lower_since = None
                self._report.count("reorganisations")
                self._report.count("retracted_blocks", orphans)
                self._report.note("reorganisation", depth=orphans, **summary(self._streams.chain))
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
                if not self._streams.has_laggards_due():
                    await self._wait(step)
        if self._streams.laggards:
            async with aclosing(self._streams.catch_up(self._fetcher, self._safe_below(head))) as batches:
                async for batch in batches:
                    yield batch

    def _new_chain(self, head: Header) -> Chain:
        chain = Chain.starting_at(self._first_block(head))
        if not self._streams.plans.is_alone:
            return chain
        return chain.with_state(replace(chain.state, event=self._streams.plans.plans[0].event))

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
        self._streams.chain = chain
        self._stalled.passed()
        is_single = batch.event_time is not None and chain.number == last  # as blocks arrive at the head
        self._heads.moved(int(batch.event_time) if batch.event_time is not None and is_single else None)
        if batch.event_time is not None:
            self._report.lag(max(0.0, time.time() - batch.event_time) if chain.number < last else 0.0)
        if last - chain.start > 0:
            self._report.progress(chain.number - chain.start + 1, last - chain.start + 1, "blocks")

    async def _wait(self, step: Wait) -> None:
        if not step.behind:
            self._report.lag(0.0)
        await self._heads.wait()

    async def close(self) -> None:
        """Ends the subscription, what is being fetched, and the connection."""
        if self._running is not None:
            with suppress(RuntimeError):  # it is being read: its reader ends when the connection is closed
                await self._running.aclose()
        await self._heads.close()
        await self._pool.close()
