"""The queue between reader and writer: bounded in bytes and rows, so that back-pressure reaches the source."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from connector_runner.protocols.batch import Batch
from connector_runner.protocols.schema import StreamSchema


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is held at once.

    A transaction of the source (`Batch.more`) is never cut while it fits into the queue: it makes a group larger than the group's
    limits, and is taken only when its end is there. `Batch.size` estimates bytes on the wire; Python's objects take several times that, hence the limits on rows.
    """

    queue_bytes: int = 8 << 20
    queue_rows: int = 30_000
    group_bytes: int = 4 << 20
    group_rows: int = 10_000


@dataclass(slots=True)
class Group:
    """Batches of one source, to be stored together.

    Attributes:
        schemas: Stream → its schema in all of these batches.
    """

    batches: list[Batch]
    identity: str
    schemas: dict[str, StreamSchema]

    @property
    def has_rows(self) -> bool:
        """False for mere news of the position."""
        return any(batch.rows or batch.incidents for batch in self.batches)


class BatchQueue:
    """For one reader and one writer on one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._items: deque[tuple[Batch, str]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._woken = False
        # How many batches in the queue end a transaction of the source.
        self._ends = 0
        self.bytes = 0
        self.rows = 0

    def offer(self, batch: Batch, identity: str) -> bool:
        """Takes the batch if there is room; one that is larger than the limits is taken into an empty queue."""
        if self._items and self.is_full:
            return False
        self._items.append((batch, identity))
        self.bytes += batch.size
        self.rows += len(batch.rows)
        if not batch.more:
            self._ends += 1
            if self._ends == 1:
                self._changed.set()
        elif self.is_full:
            self._changed.set()
        return True

    async def put(self, batch: Batch, identity: str) -> None:
        """Waits until there is room."""
        while not self.offer(batch, identity):
            self._room.clear()
            await self._room.wait()

    @property
    def is_full(self) -> bool:
        """Whether a reader has to wait."""
        return self.bytes >= self._limits.queue_bytes or self.rows >= self._limits.queue_rows

    def close(self) -> None:
        """Nothing more will come; the beginning of a transaction without its end is read again by whoever goes on."""
        while self._items and self._items[-1][0].more:
            batch, _ = self._items.pop()
            self.bytes -= batch.size
            self.rows -= len(batch.rows)
        self._closed = True
        self._changed.set()

    @property
    def is_finished(self) -> bool:
        """Closed and empty."""
        return self._closed and not self._items

    @property
    def _is_ready(self) -> bool:
        """Whether there is a whole transaction of the source, or as much of one as may be held."""
        return self._ends > 0 or (self.is_full and bool(self._items))

    async def wait(self) -> None:
        """Until there is something to take, the queue is closed, or somebody wakes the waiting one."""
        if not self._is_ready and not self._closed and not self._woken:
            self._changed.clear()
            await self._changed.wait()
        self._woken = False

    def wake(self) -> None:
        """Ends a `wait`, now or the next."""
        self._woken = True
        self._changed.set()

    def take(self) -> Group | None:
        """What can be stored together, None when there is nothing: of one source, each stream in one schema, up to the limits."""
        if not self._is_ready:
            return None
        limits, items, whole = self._limits, self._items, self._ends > 0
        batch, identity = items.popleft()
        schema, size, rows = batch.schema, batch.size, len(batch.rows)
        group, ends = Group([batch], identity, {schema.stream: schema}), self._ends - (not batch.more)
        while items and (
            batch.more or (size < limits.group_bytes and rows < limits.group_rows and (ends or not whole))
        ):
            following, source = items[0]
            if source != identity or (following.schema is not schema and not _fits(following.schema, group.schemas)):
                break
            batch, schema = following, following.schema
            items.popleft()
            group.batches.append(batch)
            size += batch.size
            rows += len(batch.rows)
            ends -= not batch.more
        self._ends = ends
        self.bytes -= size
        self.rows -= rows
        self._room.set()
        return group


def _fits(schema: StreamSchema, known: dict[str, StreamSchema]) -> bool:
    """Whether the stream's other batches have this schema too; one that has none yet is entered."""
    return known.setdefault(schema.stream, schema).version == schema.version
