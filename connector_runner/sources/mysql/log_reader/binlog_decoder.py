"""Puts events of the log together to batches of one table's rows with exact positions. No I/O: bytes in, values out.

What can't be decided by the events alone (what does the table look like after this statement?) is left in `interruption`;
nothing more is fed until it was decided, with `adopt`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.events import ARTIFICIAL, HEADER_SIZE, ROW_EVENTS, Event, read_header
from connector_runner.sources.mysql.binlog.position import Gtid, LogPosition, LogState
from connector_runner.sources.mysql.binlog.query_event import Query
from connector_runner.sources.mysql.binlog.row_events import IncompleteRowsError
from connector_runner.sources.mysql.binlog.table_decoders import REMEMBERED, TableDecoders
from connector_runner.sources.mysql.ddl.alterations import UNKNOWN, read_alteration
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.ddl.statements import Statements
from connector_runner.sources.mysql.log_reader.log_batch import Again, Interruption, LogBatch
from connector_runner.sources.mysql.log_reader.transactions import Transactions
from connector_runner.sources.mysql.types.table import TableDefinition

_ROTATE, _PARTIAL = int(Event.ROTATE), int(Event.PARTIAL_UPDATE_ROWS)


class BinlogDecoder:
    """Follows one table through the log.

    Args:
        definition: The table at `position`.
        position: Where the stream of events starts.
        is_mariadb: The dialect.
        has_gtids: Whether the server's ids make up whole sets.
        folds_case: lower_case_table_names is not 0.
        charsets: Names of character sets by the number of a collation.
    """

    def __init__(
        self, definition: TableDefinition, position: LogPosition, *, is_mariadb: bool, has_gtids: bool = True,
        folds_case: bool = False, charsets: Mapping[int, str] | None = None,
    ) -> None:  # fmt: skip
        self.definition = definition
        self.state = LogState(position, is_mariadb=is_mariadb, has_gtids=has_gtids)
        self.interruption: Interruption | None = None
        self._transactions = Transactions(position, self.state, self._interrupt)
        self.buffer = self._transactions.buffer
        self.statements = Statements(
            (definition.database, definition.name), is_mariadb=is_mariadb, folds_case=folds_case, charsets=charsets, shadows=position.shadows,
        )  # fmt: skip
        self._is_mariadb, self._flags = is_mariadb, 0
        self._then: Callable[[], None] | None = None  # what happens once the interruption is decided
        self._decoders = TableDecoders(
            definition, folds_case=folds_case, is_mariadb=is_mariadb, charsets=charsets or {}
        )
        self._incidents: list[Incident] = []
        self._again: Again | None = None
        handlers: dict[Event, Callable[[bytes, int, int], None]] = {
            Event.TABLE_MAP: self._table_map, Event.XID: self._xid, Event.QUERY: self._query, Event.ROTATE: self._rotate,
            Event.MARIA_QUERY_COMPRESSED: self._query_compressed, Event.FORMAT_DESCRIPTION: self._format, Event.GTID: self._gtid_event,
            Event.ANONYMOUS_GTID: self._anonymous, Event.GTID_TAGGED: self._tagged, Event.MARIA_GTID: self._maria_gtid,
            Event.HEARTBEAT: self._heartbeat, Event.XA_PREPARE: self._xa_prepare, Event.INCIDENT: self._incident,
            Event.EXECUTE_LOAD_QUERY: self._load,
        }  # fmt: skip
        self._handlers = {int(kind): handler for kind, handler in handlers.items()}

    @property
    def size(self) -> int:
        """Bytes of rows that wait to be taken."""
        return self.buffer.size

    @property
    def waiting(self) -> int:
        """How many rows wait, those of the open transaction included."""
        return len(self.buffer.rows)

    # --- events

    def take_in(self, buffer: bytes, start: int, end: int, whole: int) -> None:
        """Takes in an event, see `frames.Take`."""
        kind = buffer[start + 4]
        handler = self._handlers.get(kind)
        if handler is None and kind in ROW_EVENTS:
            self._row_event(kind, buffer, start, end)
            return
        _, _, server, _, offset, flags = read_header(buffer, start)
        offset, self._flags = whole or offset, flags
        if handler is not None:
            handler(buffer[start + HEADER_SIZE : end], server, offset)
        elif not events.may_be_passed_over(kind, flags):
            raise ActionRequiredError(
                f"the log has an event of the unknown type {kind} at {offset}", reason="UnknownEvent"
            )
        # The position moves past an event that interrupts only together with what was decided. A rotation's end position is
        # one of the file before.
        is_quiet = not self.buffer.is_open and self.interruption is None
        if is_quiet and offset and kind != _ROTATE and not flags & ARTIFICIAL:
            self.state.advance(offset)

    def _row_event(self, kind: int, buffer: bytes, start: int, end: int) -> None:
        at = start + HEADER_SIZE
        decoder = self._decoders.get(int.from_bytes(buffer[at : at + 6], "little"))
        if decoder is None:
            return
        what, is_compressed, has_extra = ROW_EVENTS[kind]
        at += 8
        if has_extra:
            at += int.from_bytes(buffer[at : at + 2], "little")
        rows = self.buffer
        before = len(rows.rows)
        try:
            rows.size += decoder.decode(
                what, buffer[at:end], rows.rows, rows.operations,
                is_partial=kind == _PARTIAL, is_compressed=is_compressed,
            )  # fmt: skip
        except IncompleteRowsError as error:
            effect = Effect.GENERATED if error.is_lasting else Effect.INCOMPLETE
            self._transactions.doubt = Interruption(effect, str(error))
        rows.time = int.from_bytes(buffer[start : start + 4], "little") or rows.time
        rows.skip(before)

    def _table_map(self, body: bytes, _server: int, _offset: int) -> None:
        table_map = self._decoders.note(body, self.definition)
        if table_map is not None:
            found = Interruption(Effect.ALTERED, table_map=table_map)
            self._interrupt(found, lambda: self._decoders.require(body, self.definition))

    # --- transactions

    def _gtid_event(self, body: bytes, _server: int, _offset: int) -> None:
        source, number = events.parse_gtid(body)
        self._begin((source, number))

    def _tagged(self, body: bytes, _server: int, _offset: int) -> None:
        source, tag, number = events.parse_tagged_gtid(body)
        self._begin((f"{source}:{tag}" if tag else source, number))

    def _anonymous(self, _body: bytes, _server: int, _offset: int) -> None:
        self._begin(None)

    def _maria_gtid(self, body: bytes, server: int, _offset: int) -> None:
        domain, number, flags = events.parse_maria_gtid(body)
        is_explicit, is_xa = not flags & events.STANDALONE, bool(flags & events.PREPARED_XA)
        self.statements.begin(events.parse_alter_phase(body))
        self._begin((domain, server, number), is_explicit=is_explicit, is_xa=is_xa)

    def _begin(self, gtid: Gtid | None, *, is_explicit: bool = False, is_xa: bool = False) -> None:
        self._decoders.forget_numbers(above=REMEMBERED)
        self._transactions.begin(gtid, is_explicit=is_explicit, is_xa=is_xa)

    def _xid(self, _body: bytes, _server: int, offset: int) -> None:
        self._transactions.commit(offset)

    def _xa_prepare(self, body: bytes, _server: int, offset: int) -> None:
        self._transactions.prepare(body, offset)

    # --- statements

    def _query_compressed(self, body: bytes, server: int, offset: int) -> None:
        self._statement(self.statements.read(body, server, self._flags, is_compressed=True), offset)

    def _load(self, body: bytes, server: int, offset: int) -> None:
        self._statement(self.statements.read(body, server, self._flags, is_load=True), offset)

    def _query(self, body: bytes, server: int, offset: int) -> None:
        if body.endswith(b"\0BEGIN"):
            self.buffer.is_open = self.buffer.is_explicit = True
            return
        self._statement(self.statements.read(body, server, self._flags), offset)

    def _statement(self, query: Query, offset: int) -> None:
        text = query.statement.lstrip()
        if self._transactions.read(text, offset):
            return
        effect = self.statements.judge(query)
        self.state.shadows = self.statements.shadows
        alteration = UNKNOWN
        if effect is Effect.ALTERED:
            alteration = read_alteration(text, sql_mode=query.sql_mode, is_mariadb=self._is_mariadb)
        found = Interruption(effect, text[:500], alteration=alteration)
        if effect is Effect.NONE:
            if not self.buffer.is_explicit:  # a definition change stands alone, rows lie between BEGIN and COMMIT
                self._transactions.commit(offset)
        elif not self.buffer.is_explicit:
            self._interrupt(found, lambda: self._transactions.commit(offset))
        elif effect is Effect.STATEMENT:
            # Decided at the end of the transaction: a copy that is read before would not show what the statement changes.
            self._transactions.doubt = found
        else:
            self._interrupt(found)

    # --- the rest

    def _rotate(self, body: bytes, _server: int, _offset: int) -> None:
        file, offset = events.parse_rotate(body)
        self.state.rotate(file, offset)

    def _format(self, body: bytes, server: int, _offset: int) -> None:
        self._decoders.forget_numbers()
        if events.is_server_start(body):
            self.statements.forget(server)
            self.state.shadows = self.statements.shadows
        if self.buffer.is_open:  # a server that starts begins another file
            self._transactions.end_half(self.buffer.abandon)

    def _heartbeat(self, body: bytes, _server: int, offset: int) -> None:
        if body.decode("utf-8", "replace").rstrip("\0") == self.state.file and not self.buffer.is_open:
            self.state.advance(offset)

    def _incident(self, _body: bytes, _server: int, offset: int) -> None:
        what = Interruption(Effect.STATEMENT, "an incident event: the server lost part of its log")
        self._interrupt(what, lambda: self._transactions.commit(offset))

    # --- decisions and batches

    def _interrupt(self, found: Interruption, then: Callable[[], None] | None = None) -> None:
        self.interruption, self._then = found, then

    def adopt(
        self, definition: TableDefinition, *, again: Again | None = None, incident: Incident | None = None
    ) -> None:
        """Ends the interruption: what the table is from here on, and what the copy must do.

        Call `take` before, so that rows under the old definition are a batch of their own.
        """
        then, self.interruption, self._then = self._then, None, None
        self.definition = definition
        self._decoders.clear()
        self._again = again or self._again
        if incident is not None:
            self._incidents.append(incident)
        if then is not None:
            then()

    def take(self, *, whole: bool = True) -> LogBatch | None:
        """What there is to hand over, None if nothing is new.

        Args:
            whole: Only finished transactions; else also the part of the open one that has arrived.
        """
        batch = self.buffer.take(self.definition, tuple(self._incidents), self._again, whole=whole)
        if batch is not None:
            self._incidents.clear()
            self._again = None
        return batch
