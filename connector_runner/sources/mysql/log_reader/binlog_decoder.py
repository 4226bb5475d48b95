"""Assembles events of the log into batches of rows, each of one table, with exact positions. No I/O: bytes in, values out.

What the events alone can't decide (what does the table look like after this statement?) is kept in `interruption`; nothing more is
fed until it is decided, with `adopt`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from connector_runner.protocols.batch import Incident
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.events import ARTIFICIAL, HEADER_SIZE, ROW_EVENTS, Event, read_header
from connector_runner.sources.mysql.binlog.position import Gtid, LogPosition, LogState, join_positions
from connector_runner.sources.mysql.binlog.query_event import Query
from connector_runner.sources.mysql.binlog.row_events import IncompleteRowsError
from connector_runner.sources.mysql.binlog.table_decoders import REMEMBERED, TableDecoders
from connector_runner.sources.mysql.ddl.alterations import UNKNOWN, read_alteration
from connector_runner.sources.mysql.ddl.effects import Effect
from connector_runner.sources.mysql.ddl.statements import Statements
from connector_runner.sources.mysql.log_reader.followed_table import FollowedTable
from connector_runner.sources.mysql.log_reader.log_batch import Again, Interruption, LogBatch
from connector_runner.sources.mysql.log_reader.transactions import Found, Transactions
from connector_runner.sources.mysql.types.names import TableName, fold_table
from connector_runner.sources.mysql.types.table import TableDefinition

_ROTATE, _PARTIAL = int(Event.ROTATE), int(Event.PARTIAL_UPDATE_ROWS)


class BinlogDecoder:
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
        starts = ((definition, position), *others)
        start = join_positions([each for _, each in starts])
        self.state = LogState(start, is_mariadb=is_mariadb, has_gtids=has_gtids)
        self.tables: dict[TableName, FollowedTable] = {}
        self.pending: deque[tuple[FollowedTable, Interruption]] = (
            deque()
        )  # what has to be decided before the next event
        self._transactions = Transactions(self.state, self.tables.values(), self._interrupt, start.transaction)
        self.buffer = self._transactions.buffer
        self.statements = Statements(
            (definition.database, definition.name), is_mariadb=is_mariadb, folds_case=folds_case, charsets=charsets
        )
        self._is_mariadb, self._folds_case, self._flags, self._isolates = is_mariadb, folds_case, 0, isolates
        self._then: Callable[[], None] | None = None  # what happens once all interruptions are decided
        self._decoders = TableDecoders[FollowedTable](
            self.tables, folds_case=folds_case, is_mariadb=is_mariadb, charsets=charsets or {}
        )
        for each in starts:
            self._follow(*each)
        handlers: dict[Event, Callable[[bytes, int, int], None]] = {
            Event.TABLE_MAP: self._table_map, Event.XID: self._xid, Event.QUERY: self._query, Event.ROTATE: self._rotate,
            Event.MARIA_QUERY_COMPRESSED: self._query_compressed, Event.FORMAT_DESCRIPTION: self._format, Event.GTID: self._gtid_event,
            Event.ANONYMOUS_GTID: self._anonymous, Event.GTID_TAGGED: self._tagged, Event.MARIA_GTID: self._maria_gtid,
            Event.HEARTBEAT: self._heartbeat, Event.XA_PREPARE: self._xa_prepare, Event.INCIDENT: self._incident,
            Event.EXECUTE_LOAD_QUERY: self._load,
        }  # fmt: skip
        self._handlers = {int(kind): handler for kind, handler in handlers.items()}

    def _follow(self, definition: TableDefinition, position: LogPosition) -> None:
        name = fold_table((definition.database, definition.name), folds_case=self._folds_case)
        self.statements.follow(name, position.shadows)
        table = FollowedTable(definition, position, name, partial(self.statements.shadows_of, name))
        self.tables[name] = table
        # For XA transactions that were prepared before the table was followed it is unknown whether they have rows of it.
        table.prepared = (
            *position.prepared,
            *(xid for xid in self.state.xids if xid not in (*position.prepared, *position.others)),
        )
        if table.skip:
            self.buffer.touch(table)

    @property
    def interruption(self) -> Interruption | None:
        """What must be decided before the next event, for the table `interrupted`."""
        return self.pending[0][1] if self.pending else None

    @property
    def interrupted(self) -> FollowedTable:
        """The table that the interruption concerns."""
        return self.pending[0][0]

    @property
    def definition(self) -> TableDefinition:
        """The definition of the first table."""
        return next(iter(self.tables.values())).definition

    @property
    def size(self) -> int:
        """The size in bytes of the rows that wait to be taken."""
        return self.buffer.size

    @property
    def waiting(self) -> int:
        """How many rows wait, including those of the open transaction."""
        return sum(len(table.rows) for table in self.tables.values())

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

    def _row_event(self, kind: int, buffer: bytes, start: int, end: int) -> None:
        at = start + HEADER_SIZE
        found = self._decoders.get(int.from_bytes(buffer[at : at + 6], "little"))
        if found is None:
            return
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
        if self._transactions.read(text, offset):
            return
        effects = self.statements.judge_each(query)
        self._note_shadows()
        if not effects:
            if not self.buffer.is_explicit:  # a definition change has no BEGIN; rows are between BEGIN and COMMIT
                self._transactions.commit(offset)
            return
        alteration = UNKNOWN
        if Effect.ALTERED in effects.values():
            alteration = read_alteration(text, sql_mode=query.sql_mode, is_mariadb=self._is_mariadb)
        found = [
            (self.tables[name], Interruption(effect, text[:500], alteration=alteration))
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
        what = Interruption(Effect.STATEMENT, "an incident event: the server lost part of its log")
        self._interrupt([(table, what) for table in self.tables.values()], lambda: self._transactions.commit(offset))

    # --- decisions and batches

    def _interrupt(self, found: Found, then: Callable[[], None] | None = None) -> None:
        self.pending.extend(found)
        self._then = then

    def _go_on(self) -> None:
        """Continues after a decision what was interrupted, once there is nothing more to decide."""
        self.pending.popleft()
        if not self.pending:
            then, self._then = self._then, None
            if then is not None:
                then()

    def adopt(
        self, definition: TableDefinition, *, again: Again | None = None, incident: Incident | None = None
    ) -> None:
        """Ends the interruption: sets the table's definition from here on, and what the copy must do.

        Call `take` before, so that rows under the old definition are a separate batch.
        """
        table = self.interrupted
        table.definition = definition
        table.again = again or table.again
        table.is_changed = True
        if incident is not None:
            table.incidents.append(incident)
        self._decoders.forget(table)
        self.buffer.await_take(table)
        self._go_on()

    def give_up(self, error: Exception) -> None:
        """Ends the interruption: its table can't be followed any further, the others continue."""
        self.park(self.interrupted, error)
        self._go_on()

    def park(self, table: FollowedTable, error: Exception) -> None:
        """Parks a table at a position where it can resume: its rows of the open transaction are not handed over."""
        self.buffer.leave(table, error)
        self._decoders.forget(table)
        self.statements.leave(table.name)
        del self.tables[table.name]

    def take(self, *, whole: bool = True) -> list[LogBatch]:
        """Takes what there is to hand over, a batch for each table that has something; all but the last have `has_more`.

        Args:
            whole: Whether to take only finished transactions; else also the part of the open one that has arrived.
        """
        return self.buffer.take(next(iter(self.tables.values()), None), whole=whole)
