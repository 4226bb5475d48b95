"""Puts events of the log together to batches of one table's rows with exact positions. No I/O: bytes in, values out.

What only the server or a person can answer (what does the table look like after this statement?) is left in `question`;
nothing more is fed until it was answered with `adopt`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from connector_runner.protocols.batch import Incident, Row
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.mysql import events
from connector_runner.sources.mysql.ddl import Effect, effect_of
from connector_runner.sources.mysql.decoder import TableDecoder
from connector_runner.sources.mysql.events import Event
from connector_runner.sources.mysql.logbatch import Again, LogBatch, Question
from connector_runner.sources.mysql.position import Commit, Gtid, LogPosition, LogState
from connector_runner.sources.mysql.table import TableDefinition
from connector_runner.sources.mysql.tablemap import parse_table_map


class Assembler:
    """Follows one table through the log.

    Args:
        definition: The table at `position`.
        position: Where the stream of events starts.
        is_mariadb: The dialect.
        folds_case: lower_case_table_names is not 0.
        keeps_commits: Whether batches list their transactions.
    """

    def __init__(
        self, definition: TableDefinition, position: LogPosition, *, is_mariadb: bool, folds_case: bool = False, keeps_commits: bool = False
    ) -> None:  # fmt: skip
        self.definition = definition
        self.state = LogState(position, is_mariadb=is_mariadb)
        self.question: Question | None = None
        self.keeps_commits = keeps_commits
        self.size = 0
        self._folds_case = folds_case
        self._name = self._fold((definition.database, definition.name))
        self._skip = position.rows
        self._handed = LogPosition()
        self._rows: list[Row] = []
        self._operations = bytearray()
        self._commits: list[Commit] = []
        self._committed = 0  # rows of finished transactions
        self._emitted = 0  # rows of the open transaction that were handed over
        self._is_open = False
        self._gtid: Gtid | None = None
        self._is_explicit = False  # opened by BEGIN: ends with a commit, not with the next statement
        self._ends_at: int | None = None
        self._decoders: dict[int, TableDecoder | None] = {}
        self._maps: dict[bytes, TableDecoder | None] = {}
        self._checksum: int | None = None
        self._time = 0
        self._incidents: list[Incident] = []
        self._again: Again | None = None
        self._handlers: dict[int, Callable[[bytes, int, int], None]] = {
            Event.TABLE_MAP: self._table_map, Event.XID: self._xid, Event.QUERY: self._query, Event.ROTATE: self._rotate,
            Event.MARIA_QUERY_COMPRESSED: self._query_compressed, Event.FORMAT_DESCRIPTION: self._format, Event.GTID: self._gtid_event,
            Event.ANONYMOUS_GTID: self._anonymous, Event.GTID_TAGGED: self._tagged, Event.MARIA_GTID: self._maria_gtid,
            Event.HEARTBEAT: self._heartbeat, Event.XA_PREPARE: self._xa_prepare, Event.INCIDENT: self._incident,
            Event.TRANSACTION_PAYLOAD: self._payload,
        }  # fmt: skip

    # --- events

    def feed(self, buffer: bytes, start: int, end: int) -> None:
        """Takes in one event, buffer[start:end], its checksum included.

        Raises:
            TransientError: The event is damaged.
            ActionRequiredError: The log can't be followed.
        """
        if self._checksum is None:
            # The first event, a rotation, comes before the format description that tells; so it is tried.
            self._checksum = 4 if events.is_intact(buffer, start, end) else 0
        if self._checksum:
            if not events.is_intact(buffer, start, end):
                raise TransientError(f"an event near {self.state.file}:{self.state.offset} arrived damaged (CRC32)")
            end -= 4
        self._dispatch(buffer, start, end)

    def _dispatch(self, buffer: bytes, start: int, end: int) -> None:
        kind = buffer[start + 4]
        if kind in events.ROW_EVENTS:
            timestamp = int.from_bytes(buffer[start : start + 4], "little")
            self._row_event(kind, buffer, start + events.HEADER_SIZE, end, timestamp)
            return
        _, _, server, _, offset, flags = events.read_header(buffer, start)
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(buffer[start + events.HEADER_SIZE : end], server, offset)
        # A rotation's end position is one of the file before.
        if not self._is_open and offset and kind != Event.ROTATE and not flags & events.ARTIFICIAL:
            self.state.advance(offset)

    def _row_event(self, kind: int, buffer: bytes, at: int, end: int, timestamp: int) -> None:
        table = int.from_bytes(buffer[at : at + 6], "little")
        decoder = self._decoders.get(table)
        if decoder is None:
            return
        what, is_compressed, has_extra = events.ROW_EVENTS[kind]
        at += 8
        if has_extra:
            at += int.from_bytes(buffer[at : at + 2], "little")
        before = len(self._rows)
        self.size += decoder.decode(
            what, buffer[at:end], self._rows, self._operations,
            is_partial=kind == Event.PARTIAL_UPDATE_ROWS, is_compressed=is_compressed,
        )  # fmt: skip
        self._time = timestamp or self._time
        if self._skip:
            skipped = min(self._skip, len(self._rows) - before)
            del self._rows[before : before + skipped], self._operations[before : before + skipped]
            self._skip -= skipped
            self._emitted += skipped

    def _table_map(self, body: bytes, _server: int, _offset: int) -> None:
        number = int.from_bytes(body[:6], "little")
        rest = body[8:]
        if rest in self._maps:
            self._decoders[number] = self._maps[rest]
            return
        # Names come first and are cheap; other tables' maps are not read any further.
        size = rest[0]
        name_size = rest[size + 2]
        names = rest[1 : 1 + size].decode(), rest[size + 3 : size + 3 + name_size].decode()
        if len(self._maps) > 4096:
            self._maps.clear()
        if self._fold(names) != self._name:
            self._decoders[number] = self._maps[rest] = None
            return
        table_map = parse_table_map(rest)
        if not self.definition.matches(table_map):
            self._pending_map = (number, rest)
            self.question = Question(Effect.ALTERED, table_map=table_map)
            return
        self._decoders[number] = self._maps[rest] = TableDecoder(table_map, self.definition)

    def _fold(self, name: tuple[str, str]) -> tuple[str, str]:
        return (name[0].lower(), name[1].lower()) if self._folds_case else name

    # --- transactions

    def _begin(self, gtid: Gtid | None) -> None:
        self._gtid, self._is_open, self._is_explicit = gtid, True, False

    def _gtid_event(self, body: bytes, _server: int, _offset: int) -> None:
        raw, number = events.parse_gtid(body)
        source = self._sources.get(raw)
        if source is None:
            source = self._sources[raw] = str(uuid.UUID(bytes=raw))
        self._begin((source, number))

    _sources: dict[bytes, str] = {}  # noqa: RUF012 - a cache of texts that never change

    def _tagged(self, body: bytes, _server: int, _offset: int) -> None:
        raw, tag, number = events.parse_tagged_gtid(body)
        source = str(uuid.UUID(bytes=raw))
        self._begin((f"{source}:{tag}" if tag else source, number))

    def _anonymous(self, _body: bytes, _server: int, _offset: int) -> None:
        self._begin(None)

    def _maria_gtid(self, body: bytes, server: int, _offset: int) -> None:
        domain, number, flags = events.parse_maria_gtid(body)
        self._begin((domain, server, number))
        self._is_explicit = not flags & events.STANDALONE

    def _xid(self, _body: bytes, _server: int, offset: int) -> None:
        self._commit(offset)

    def _commit(self, offset: int) -> None:
        rows = len(self._rows)
        self.state.commit(self._gtid, offset)
        if self.keeps_commits:
            self._commits.append(Commit(rows, self._gtid, self.state.file, offset))
        self._committed, self._emitted, self._is_open, self._gtid = rows, 0, False, None
        self._is_explicit = False
        self._skip = 0

    def _roll_back(self, offset: int) -> None:
        if self._emitted:
            raise ActionRequiredError(
                f"{self.definition.id}: a transaction that was already handed over in part was rolled back in the log at "
                f"{self.state.file}:{offset}; copy the table again",
                reason="LogGap",
            )
        del self._rows[self._committed :], self._operations[self._committed :]
        self._commit(offset)

    def _xa_prepare(self, body: bytes, _server: int, offset: int) -> None:
        if body[0]:  # one phase: a plain commit
            self._commit(offset)
            return
        if len(self._rows) > self._committed or self._emitted:
            if self._emitted:
                self._roll_back(offset)
            sizes = int.from_bytes(body[5:9], "little"), int.from_bytes(body[9:13], "little")
            name = f"{body[13 : 13 + sizes[0]].hex()},{body[13 + sizes[0] : 13 + sum(sizes)].hex()}"
            self.state.prepared.append(name)
        self._roll_back(offset)

    # --- statements

    def _query_compressed(self, body: bytes, server: int, offset: int) -> None:
        self._statement(events.parse_query(body, is_compressed=True), offset)

    def _query(self, body: bytes, _server: int, offset: int) -> None:
        if body.endswith(b"\0BEGIN"):
            self._is_open = self._is_explicit = True
            return
        self._statement(events.parse_query(body), offset)

    def _statement(self, query: events.Query, offset: int) -> None:
        text = query.statement.lstrip()
        word = text[:9].upper()
        if word.startswith(("BEGIN", "XA START", "SAVEPOINT", "XA END", "RELEASE")):
            self._is_open = self._is_explicit = True
            return
        if word.startswith("COMMIT"):
            self._commit(offset)
            return
        if word.startswith("ROLLBACK"):
            if " TO " not in text.upper():
                self._roll_back(offset)
            elif len(self._rows) > self._committed:
                self.question = Question(Effect.STATEMENT, text[:200])
            return
        if word.startswith(("XA COMMIT", "XA ROLLBA")):
            self._finish_xa(text, offset)
            return
        effect = effect_of(
            text, query.database, (self.definition.database, self.definition.name), folds_case=self._folds_case
        )
        if effect is not Effect.NONE:
            # The position moves past the statement only together with its answer (`adopt`).
            self.question = Question(effect, text[:500])
            self._ends_at = None if self._is_explicit else offset
        elif not self._is_explicit:  # a definition change stands alone, changed rows lie between BEGIN and COMMIT
            self._commit(offset)

    def _finish_xa(self, text: str, offset: int) -> None:
        parts = text.split(None, 2)[2].replace("X'", "").replace("'", "").split(",") if text.count(" ") > 1 else []
        name = ",".join(parts[:2]).lower()
        if name in self.state.prepared:
            self.state.prepared.remove(name)
            if text[:9].upper() == "XA COMMIT":
                self.question = Question(Effect.STATEMENT, text[:200])
        self._commit(offset)

    # --- the rest

    def _rotate(self, body: bytes, _server: int, _offset: int) -> None:
        file, offset = events.parse_rotate(body)
        self.state.rotate(file, offset)

    def _format(self, body: bytes, _server: int, _offset: int) -> None:
        self._decoders.clear()

    def _heartbeat(self, body: bytes, _server: int, offset: int) -> None:
        if body.decode("utf-8", "replace").rstrip("\0") == self.state.file and not self._is_open:
            self.state.advance(offset)

    def _incident(self, _body: bytes, _server: int, _offset: int) -> None:
        self.question = Question(Effect.STATEMENT, "an incident event: the server lost part of its log")

    def _payload(self, body: bytes, _server: int, offset: int) -> None:
        self._inner = events.parse_payload(body)
        self._inner_at, self._inner_end = 0, offset

    @property
    def is_packed(self) -> bool:
        """Whether events of a compressed transaction wait for `unpack`."""
        return bool(self._inner)

    def unpack(self) -> bool:
        """Takes in the next event of a compressed transaction; False when there is none (any more)."""
        data, at = self._inner, self._inner_at
        if at >= len(data):
            self._inner = b""
            return False
        self._inner_at = at + int.from_bytes(data[at + 9 : at + 13], "little")
        if data[at + 4] == Event.XID:
            self._commit(self._inner_end)
        else:
            self._dispatch_inner(data, at, self._inner_at)
        return True

    def _dispatch_inner(self, data: bytes, start: int, end: int) -> None:
        timestamp, kind, server, _, _, _ = events.read_header(data, start)
        if kind in events.ROW_EVENTS:
            self._row_event(kind, data, start + events.HEADER_SIZE, end, timestamp)
        elif handler := self._handlers.get(kind):
            handler(data[start + events.HEADER_SIZE : end], server, self.state.offset)

    # --- answers and batches

    def adopt(
        self, definition: TableDefinition, *, again: Again | None = None, incident: Incident | None = None
    ) -> None:
        """Answers the question: what the table is from here on, and what the copy must do.

        Call `take` before, so that rows under the old definition are a batch of their own.
        """
        question, self.question = self.question, None
        self.definition = definition
        self._maps.clear()
        self._decoders.clear()
        self._again = again or self._again
        self.keeps_commits = self.keeps_commits or again in {Again.REFRESH, Again.RESTART}
        if incident is not None:
            self._incidents.append(incident)
        if question is not None and question.table_map is not None:
            number, raw = self._pending_map
            self._decoders[number] = self._maps[raw] = TableDecoder(question.table_map, definition)
        if self._ends_at is not None:
            self._commit(self._ends_at)
            self._ends_at = None

    def take(self, *, whole: bool = True) -> LogBatch | None:
        """What there is to hand over, None if nothing is new.

        Args:
            whole: Only finished transactions; else also the part of the open one that has arrived.
        """
        count = self._committed if whole else len(self._rows)
        rows = self._rows[:count]
        operations = bytes(self._operations[:count])
        inside = 0
        if not whole:
            self._emitted += len(self._rows) - self._committed
            inside = self._emitted if self._is_open else 0
        position = self.state.position(inside)
        if not rows and position == self._handed and self._again is None and not self._incidents:
            return None
        commits = list(self._commits)
        if not whole and count > self._committed:
            commits.append(Commit(count, self._gtid, self.state.file, self.state.offset + 1))
        batch = LogBatch(
            self.definition, rows, operations, position, tuple(commits), max(1, self.size),
            float(self._time) if rows else None, tuple(self._incidents), self._again,
        )  # fmt: skip
        del self._rows[:count], self._operations[:count]
        self._commits.clear()
        self._incidents.clear()
        self._again = None
        self._committed, self.size, self._handed = 0, 0, position
        return batch

    _pending_map: tuple[int, bytes] = (0, b"")
    _inner, _inner_at, _inner_end = b"", 0, 0
