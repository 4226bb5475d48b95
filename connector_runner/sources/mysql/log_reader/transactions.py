"""Where transactions begin and end, and what interrupts the log when one ends otherwise than its rows say. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.position import Gtid, LogPosition, LogState
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.log_reader.log_batch import Interruption
from connector_runner.sources.mysql.log_reader.transaction_buffer import TransactionBuffer

Then = Callable[[], None]


class Transactions:
    """Follows the transactions of the log.

    Args:
        position: Where the stream of events starts, perhaps inside a transaction.
        state: Moves as transactions end.
        interrupt: Takes what has to be decided, and what happens after that.
    """

    def __init__(
        self, position: LogPosition, state: LogState, interrupt: Callable[[Interruption, Then | None], None]
    ) -> None:
        self._state, self._interrupt = state, interrupt
        self.buffer = TransactionBuffer(position, state)
        self.doubt: Interruption | None = None  # why the rows of the open transaction can't be trusted

    def begin(self, gtid: Gtid | None, *, is_explicit: bool = False, is_xa: bool = False) -> None:
        """A transaction begins."""
        buffer = self.buffer
        if not buffer.is_open and buffer.continues(gtid):
            buffer.begin(gtid, is_explicit=is_explicit, is_xa=is_xa)
            return

        def begin() -> None:
            self.doubt = None
            buffer.abandon()
            buffer.begin(gtid, is_explicit=is_explicit, is_xa=is_xa)

        if buffer.is_open:
            self.end_half(begin)
        else:
            text = "a transaction that was applied in part is not the one that comes next on this server"
            self._interrupt(Interruption(Effect.STATEMENT, text), begin)

    def end_half(self, then: Then) -> None:
        """A transaction without an end: MariaDB was killed while it wrote it. It never happened."""
        if self.buffer.emitted:
            text = (
                "a transaction that was applied in part has no end in the log: the server was killed while it wrote it"
            )
            self._interrupt(Interruption(Effect.STATEMENT, text), then)
        else:
            then()

    def commit(self, offset: int) -> None:
        """The end of a transaction, unless its rows are in doubt: then it is decided first what to do instead."""
        if self.doubt is None and not self.buffer.has_problem:
            self.buffer.commit(offset)
            return
        found, self.doubt = self.doubt or Interruption(Effect.STATEMENT, self.buffer.problem), None
        self.buffer.drop()
        self._interrupt(found, lambda: self.buffer.commit(offset))

    def roll_back(self, offset: int, then: Then | None = None) -> None:
        """A transaction ends without its rows."""

        def end() -> None:
            self.buffer.drop()
            self.buffer.commit(offset)
            if then is not None:
                then()

        if self.buffer.emitted or self.doubt is not None:
            found = self.doubt or Interruption(Effect.STATEMENT, "ROLLBACK of a transaction that was applied in part")
            self.doubt = None
            self._interrupt(found, end)
        else:
            end()

    def prepare(self, body: bytes, offset: int) -> None:
        """The event that prepares an XA transaction, or commits it in one phase."""
        if body[0]:  # one phase: a plain commit
            self.commit(offset)
            return
        xid = events.parse_xid(body)
        # Statements in it may have changed rows as well.
        has_rows = self.buffer.has_rows or self.doubt is not None
        self.doubt = None
        self.roll_back(offset, lambda: self._state.prepare(xid, has_rows=has_rows))

    def read(self, text: str, offset: int) -> bool:
        """Takes in a statement that begins or ends a transaction; False for all others."""
        word = text[:9].upper()
        if word.startswith(("BEGIN", "XA START", "SAVEPOINT", "XA END", "RELEASE")):
            self.buffer.is_open = self.buffer.is_explicit = True
            self.buffer.is_xa = self.buffer.is_xa or word.startswith("XA START")
        elif word.startswith("COMMIT"):
            self.commit(offset)
        elif word.startswith("ROLLBACK"):
            if " TO " not in text.upper():
                self.roll_back(offset)
            elif self.buffer.has_rows:
                self.doubt = Interruption(Effect.STATEMENT, text[:200])
        elif word.startswith(("XA COMMIT", "XA ROLLBA")):
            self._finish(text, offset)
        else:
            return False
        return True

    def _finish(self, text: str, offset: int) -> None:
        """XA COMMIT or XA ROLLBACK."""
        if "ONE PHASE" in text.upper():
            self.commit(offset)
            return
        xid = events.parse_xid_text(text)

        def finish() -> None:
            self._state.finish(xid)
            self.commit(offset)

        if text[:9].upper() != "XA COMMIT" or self._state.is_harmless(xid):
            finish()
        else:  # it has rows of the table, or was prepared before the log was followed and may have
            self._interrupt(Interruption(Effect.STATEMENT, text[:200]), finish)
