"""Assembles events of the log into batches of rows, each of one table, with exact positions. No I/O: bytes in, values out.

What the events alone can't decide (what does the table look like after this statement?) is an interruption, see `followed_tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.events import ARTIFICIAL, HEADER_SIZE, ROW_EVENTS, Event, read_header
from connector_runner.sources.mysql.binlog.position import Gtid, LogPosition
from connector_runner.sources.mysql.binlog.query_event import Query
from connector_runner.sources.mysql.binlog.row_events import IncompleteRowsError
from connector_runner.sources.mysql.binlog.table_decoders import REMEMBERED
from connector_runner.sources.mysql.ddl.alterations import UNKNOWN, read_alteration
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.log_reader.followed_tables import FollowedTables
from connector_runner.sources.mysql.log_reader.log_batch import Interruption
from connector_runner.sources.mysql.log_reader.prepared import is_frame
from connector_runner.sources.mysql.types.table import TableDefinition

_ROTATE, _PARTIAL = int(Event.ROTATE), int(Event.PARTIAL_UPDATE_ROWS)


class BinlogDecoder(FollowedTables):
    """Follows one or more tables through the log; headers, ids and bounds of transactions are read once for all of them.

    Args:
        definition: The (first) table at `position`.
        position: Where the stream of events starts.
        others: Further tables, each with its position, at the same offset of the log.
        is_mariadb: Whether the dialect is MariaDB's.
        has_gtids: Whether the server's ids make up complete sets.
        folds_case: Whether lower_case_table_names is not 0.
        charsets: Names of character sets by the number of a collation.
        isolates: Whether a table that can't be followed any further is left out while the others continue.
    """

    def __init__(
        self, definition: TableDefinition, position: LogPosition, *others: tuple[TableDefinition, LogPosition], is_mariadb: bool,
        has_gtids: bool = True, folds_case: bool = False, charsets: Mapping[int, str] | None = None, isolates: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            [(definition, position), *others], is_mariadb=is_mariadb, has_gtids=has_gtids, folds_case=folds_case, charsets=charsets,
            isolates=isolates,
        )  # fmt: skip
        self._flags = 0
        self._event: tuple[bytes, int, int] = b"", 0, 0  # the one that is being handled
        handlers: dict[Event, Callable[[bytes, int, int], None]] = {
            Event.TABLE_MAP: self._table_map, Event.XID: self._xid, Event.QUERY: self._query, Event.ROTATE: self._rotate,
            Event.MARIA_QUERY_COMPRESSED: self._query_compressed, Event.FORMAT_DESCRIPTION: self._format, Event.GTID: self._gtid_event,
            Event.ANONYMOUS_GTID: self._anonymous, Event.GTID_TAGGED: self._tagged, Event.MARIA_GTID: self._maria_gtid,
            Event.HEARTBEAT: self._heartbeat, Event.XA_PREPARE: self._xa_prepare, Event.INCIDENT: self._incident,
            Event.EXECUTE_LOAD_QUERY: self._load,
        }  # fmt: skip
        self._handlers = {int(kind): handler for kind, handler in handlers.items()}

    # --- events

    def take_in(self, buffer: bytes, start: int, end: int, whole: int) -> None:
        """Receives an event, see `frames.Take`."""
        kind = buffer[start + 4]
        handler = self._handlers.get(kind)
        if handler is None and kind in ROW_EVENTS:
            self._row_event(kind, buffer, start, end)
            return
        _, _, server, _, offset, flags = read_header(buffer, start)
        offset, self._flags = whole or offset, flags
        if handler is not None:
            self._event = buffer, start, end
            handler(buffer[start + HEADER_SIZE : end], server, offset)
        elif not events.may_be_passed_over(kind, flags):
            raise ActionRequiredError(
                f"the log has an event of the unknown type {kind} at {offset}", reason="UnknownEvent"
            )
        # The position moves past an interrupting event only together with the decision. A rotation's end position belongs to the
        # previous file.
        is_quiet = not self.buffer.is_open and not self.pending
        if is_quiet and offset and kind != _ROTATE and not flags & ARTIFICIAL:
            self.state.advance(offset)

    def replay_next(self) -> None:
        """Handles the next event of the prepared transaction that commits."""
        event = self._transactions.next_replayed()
        if event is not None:
            self.take_in(event, 0, len(event), 0)

    def _keep(self) -> None:
        """Keeps the event that is being handled if its transaction may be prepared, and commit later."""
        if self.buffer.is_xa:
            buffer, start, end = self._event
            self._transactions.prepared.note(buffer[start:end])

    def _row_event(self, kind: int, buffer: bytes, start: int, end: int) -> None:
        at = start + HEADER_SIZE
        found = self._decoders.get(int.from_bytes(buffer[at : at + 6], "little"))
        if found is None:
            return
        if self.buffer.is_xa:
            self._transactions.prepared.note(buffer[start:end])
        decoder, table = found
        what, is_compressed, has_extra = ROW_EVENTS[kind]
        at += 8
        if has_extra:
            at += int.from_bytes(buffer[at : at + 2], "little")
        if not table.is_touched:
            self.buffer.touch(table)
        before = len(table.rows)
        try:
            size = decoder.decode(
                what, buffer[at:end], table.rows, table.operations,
                is_partial=kind == _PARTIAL, is_compressed=is_compressed,
            )  # fmt: skip
        except IncompleteRowsError as error:
            # After an updated row, inserts of the same statement are incomplete too; they must not hide the first effect.
            if error.is_lasting or table.doubt is None or table.doubt.effect is not Effect.GENERATED:
                effect = Effect.GENERATED if error.is_lasting else Effect.INCOMPLETE
                table.doubt = Interruption(effect, str(error))
            size = 0
        except Exception as error:
            if isinstance(error, ActionRequiredError):
                error.add(f" ({self.state.position().place})")
            if not self._isolates:
                raise
            self.park(table, error)
            return
        table.size += size
        self.buffer.size += size
        table.time = int.from_bytes(buffer[start : start + 4], "little") or table.time
        if table.skip:
            table.skip_rows(before)

    def _table_map(self, body: bytes, _server: int, _offset: int) -> None:
        found = self._decoders.note(body)
        if self.buffer.is_xa and (found or self._decoders.get(int.from_bytes(body[:6], "little"))):
            self._keep()
        if found is not None:
            table, table_map = found
            self._interrupt([(table, Interruption(Effect.ALTERED, table_map=table_map))], lambda: self._require(body))

    def _require(self, body: bytes) -> None:
        try:
            self._decoders.require(body)
        except ActionRequiredError as error:
            if not self._isolates:
                raise
            found = self._decoders.note(body)
            assert found is not None  # noqa: S101 - it was just refused
            self.park(found[0], error)

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
        if not is_frame(text):
            self._keep()
        if self._transactions.read(text, offset):
            return
        self.appeared += self.statements.new_tables(query)
        effects = self.statements.effects_of(query)
        self._note_shadows()
        if not effects:
            if not self.buffer.is_explicit:  # a definition change has no BEGIN; rows are between BEGIN and COMMIT
                self._transactions.commit(offset)
            return
        alteration = UNKNOWN
        if Effect.ALTERED in effects.values():
            alteration = read_alteration(text, sql_mode=query.sql_mode, is_mariadb=self._is_mariadb)
        found = [
            (self.tables[name], Interruption(effect, query.shown, alteration=alteration))
            for name, effect in effects.items()
        ]
        if not self.buffer.is_explicit:
            self._interrupt(found, lambda: self._transactions.commit(offset))
            return
        for table, each in found:
            if each.effect is Effect.STATEMENT:
                # Decided at the end of the transaction: a copy that is read earlier would not have the statement's changes.
                table.doubt = each
                if not table.is_touched:
                    self.buffer.touch(table)
        self._interrupt([each for each in found if each[1].effect is not Effect.STATEMENT])

    def _note_shadows(self) -> None:
        for name in self.statements.changed:
            if (table := self.tables.get(name)) is not None:
                table.is_changed = True
                self.buffer.await_take(table)
        self.statements.changed.clear()

    # --- the rest

    def _rotate(self, body: bytes, _server: int, _offset: int) -> None:
        file, offset = events.parse_rotate(body)
        self.state.rotate(file, offset)

    def _format(self, body: bytes, server: int, _offset: int) -> None:
        self._decoders.forget_numbers()
        if events.is_server_start(body):
            self.statements.forget(server)
            self._note_shadows()
        if self.buffer.is_open:  # a restarted server begins a new file
            self._transactions.end_half(self.buffer.abandon)

    def _heartbeat(self, body: bytes, _server: int, offset: int) -> None:
        if body.decode("utf-8", "replace").rstrip("\0") == self.state.file and not self.buffer.is_open:
            self.state.advance(offset)

    def _incident(self, _body: bytes, _server: int, offset: int) -> None:
        if offset <= self.state.offset:
            return  # MariaDB's have no GTID: readers get those of the file before their position again at each start
        what = Interruption(Effect.STATEMENT, "an incident event: the server lost part of its log")
        self._interrupt([(table, what) for table in self.tables.values()], lambda: self._transactions.commit(offset))
