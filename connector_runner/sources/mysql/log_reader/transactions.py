"""Where transactions begin and end, and what interrupts the log when one does not end as its rows suggest. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.position import Gtid, LogState
from connector_runner.sources.mysql.binlog.query_event import shown
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.log_reader.followed_table import FollowedTable
from connector_runner.sources.mysql.log_reader.log_batch import Interruption
from connector_runner.sources.mysql.log_reader.prepared import PreparedRows
from connector_runner.sources.mysql.log_reader.transaction_buffer import XA_BYTES, TransactionBuffer

Then = Callable[[], None]
Found = Sequence[tuple[FollowedTable, Interruption]]


class Transactions:
    """Follows the transactions of the log.

    Args:
        state: How far the log is applied.
        tables: All followed tables.
        interrupt: Receives what must be decided for which tables, and what to do after that.
        resumed: The id of the transaction that the start is inside of; "" where it is between two.
    """

    def __init__(
        self,
        state: LogState,
        tables: Iterable[FollowedTable],
        interrupt: Callable[[Found, Then | None], None],
        resumed: str,
    ) -> None:
        self._state, self._tables, self._interrupt = state, tables, interrupt
        self.buffer = TransactionBuffer(state, resumed)
        self.prepared = PreparedRows()
        self._replayed: deque[bytes] | None = None  # events of a prepared transaction that commits
        self._found: Sequence[bytes] | None = None
        self._after: Then = self.buffer.abandon  # once they are all handled

    def begin(self, gtid: Gtid | None, *, is_explicit: bool = False, is_xa: bool = False) -> None:
        """Begins a transaction."""
        self.prepared.begin()
        buffer = self.buffer
        if not buffer.is_open and not buffer.touched:
            buffer.begin(gtid, is_explicit=is_explicit, is_xa=is_xa)
            return

        def begin() -> None:
            buffer.abandon()
            buffer.begin(gtid, is_explicit=is_explicit, is_xa=is_xa)

        if buffer.is_open:
            self.end_half(begin)
        elif strangers := [table for table in buffer.touched if not table.continues(gtid)]:
            text = "a transaction that was applied in part is not the one that comes next on this server"
            self._interrupt([(table, Interruption(Effect.STATEMENT, text)) for table in strangers], begin)
        else:
            buffer.begin(gtid, is_explicit=is_explicit, is_xa=is_xa)

    def end_half(self, then: Then) -> None:
        """Ends a transaction without an end in the log: MariaDB was killed while it wrote it. It never took place."""
        if halves := self.buffer.was_handed_over:
            text = (
                "a transaction that was applied in part has no end in the log: the server was killed while it wrote it"
            )
            self._interrupt([(table, Interruption(Effect.STATEMENT, text)) for table in halves], then)
        else:
            then()

    def commit(self, offset: int) -> None:
        """Commits a transaction, unless rows of a table are in doubt: then it is first decided what to do instead."""
        buffer = self.buffer
        for table in buffer.touched:
            if table.doubt is not None or table.skip or table.is_dropped:
                break
        else:
            buffer.commit(offset)
            return
        found = []
        for table in [table for table in buffer.touched if table.has_problem]:
            found.append((table, table.doubt or Interruption(Effect.STATEMENT, _problem(table))))
            table.doubt = None
            table.drop()
        self._interrupt(found, lambda: buffer.commit(offset))

    def roll_back(self, offset: int, then: Then | None = None) -> None:
        """Ends a transaction without its rows."""

        def end() -> None:
            self.buffer.drop()
            self.buffer.commit(offset)
            if then is not None:
                then()

        text = "ROLLBACK of a transaction that was applied in part"
        found = [
            (table, table.doubt or Interruption(Effect.STATEMENT, text))
            for table in self.buffer.touched
            if table.emitted or table.doubt is not None
        ]
        for table, _ in found:
            table.doubt = None
        if found:
            self._interrupt(found, end)
        else:
            end()

    def prepare(self, body: bytes, offset: int) -> None:
        """Handles the event that prepares an XA transaction, or commits it in one phase."""
        if body[0]:  # one phase: a plain commit
            self.commit(offset)
            return
        xid = events.parse_xid(body)
        # Statements in it may have changed rows as well.
        changed = [table for table in self.buffer.touched if table.has_rows or table.doubt is not None]
        for table in changed:
            table.doubt = None

        def prepare() -> None:
            self._forget(xid)
            self.prepared.prepare(xid)
            self._state.prepare(xid, has_rows=bool(changed))
            for table in changed:
                self._set_prepared(table, (*table.prepared, xid))

        self.roll_back(offset, prepare)

    def read(self, text: str, offset: int) -> bool:
        """Handles a statement that begins or ends a transaction; False for all others."""
        word = text[:9].upper()
        if word.startswith(("BEGIN", "XA START", "SAVEPOINT", "XA END", "RELEASE")):
            self.buffer.is_open = self.buffer.is_explicit = True
            self.buffer.is_xa = self.buffer.is_xa or word.startswith("XA START")
        elif word.startswith("COMMIT"):
            self.commit(offset)
        elif word.startswith("ROLLBACK"):
            if " TO " not in text.upper():
                self.roll_back(offset)
            else:
                for table in self.buffer.touched:
                    if table.has_rows:
                        table.doubt = Interruption(Effect.STATEMENT, shown(text))
        elif word.startswith(("XA COMMIT", "XA ROLLBA")):
            self._finish(text, offset)
        else:
            return False
        return True

    def _finish(self, text: str, offset: int) -> None:
        """Handles XA COMMIT or XA ROLLBACK."""
        if "ONE PHASE" in text.upper():
            self.commit(offset)
            return
        xid = events.parse_xid_text(text)

        def finish() -> None:
            self._forget(xid)
            self._state.finish(xid)
            self.commit(offset)

        def replay() -> None:
            """Handles its rows now, if the log still has them; else each table has been decided."""
            found, self._found = self._found, None
            if found is None:
                finish()
                return
            self.buffer.begin_commit(xid)
            self._replayed, self._after = deque(found), finish

        concerned = []
        if text[:9].upper() == "XA COMMIT":
            # It has rows of the table, or may have them: it was prepared before the log was followed.
            is_known = xid in self._state.xids
            concerned = [table for table in self._tables if not is_known or xid in table.prepared]
        if not concerned:
            finish()
            return
        self._found = self.prepared.get(xid)
        if self._found is not None:
            replay()
        else:
            what = Interruption(Effect.COMMITTED, shown(text), xid=xid)
            self._interrupt([(table, what) for table in concerned], replay)

    def find(self, events: Sequence[bytes]) -> None:
        """Receives the events of the prepared transaction that the log is about to commit."""
        self._found = events

    @property
    def replays(self) -> bool:
        """Whether events of a prepared transaction wait for `next_replayed`."""
        return self._replayed is not None

    def next_replayed(self) -> bytes | None:
        """The next event of the prepared transaction that commits; None at its end, which is handled then."""
        if self._replayed:
            return self._replayed.popleft()
        self._replayed = None
        self._after()
        return None

    def _forget(self, xid: str) -> None:
        self.prepared.forget(xid)
        for table in self._tables:
            if xid in table.prepared:
                self._set_prepared(table, tuple(other for other in table.prepared if other != xid))

    def _set_prepared(self, table: FollowedTable, prepared: tuple[str, ...]) -> None:
        table.prepared, table.is_changed = prepared, True
        self.buffer.await_take(table)


def _problem(table: FollowedTable) -> str:
    """Why the rows of the open transaction are neither waiting nor handed over."""
    if table.is_dropped:
        return f"XA COMMIT … ONE PHASE of more than {XA_BYTES >> 20} MB of rows"
    return "a transaction that is shorter in this log than what was applied of it"
