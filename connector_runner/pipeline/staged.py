"""Transactions that a sink has staged and not committed: told as committed only when they are."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.batch import Batch
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.sink import Receipt, Sink, Staging, Transaction


@dataclass(slots=True)
class Sent:
    """A transaction that was sent at a (monotonic) time and is not confirmed."""

    transaction: Transaction
    task: asyncio.Task[Receipt]
    at: float


class Staged:
    """What waits for the next commit of a sink; empty if the sink commits each transaction.

    Attributes:
        sink: The sink, if it collects transactions.
    """

    def __init__(self, sink: Sink, telemetry: Telemetry) -> None:
        self.sink = sink if isinstance(sink, Staging) else None
        self._telemetry = telemetry
        self._waiting: list[tuple[Transaction, Receipt, float]] = []

    def written(self, transaction: Transaction, receipt: Receipt, at: float) -> None:
        """The sink has taken a transaction that was sent at a (monotonic) time."""
        if self.sink is not None and self.sink.due_in() is not None:
            self._waiting.append((_without_rows(transaction), receipt, at))
        else:
            self.report()
            self._telemetry.committed(transaction, receipt, time.monotonic() - at)

    def report(self) -> None:
        """Everything is committed."""
        waiting, self._waiting = self._waiting, []
        for transaction, receipt, at in waiting:
            self._telemetry.committed(transaction, receipt, time.monotonic() - at)

    async def commit(
        self,
        watched: Callable[[Coroutine[Any, Any, None], str], Awaitable[None]],
        repair: Callable[[TransientError], Awaitable[None]],
    ) -> None:
        """Commits what is staged, and tells it; tries again as long as necessary.

        Args:
            watched: Awaits work of the sink and reports if it takes long.
            repair: Waits after a failure, and lets the sink recover.
        """
        while self.sink is not None and self.sink.due_in() is not None:
            try:
                await watched(self.sink.flush(), "the commit of what is staged")
            except TransientError as error:
                await repair(error)
        self.report()

    def seconds_left(self) -> float:
        """In how many seconds a commit is due; infinite if nothing waits."""
        due = self.sink.due_in() if self.sink is not None else None
        return math.inf if due is None else due

    @property
    def is_due(self) -> bool:
        """Whether a commit is due now."""
        return self.seconds_left() <= 0


def _without_rows(transaction: Transaction) -> Transaction:
    """The same, as far as it is told: the rows are only counted, so they need not be kept in memory."""
    return replace(transaction, batches=tuple(map(_counted, transaction.batches)))


def _counted(batch: Batch) -> Batch:
    rows: Sequence[Any] = range(len(batch.rows))
    return replace(batch, rows=rows)
