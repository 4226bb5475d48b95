"""One of the tables that are followed through the log: its definition, its waiting rows, and what is in doubt. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from connector_runner.protocols.batch import Incident, Row
from connector_runner.sources.mysql.binlog.position import Commit, Gtid, LogPosition, gtid_text
from connector_runner.sources.mysql.log_reader.log_batch import Again, Interruption, LogBatch
from connector_runner.sources.mysql.types.names import TableName
from connector_runner.sources.mysql.types.table import TableDefinition


class FollowedTable:
    """Collects the rows of one table until they are taken.

    Args:
        definition: The table at `position`.
        position: The table's position, perhaps inside a transaction.
        name: Its name as it is compared.
        read_shadows: Returns the sessions that have a temporary table of its name.
    """

    __slots__ = (
        "_commits", "_committed", "_handed", "_left_at", "_read_shadows", "_resumed", "again", "definition", "doubt", "emitted",
        "failure", "incidents", "is_changed", "is_dropped", "is_touched", "is_waiting", "name", "operations", "prepared", "rows",
        "size", "skip", "time",
    )  # fmt: skip

    def __init__(
        self, definition: TableDefinition, position: LogPosition, name: TableName, read_shadows: Callable[[], tuple[str, ...]]
    ) -> None:  # fmt: skip
        self.definition, self.name = definition, name
        self._read_shadows = read_shadows
        self.rows: list[Row] = []
        self.operations = bytearray()
        self.size = 0
        self.time = 0  # of the newest row, in seconds since the epoch
        self.is_touched = False  # the open transaction has, or may have, something of the table
        self.is_waiting = False  # there is, or may be, something to hand over
        self.is_changed = False  # its part of the position has changed
        self.is_dropped = False  # the open transaction had too many rows to keep them
        self.doubt: Interruption | None = None  # why the rows of the open transaction can't be trusted
        self.incidents: list[Incident] = []
        self.again: Again | None = None
        self.failure: Exception | None = None  # why it is not followed any further
        self._left_at: LogPosition | None = None
        self.prepared: tuple[str, ...] = position.prepared
        self._resumed = position.transaction
        self.skip = self.emitted = position.rows  # rows of the open transaction that were handed over
        self._committed = 0
        self._commits: list[Commit] = []
        # The first position is handed over too, since a new stream has none yet.
        self._handed = position if position.rows else LogPosition()

    # --- the open transaction

    @property
    def has_rows(self) -> bool:
        """Whether the open transaction has rows of the table."""
        return len(self.rows) > self._committed or self.emitted > 0 or self.is_dropped

    @property
    def has_problem(self) -> bool:
        """Whether the open transaction can't be committed without a decision."""
        return self.doubt is not None or self.is_dropped or self.skip > 0

    def continues(self, gtid: Gtid | None) -> bool:
        """Whether a transaction that begins may be the one that was partly handed over."""
        return not self.skip or self._resumed in ("", gtid_text(gtid))

    def skip_rows(self, before: int) -> None:
        """Removes the rows that were already handed over, from the index `before` on."""
        skipped = min(self.skip, len(self.rows) - before)
        del self.rows[before : before + skipped], self.operations[before : before + skipped]
        self.skip -= skipped

    def drop(self) -> None:
        """Forgets the rows of the open transaction that were not handed over."""
        del self.rows[self._committed :], self.operations[self._committed :]

    def commit(self, gtid: Gtid | None, file: str, offset: int, xid: str = "") -> None:
        """Ends the open transaction with its rows."""
        rows = len(self.rows)
        if rows > self._committed:
            self._commits.append(Commit(rows, gtid, file, offset, xid))
            self._committed = rows
        self.skip = self.emitted = 0
        self.is_touched = self.is_dropped = False

    def close(self) -> None:
        """Ends the open transaction without its rows."""
        self.skip = self.emitted = 0
        self.is_touched = self.is_dropped = False

    def leave(self, error: Exception, log: LogPosition, transaction: str | None) -> None:
        """Stops following the table: it stays at its present position, without its waiting rows of the open transaction."""
        self.drop()
        self.failure, self.doubt = error, None
        self._left_at = self.position(log, transaction)

    # --- handing over

    @property
    def has_something(self) -> bool:
        """Whether there is something to hand over besides rows of the open transaction."""
        return bool(self._committed or self.again or self.incidents or self.failure or self.is_changed)

    def position(self, log: LogPosition, transaction: str | None) -> LogPosition:
        """The table's position.

        Args:
            log: How far the log is applied.
            transaction: The id of the open transaction, None without one.
        """
        inside = ""
        if self.emitted:  # until a resumed transaction has begun, its id is the one in the position
            inside = self._resumed if transaction is None else transaction
        others, prepared = log.others, self.prepared
        if log.prepared or prepared:
            others = tuple(xid for xid in (*log.prepared, *log.others) if xid not in prepared)
        return LogPosition(
            log.file, log.offset, log.gtids, self.emitted, prepared, others, inside, self._read_shadows()
        )

    def has_news(self, log: LogPosition, transaction: str | None) -> bool:
        """Whether its position differs from the one that was handed over last."""
        return self.position(log, transaction) != self._handed

    def take(
        self, log: LogPosition, gtid: Gtid | None, transaction: str | None, *, whole: bool, xid: str = ""
    ) -> LogBatch:  # fmt: skip
        """Takes what there is to hand over.

        Args:
            log: How far the log is applied.
            gtid: The id of the open transaction.
            transaction: The same as text, None without an open transaction.
            whole: Whether to take only finished transactions; else also the part of the open one that has arrived.
            xid: Of the open transaction, see `Commit`.
        """
        count = self._committed if whole else len(self.rows)
        rows, operations = self.rows[:count], bytes(self.operations[:count])
        commits = list(self._commits)
        if count > self._committed:
            self.emitted += count - self._committed
            commits.append(Commit(count, gtid, log.file, log.offset + 1, xid))
        position = self._left_at or self.position(log, transaction)
        batch = LogBatch(
            self.definition, rows, operations, position, tuple(commits), max(1, self.size),
            float(self.time) if rows else None, tuple(self.incidents), self.again, failure=self.failure,
        )  # fmt: skip
        del self.rows[:count], self.operations[:count]
        self._commits.clear()
        self.incidents.clear()
        self._committed, self.size, self._handed, self.again, self.is_changed = 0, 0, position, None, False
        return batch
