"""Rows of the log on their way: those of finished transactions, and those of the one that is open. No I/O."""

from __future__ import annotations

from connector_runner.protocols.batch import Incident, Row
from connector_runner.sources.mysql.binlog.position import Commit, Gtid, LogPosition, LogState, gtid_text
from connector_runner.sources.mysql.log_reader.log_batch import Again, LogBatch
from connector_runner.sources.mysql.types.table import TableDefinition

# An XA transaction is not handed over before its end; one with more rows than this keeps only that it has some.
XA_BYTES = 16 << 20


class TransactionBuffer:
    """Collects rows until they are taken, and knows how far the log is applied.

    Args:
        position: Where the stream of events starts, perhaps inside a transaction.
        state: Moves as transactions end.
    """

    def __init__(self, position: LogPosition, state: LogState) -> None:
        self.state = state
        self.rows: list[Row] = []
        self.operations = bytearray()
        self.size = 0
        self.time = 0  # of the newest row, in seconds since the epoch
        self.is_open = False
        self.is_explicit = False  # opened by BEGIN: ends with a commit, not with the next statement
        self.is_xa = False
        self._gtid: Gtid | None = None
        self._resumed = position.transaction
        self._skip = self.emitted = position.rows  # rows of the open transaction that were handed over
        self._is_dropped = False
        self._committed = 0
        self._commits: list[Commit] = []
        # News of the first position is wanted by those who have none yet.
        self._handed = position if position.rows else LogPosition()

    @property
    def has_rows(self) -> bool:
        """Whether the open transaction has rows of the table."""
        return len(self.rows) > self._committed or self.emitted > 0 or self._is_dropped

    @property
    def has_problem(self) -> bool:
        """Whether rows of the open transaction are neither here nor handed over."""
        return self._is_dropped or self._skip > 0

    @property
    def problem(self) -> str:
        """What the problem is."""
        if self._is_dropped:
            return f"XA COMMIT … ONE PHASE of more than {XA_BYTES >> 20} MB of rows"
        return "a transaction that is shorter in this log than what was applied of it"

    def begin(self, gtid: Gtid | None, *, is_explicit: bool = False, is_xa: bool = False) -> None:
        """A transaction begins."""
        self._gtid, self.is_open, self.is_explicit, self.is_xa = gtid, True, is_explicit, is_xa

    def continues(self, gtid: Gtid | None) -> bool:
        """Whether a transaction that begins can be the one that was handed over in part."""
        return not self._skip or self._resumed in ("", gtid_text(gtid))

    def skip(self, before: int) -> None:
        """Leaves out of the rows from `before` on what was handed over already."""
        if self._skip:
            skipped = min(self._skip, len(self.rows) - before)
            del self.rows[before : before + skipped], self.operations[before : before + skipped]
            self._skip -= skipped

    def drop(self) -> None:
        """Forgets the rows of the open transaction that were not handed over."""
        del self.rows[self._committed :], self.operations[self._committed :]

    def abandon(self) -> None:
        """The open transaction never ends: what follows in the log starts another one."""
        self.drop()
        self._close()

    def commit(self, offset: int) -> None:
        """The open transaction has ended at this offset of the log."""
        rows = len(self.rows)
        self.state.commit(self._gtid, offset)
        if rows > self._committed:
            self._commits.append(Commit(rows, self._gtid, self.state.file, offset))
            self._committed = rows
        self._close()

    def _close(self) -> None:
        self._skip = self.emitted = 0
        self.is_open = self.is_explicit = self.is_xa = self._is_dropped = False
        self._gtid = None

    def take(
        self, definition: TableDefinition, incidents: tuple[Incident, ...], again: Again | None, *, whole: bool
    ) -> LogBatch | None:
        """What there is to hand over, None if nothing is new; see `BinlogDecoder.take`."""
        if not whole and self.is_xa:
            if self.size > XA_BYTES:
                self.drop()
                self.size, self._is_dropped = 0, True
            return None
        count = self._committed if whole else len(self.rows)
        rows, operations = self.rows[:count], bytes(self.operations[:count])
        commits = list(self._commits)
        if count > self._committed:
            self.emitted += count - self._committed
            commits.append(Commit(count, self._gtid, self.state.file, self.state.offset + 1))
        # Until a resumed transaction has begun, its id is the one of the position.
        position = self.state.position(self.emitted, gtid_text(self._gtid) if self.is_open else self._resumed)
        if not rows and position == self._handed and again is None and not incidents:
            return None
        batch = LogBatch(
            definition, rows, operations, position, tuple(commits), max(1, self.size),
            float(self.time) if rows else None, incidents, again,
        )  # fmt: skip
        del self.rows[:count], self.operations[:count]
        self._commits.clear()
        self._committed, self.size, self._handed = 0, 0, position
        return batch
