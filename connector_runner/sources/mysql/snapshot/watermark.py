"""Where a chunk of the copy belongs in the log. Pure.

The rule that makes a copy without locks exact: a chunk may be stored at a point of the log up to which every transaction is
in the chunk. Then what follows in the log is applied over it, and nothing of the chunk is ever newer than it should be or
older than what was there. Three ways to know what is in a chunk:

- MariaDB tells a snapshot's exact position: the chunk waits until the log has come to it.
- MySQL with GTIDs tells the executed set before and after the snapshot is opened: the chunk waits for the set after, and its
  rows whose keys were changed by transactions outside the set before are left out, since the log has brought them.
- Else the log stands still while the chunk is read with shared row locks, which wait for transactions that are in the log
  but not yet visible: the chunk holds all that was applied, and is stored before the log goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from connector_runner.protocols.batch import Row
from connector_runner.sources.mysql.binlog.gtid import MariaGtids, MysqlGtids
from connector_runner.sources.mysql.binlog.position import Commit, LogPosition, file_order
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch

# Keys remembered while a chunk waits; beyond (one giant transaction) the chunk is read again later.
KEY_LIMIT = 500_000


class Bounds(Protocol):
    """What is known of a chunk's place."""

    def holds(self, commit: Commit) -> bool:
        """Whether the chunk certainly shows this transaction."""

    def is_reached(self, applied: LogPosition) -> bool:
        """Whether the log has come to where the chunk may be stored."""


class ExactBounds:
    """MariaDB: the chunk is the table at exactly this position."""

    def __init__(self, position: LogPosition) -> None:
        self.position = position
        self._place = (file_order(position.file), position.offset)
        self._gtids = MariaGtids.parse(position.gtids)

    def holds(self, commit: Commit) -> bool:
        """Transactions up to the position."""
        return (file_order(commit.file), commit.offset) <= self._place

    def is_reached(self, applied: LogPosition) -> bool:
        """By file and offset; by GTIDs while the file is not known (the first moments after a failover)."""
        if applied.file:
            return (file_order(applied.file), applied.offset) >= self._place
        return MariaGtids.parse(applied.gtids).covers(self._gtids)

    def shows(self, applied: LogPosition) -> bool:
        """Whether a snapshot at this position has everything that was applied, also of a transaction that was in part."""
        if applied.file:
            place = (file_order(applied.file), applied.offset)
            return place < self._place if applied.rows else place <= self._place
        return all(self._gtids.covers(MariaGtids.parse(gtids)) for gtids in (applied.gtids, applied.transaction))


class ExecutedBounds:
    """MySQL with GTIDs: the snapshot was opened between these two executed sets."""

    def __init__(self, before: str, after: str) -> None:
        self._before, self._after = MysqlGtids.parse(before), MysqlGtids.parse(after)

    def holds(self, commit: Commit) -> bool:
        """Transactions that were visible before the snapshot was opened."""
        return commit.gtid is not None and self._before.has(*commit.gtid)

    def is_reached(self, applied: LogPosition) -> bool:
        """The log has brought all that the chunk may show."""
        return MysqlGtids.parse(applied.gtids).covers(self._after)

    def shows(self, applied: LogPosition) -> bool:
        """Whether readers could see everything that was applied when the snapshot was opened; as above."""
        return all(self._before.covers(MysqlGtids.parse(gtids)) for gtids in (applied.gtids, applied.transaction))


class HeldBounds:
    """The log stood still while the chunk was read."""

    def holds(self, _commit: Commit) -> bool:
        """Nothing that comes is certain to be in it."""
        return False

    def is_reached(self, _applied: LogPosition) -> bool:
        """At once."""
        return True


class Watermark:
    """Remembers, while a chunk waits, which keys the log has brought that the chunk may not have.

    Args:
        bounds: Of the chunk.
        key_places: Where the key's values stand in a row.
    """

    def __init__(self, bounds: Bounds, key_places: Sequence[int]) -> None:
        self._bounds, self._places = bounds, key_places
        self._keys: set[Row] = set()

    @property
    def is_full(self) -> bool:
        """Whether too many keys were changed: the chunk must be read again."""
        return len(self._keys) > KEY_LIMIT

    def note(self, batch: LogBatch) -> None:
        """Takes in a batch of the log that is stored before the chunk."""
        start = 0
        for commit in batch.commits:
            if commit.rows > start and not self._bounds.holds(commit):
                places = self._places
                self._keys.update(tuple([row[place] for place in places]) for row in batch.rows[start : commit.rows])
            start = commit.rows

    def remaining(self, rows: list[Row]) -> list[Row]:
        """The chunk's rows that the log did not bring."""
        if not self._keys:
            return rows
        keys, places = self._keys, self._places
        return [row for row in rows if tuple([row[place] for place in places]) not in keys]
