"""The queue between reader and writer: bounded in bytes and rows, so that back-pressure reaches the source."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from connector_runner.protocols.batch import Batch


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is held at once.

    `Batch.size` estimates bytes on the wire; Python's objects take several times that, hence the limits on rows.
    """

    queue_bytes: int = 8 << 20
    queue_rows: int = 30_000
    group_bytes: int = 4 << 20
    group_rows: int = 10_000


@dataclass(slots=True)
class Group:
    """Batches of one schema from one source, to be stored together."""

    batches: list[Batch]
    identity: str

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
        self.bytes = 0
        self.rows = 0

    def offer(self, batch: Batch, identity: str) -> bool:
        """Takes the batch if there is room; one that is larger than the limits is taken into an empty queue."""
        if self._items and self.is_full:
            return False
        self._items.append((batch, identity))
        self.bytes += batch.size
        self.rows += len(batch.rows)
        if len(self._items) == 1:
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
        """Nothing more will come."""
        self._closed = True
        self._changed.set()

    @property
    def is_finished(self) -> bool:
        """Closed and empty."""
        return self._closed and not self._items

    async def wait(self) -> None:
        """Until there is something to take, the queue is closed, or somebody wakes the waiting one."""
        if not self._items and not self._closed and not self._woken:
            self._changed.clear()
            await self._changed.wait()
        self._woken = False

    def wake(self) -> None:
        """Ends a `wait`, now or the next."""
        self._woken = True
        self._changed.set()

    def take(self) -> Group | None:
        """What can be stored together, None when there is nothing: up to the limits, of one schema and one source."""
        if not self._items:
            return None
        limits, items = self._limits, self._items
        batch, identity = items.popleft()
        group = Group([batch], identity)
        schema, size, rows = batch.schema, batch.size, len(batch.rows)
        while items and size < limits.group_bytes and rows < limits.group_rows:
            batch, source = items[0]
            if source != identity or (batch.schema is not schema and batch.schema.version != schema.version):
                break
            items.popleft()
            group.batches.append(batch)
            size += batch.size
            rows += len(batch.rows)
        self.bytes -= size
        self.rows -= rows
        self._room.set()
        return group
