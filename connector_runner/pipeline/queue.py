"""The queue between reader and writer, bounded in bytes and rows, so that backpressure reaches the source."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from connector_runner.protocols.batch import Batch, first_renews
from connector_runner.protocols.schema import StreamSchema


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what the queue and a group hold.

    A transaction of the source (`Batch.more`) is never split while it fits into the queue: it may make a group larger than the
    group's limits, and is taken only when its end has arrived. `Batch.size` estimates bytes on the wire; Python objects take
    several times that, so rows are limited too.
    """

    queue_bytes: int = 8 << 20
    queue_rows: int = 30_000
    group_bytes: int = 4 << 20
    group_rows: int = 10_000


class _Whole(NamedTuple):
    """The batches of one transaction of the source, which become visible together."""

    batches: list[Batch]
    size: int
    rows: int


@dataclass(slots=True)
class Group:
    """Batches of one source that are stored together.

    Attributes:
        schemas: Stream → its schema in all of these batches.
    """

    batches: list[Batch]
    identity: str
    schemas: dict[str, StreamSchema]

    @property
    def has_rows(self) -> bool:
        """False if there is only a newer position."""
        return any(batch.rows or batch.incidents for batch in self.batches)

    def renews(self, stream: str) -> bool:
        """Whether its first rows renew the stream's table."""
        return first_renews(batch for batch in self.batches if batch.schema.stream == stream)


class BatchQueue:
    """A queue for one reader and one writer on one event loop.

    Batches of one transaction of the source (`Batch.more`) are taken out together or not at all, however large the transaction is:
    limiting its size is the source's task.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._steps: deque[tuple[Batch | _Whole, str]] = deque()
        self._begun: list[Batch] = []  # batches of a transaction whose end has not arrived yet
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._woken = False
        self.bytes = 0
        self.rows = 0

    def offer(self, batch: Batch, identity: str) -> bool:
        """Adds the batch if there is room; an empty queue accepts a batch larger than the limits."""
        if self._steps and self.is_full:
            return False
        self.bytes += batch.size
        self.rows += len(batch.rows)
        step: Batch | _Whole = batch
        if batch.more or self._begun:
            self._begun.append(batch)
            if batch.more:
                return True
            begun, self._begun = self._begun, []
            step = _Whole(begun, sum(part.size for part in begun), sum(len(part.rows) for part in begun))
        self._steps.append((step, identity))
        if len(self._steps) == 1:
            self._changed.set()
        return True

    async def put(self, batch: Batch, identity: str) -> None:
        """Waits until there is room."""
        while not self.offer(batch, identity):
            self._room.clear()
            await self._room.wait()

    @property
    def is_full(self) -> bool:
        """Whether a reader must wait."""
        return self.bytes >= self._limits.queue_bytes or self.rows >= self._limits.queue_rows

    def discard_begun(self) -> None:
        """Drops a transaction whose end will not arrive: the connection was lost within it, and it will be read again."""
        for batch in self._begun:
            self.bytes -= batch.size
            self.rows -= len(batch.rows)
        self._begun.clear()

    def close(self) -> None:
        """Marks the end: no batch follows."""
        self.discard_begun()
        self._closed = True
        self._changed.set()

    @property
    def is_finished(self) -> bool:
        """Whether the queue is closed and empty."""
        return self._closed and not self._steps

    async def wait(self) -> None:
        """Waits until there is something to take, the queue is closed, or `wake` is called."""
        if not self._steps and not self._closed and not self._woken:
            self._changed.clear()
            await self._changed.wait()
        self._woken = False

    def wake(self) -> None:
        """Ends the present `wait`, or the next one."""
        self._woken = True
        self._changed.set()

    def take(self) -> Group | None:
        """The next batches that can be stored together, or None: of one source, each stream in one schema, up to the limits."""
        if not self._steps:
            return None
        limits, steps = self._limits, self._steps
        identity = steps[0][1]
        batches, schemas = list[Batch](), dict[str, StreamSchema]()
        schema, size, rows, size_limit, rows_limit = None, 0, 0, limits.group_bytes, limits.group_rows
        while steps and (not batches or (size < size_limit and rows < rows_limit)):
            step, source = steps[0]
            if source != identity:
                break
            if isinstance(step, _Whole):
                if not _fit(step.batches, schemas):
                    break
                batches += step.batches
                schema = step.batches[-1].schema
                rows += step.rows
            else:
                if step.schema is not schema:
                    if not _fit([step], schemas):
                        break
                    schema = step.schema
                batches.append(step)
                rows += len(step.rows)
            size += step.size
            steps.popleft()
        self.bytes -= size
        self.rows -= rows
        self._room.set()
        return Group(batches, identity, schemas)


def _fit(batches: list[Batch], known: dict[str, StreamSchema]) -> bool:
    """Whether each stream has the same schema as in the group; if so, schemas of new streams are added to the group."""
    for batch in batches:
        before = known.get(batch.schema.stream)
        if before is not None and before is not batch.schema and before.version != batch.schema.version:
            return False
    for batch in batches:
        known.setdefault(batch.schema.stream, batch.schema)
    return True
