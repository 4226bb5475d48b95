"""Watermarks: where a chunk of the snapshot belongs in the log. Pure.

The rule that makes a copy without locks exact: a chunk may be stored at a position of the log up to which every transaction is in
the chunk. The later changes of the log are then applied over it, and no row of the chunk is newer than its position or older than
the row that it overwrites. There are three ways to know which transactions are in a chunk:

- MariaDB reports a snapshot's exact position: the chunk waits until the log is applied up to it.
- MySQL with GTIDs reports the executed set before and after the snapshot is opened: the chunk waits for the set after, and its
  rows whose keys were changed by transactions outside the set before are left out, since the log has delivered them.
- Else the log is held while the chunk is read with shared row locks, which wait for transactions that are in the log but not yet
  visible: the chunk has all that was applied, and is stored before the log continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from connector_runner.protocols.batch import Row
from connector_runner.sources.mysql.binlog.gtid import MariaGtids, MysqlGtids
from connector_runner.sources.mysql.binlog.position import Commit, LogPosition, file_order
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch

# The most keys remembered while a chunk waits; with more (one giant transaction) the chunk is read again later.
KEY_LIMIT = 500_000


class Bounds(Protocol):
    """What is known of a chunk's position in the log."""

    def holds(self, commit: Commit) -> bool:
        """Whether the chunk certainly contains this transaction."""

    def is_reached(self, applied: LogPosition) -> bool:
        """Whether the log is applied far enough for the chunk to be stored."""


class ExactBounds:
    """MariaDB: the chunk is the table at exactly this position."""

    def __init__(self, position: LogPosition) -> None:
        self.position = position
        self._place = (file_order(position.file), position.offset)
        self._gtids = MariaGtids.parse(position.gtids)

    def holds(self, commit: Commit) -> bool:
        """Whether the transaction is not after the position.

        Of an XA transaction that was prepared before, that proves nothing: MariaDB shows its rows a moment after its end is in the log.
        """
        return not commit.xid and (file_order(commit.file), commit.offset) <= self._place

    def is_reached(self, applied: LogPosition) -> bool:
        """Compares file and offset; or GTIDs, while the file is not known (the first moments after a failover)."""
        if applied.file:
            return (file_order(applied.file), applied.offset) >= self._place
        return MariaGtids.parse(applied.gtids).covers(self._gtids)

    def shows(self, applied: LogPosition) -> bool:
        """Whether a snapshot at this position has everything that was applied, also of a partly applied transaction."""
        if applied.file:
            place = (file_order(applied.file), applied.offset)
            return place < self._place if applied.rows else place <= self._place
        return all(self._gtids.covers(MariaGtids.parse(gtids)) for gtids in (applied.gtids, applied.transaction))


class ExecutedBounds:
    """MySQL with GTIDs: the snapshot was opened between these two executed sets."""

    def __init__(self, before: str, after: str) -> None:
        self._before, self._after = MysqlGtids.parse(before), MysqlGtids.parse(after)

    def holds(self, commit: Commit) -> bool:
        """Whether the transaction was visible before the snapshot was opened."""
        return commit.gtid is not None and self._before.has(*commit.gtid)

    def is_reached(self, applied: LogPosition) -> bool:
        """Whether the log has delivered everything that the chunk may contain."""
        return MysqlGtids.parse(applied.gtids).covers(self._after)

    def shows(self, applied: LogPosition) -> bool:
        """Whether readers could see everything that was applied when the snapshot was opened, as in `ExactBounds`."""
        return all(self._before.covers(MysqlGtids.parse(gtids)) for gtids in (applied.gtids, applied.transaction))


class HeldBounds:
    """The log was held while the chunk was read."""

    def holds(self, _commit: Commit) -> bool:
        """Always false: no later transaction is certain to be in the chunk."""
        return False

    def is_reached(self, _applied: LogPosition) -> bool:
        """Always true: the chunk may be stored at once."""
        return True


class Watermark:
    """Remembers, while a chunk waits, the keys of changes in the log that the chunk may not contain.

    Args:
        bounds: The chunk's bounds.
        key_places: The indices of the key's values in a row.
    """

    def __init__(self, bounds: Bounds, key_places: Sequence[int]) -> None:
        self._bounds, self._places = bounds, key_places
        self._keys: set[Row] = set()

    @property
    def is_full(self) -> bool:
        """Whether too many keys were changed: the chunk must be read again."""
        return len(self._keys) > KEY_LIMIT

    def note(self, batch: LogBatch) -> None:
        """Notes the keys of a batch of the log that is stored before the chunk."""
        start = 0
        for commit in batch.commits:
            if commit.rows > start and not self._bounds.holds(commit):
                places = self._places
                self._keys.update(tuple([row[place] for place in places]) for row in batch.rows[start : commit.rows])
            start = commit.rows

    def remaining(self, rows: list[Row]) -> list[Row]:
        """The chunk's rows without those that the log has delivered."""
        if not self._keys:
            return rows
        keys, places = self._keys, self._places
        return [row for row in rows if tuple([row[place] for place in places]) not in keys]
