"""The transaction that is open in the log, and the tables that have something to hand over. No I/O."""

from __future__ import annotations

from dataclasses import replace

from connector_runner.sources.mysql.binlog.position import Gtid, LogPosition, LogState, gtid_text
from connector_runner.sources.mysql.log_reader.followed_table import FollowedTable
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch

# An XA transaction is not handed over before its end; of one with more bytes than this only the fact that it has rows is kept.
XA_BYTES = 16 << 20


class TransactionBuffer:
    """Tracks how far the log is applied, and which tables the open transaction touches; its cost does not grow with more tables.

    Args:
        state: The applied position; it advances as transactions end.
        resumed: The id of the transaction that the start is inside of; "" where it is between two.
    """

    def __init__(self, state: LogState, resumed: str) -> None:
        self.state, self._resumed = state, resumed
        self.size = 0  # of all waiting rows, in bytes
        self.is_open = False
        self.is_explicit = False  # opened by BEGIN: ends with a commit, not with the next statement
        self.is_xa = False
        self.xid = ""  # of a transaction that was prepared before and commits now
        self.touched: list[FollowedTable] = []  # by the open transaction
        self._waiting: list[FollowedTable] = []
        self._gtid: Gtid | None = None
        self._handed: LogPosition | None = None

    def touch(self, table: FollowedTable) -> None:
        """Records that the open transaction touches a table that it has not touched before."""
        table.is_touched = True
        self.touched.append(table)
        if not table.is_waiting:
            self.await_take(table)

    def await_take(self, table: FollowedTable) -> None:
        """Records that the table has something to hand over."""
        if not table.is_waiting:
            table.is_waiting = True
            self._waiting.append(table)

    @property
    def tables_waiting(self) -> int:
        """How many tables have, or may have, something to hand over."""
        return len(self._waiting)

    def leave(self, table: FollowedTable, error: Exception) -> None:
        """Stops following a table, see `FollowedTable.leave`."""
        table.leave(error, self.state.position(), self._transaction)
        if table in self.touched:
            self.touched.remove(table)
        self.await_take(table)

    @property
    def _transaction(self) -> str | None:
        """The id of the open transaction, None without one."""
        return gtid_text(self._gtid) if self.is_open else None

    @property
    def was_handed_over(self) -> list[FollowedTable]:
        """The tables whose rows of the open transaction were partly handed over."""
        return [table for table in self.touched if table.emitted]

    def begin(self, gtid: Gtid | None, *, is_explicit: bool = False, is_xa: bool = False) -> None:
        """Begins a transaction."""
        self._gtid, self.is_open, self.is_explicit, self.is_xa = gtid, True, is_explicit, is_xa

    def begin_commit(self, xid: str) -> None:
        """The open transaction is the end of a prepared one: its rows follow now, and count."""
        self.is_open, self.is_explicit, self.is_xa, self.xid = True, True, False, xid

    def _end(self) -> None:
        self.touched.clear()
        self.is_open = self.is_explicit = self.is_xa = False
        self._gtid, self.xid = None, ""

    def drop(self) -> None:
        """Forgets the rows of the open transaction that were not handed over."""
        for table in self.touched:
            table.drop()

    def abandon(self) -> None:
        """Drops the open transaction: it has no end, and what follows in the log starts another one."""
        for table in self.touched:
            table.drop()
            table.doubt = None
            table.close()
        self._end()

    def commit(self, offset: int) -> None:
        """Commits the open transaction, which ended at this offset of the log."""
        state, gtid = self.state, self._gtid
        state.commit(gtid, offset)
        for table in self.touched:
            table.commit(gtid, state.file, offset, self.xid)
        self._end()

    # --- handing over

    def take(self, first: FollowedTable | None, *, whole: bool) -> list[LogBatch]:
        """Takes what there is to hand over, see `BinlogDecoder.take`.

        Args:
            first: The table with which a new position is handed over when there are no rows.
            whole: Whether to take only finished transactions.
        """
        if not whole and self.is_xa:
            if self.size > XA_BYTES:
                self._forget_rows()
            return []
        log = self.state.position()
        waiting = [table for table in self._waiting if table.has_something or (not whole and table.rows)]
        if not waiting:
            if first is None or log == self._handed or not first.has_news(log, self._transaction):
                return []
            waiting = [first]
        taken = [table.take(log, self._gtid, self._transaction, whole=whole, xid=self.xid) for table in waiting]
        inside = sum(table.emitted for table in self.touched)
        shared = replace(log, rows=inside, transaction=self._transaction or self._resumed) if inside else log
        for batch in taken:
            batch.log, batch.has_more = shared, batch is not taken[-1]
        for table in self._waiting:
            table.is_waiting = bool(table.rows) or table.is_touched
        self._waiting = [table for table in self._waiting if table.is_waiting]
        self.size = sum(table.size for table in self._waiting)
        self._handed = log
        return taken

    def _forget_rows(self) -> None:
        self.drop()
        for table in self.touched:
            table.is_dropped = True
        self.size = 0
