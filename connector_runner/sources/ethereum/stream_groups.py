"""The streams of one connector in groups that are read together: the reader's, and those that are behind it or stand aside."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import SourceChangedError
from connector_runner.protocols.source import Report, StreamState
from connector_runner.sources.ethereum.catching_up import Laggard, join, shared
from connector_runner.sources.ethereum.chain import Chain
from connector_runner.sources.ethereum.errors import as_connector_error
from connector_runner.sources.ethereum.fetch.batches import build_places
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.fetch.plan import StreamPlan
from connector_runner.sources.ethereum.fetch.plan_set import FAILURES, PlanFailuresError, PlanSet


class StreamGroups:
    """Which streams are read together.

    Attributes:
        chain: The blocks that the dataset has of the reader's streams; None before the first.
        plans: The reader's streams.
        laggards: The other groups.
    """

    def __init__(self, report: Report) -> None:
        self.chain: Chain | None = None
        self.plans = PlanSet(())
        self.laggards: list[Laggard] = []
        self._report = report

    def begin(self, found: Iterable[tuple[StreamPlan, Chain | None]], first: Chain) -> None:
        """Groups streams by position; see `split_by_position`."""
        (self.plans, self.chain), self.laggards = split_by_position(found, first)
        self._report_states(self.plans, StreamState.FOLLOWING)
        for laggard in self.laggards:
            self._report_copying(laggard)

    def build_places(self) -> list[Batch]:
        """Batches without rows that store where each stream stands, as one transaction.

        A stream that shared an earlier position of the reader would else move with it, if the run is killed before its first rows.
        """
        batches = build_places(self.plans, self._reader())
        for laggard in self.laggards:
            batches += laggard.build_places(self._reader())
        for batch in batches:
            batch.more = batch is not batches[-1]
        return batches

    def has_laggards_due(self) -> bool:
        """Whether there is something to read for streams behind the reader."""
        chain, now = self.chain, time.monotonic()
        return chain is not None and any(laggard.is_due(chain, now) for laggard in self.laggards)

    async def catch_up(self, fetcher: Fetcher, safe_below: int) -> AsyncGenerator[Batch, None]:
        """Reads a slice of the streams that are behind; those that have caught up are read with the others from now on.

        Raises:
            StaleAnswerError, NodeFailure, ConnectorError: They can't be read now, and are not isolated.
        """
        reader, now = self._reader(), time.monotonic()
        for laggard in [laggard for laggard in self.laggards if laggard.is_due(reader, now)]:
            if laggard.is_parked:
                fetcher.missing.clear()  # the node may offer by now what it did not
            failed: Mapping[str, Exception] = {}
            try:
                async with aclosing(laggard.slice(fetcher, self._reader(), safe_below)) as batches:
                    async for batch in batches:
                        self._report_copying(laggard)
                        yield batch
            except FAILURES as error:
                if not fetcher.isolates or isinstance(error, SourceChangedError):
                    raise
                failed = {plan.schema.stream: error for plan in laggard.plans.plans}
            except PlanFailuresError as failures:
                failed = failures.failed
            for batch in self._put_off(laggard, failed) if failed else self._join(laggard):
                yield batch

    def stand_aside(self, failed: Mapping[str, Exception]) -> list[Batch]:
        """Takes streams that can't be read out of the reader's; returns the batches that record this, as one transaction.

        If none is left, the streams that are furthest behind the reader take its place.

        Raises:
            ConnectorError: No stream can be read.
        """
        was = self._reader()
        apart = [plan for plan in self.plans.plans if plan.schema.stream in failed]
        left = [plan for plan in self.plans.plans if plan.schema.stream not in failed]
        batches = [] if left else self._inherit(next(iter(failed.values())))
        if left:
            self.plans = PlanSet.of(left)
        for plan in apart:
            laggard = Laggard(PlanSet.of([plan]), was)
            self.laggards.append(laggard)
            batches += laggard.park(failed[plan.schema.stream], self._reader())
            laggard.failed(failed[plan.schema.stream], self._reader(), time.monotonic())
            self._note_parked(plan.schema.stream, failed[plan.schema.stream])
        for batch in batches:
            batch.more = batch is not batches[-1]
        return batches

    def _inherit(self, error: Exception) -> list[Batch]:
        """The streams that are furthest behind become the reader's."""
        reader = self._reader()
        others = [other for other in self.laggards if not other.is_parked and other.chain.number <= reader.number]
        if not others:
            raise as_connector_error(error)
        heir = max(others, key=lambda laggard: laggard.chain.number)
        self.laggards.remove(heir)
        self.chain, self.plans = heir.chain, heir.plans
        self._report_states(heir.plans, StreamState.FOLLOWING)
        return build_places(heir.plans, heir.chain)

    def _reader(self) -> Chain:
        assert self.chain is not None  # noqa: S101 - blocks were asked for
        return self.chain

    def _put_off(self, laggard: Laggard, failed: Mapping[str, Exception]) -> list[Batch]:
        """Streams behind the reader that can't be read are tried again later."""
        batches: list[Batch] = []
        parts = laggard.split(failed)
        self.laggards = [other for other in self.laggards if other is not laggard] + parts
        for part in parts:
            streams = [plan.schema.stream for plan in part.plans.plans]
            if streams[0] in failed:
                parked = part.failed(failed[streams[0]], self._reader(), time.monotonic())
                for stream in streams if part.is_parked else ():
                    self._note_parked(stream, failed[streams[0]])
                batches += parked
        return batches

    def _join(self, laggard: Laggard) -> list[Batch]:
        reader = self._reader()
        if not laggard.has_reached(reader):
            return []
        self.laggards.remove(laggard)
        self.chain, self.plans, joined = join(reader, self.plans, laggard)
        self._report_states(laggard.plans, StreamState.FOLLOWING)
        self._report.note("streams have caught up", streams=[plan.schema.stream for plan in laggard.plans.plans])
        return joined

    def _report_states(self, plans: PlanSet, state: StreamState) -> None:
        for plan in plans.plans if not plans.is_alone else ():
            self._report.stream(plan.schema.stream, state)

    def _report_copying(self, laggard: Laggard) -> None:
        """How far streams behind the reader are, each as a copy of its own."""
        self._report_states(laggard.plans, StreamState.COPYING)
        chain, last = laggard.chain, self._reader().number
        for plan in laggard.plans.plans:
            self._report.progress(chain.number - chain.start + 1, last - chain.start + 1, "blocks", plan.schema.stream)

    def _note_parked(self, stream: str, error: Exception) -> None:
        failure = as_connector_error(error)
        self._report.stream(stream, StreamState.FAILED, failure.reason, failure.message)


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
    laggards = [Laggard(PlanSet.of(own), shared(other or first)) for own, other in groups.values()]
    return (PlanSet.of(plans), chain and shared(chain)), laggards
