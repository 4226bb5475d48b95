"""The rows of prepared XA transactions, which count only once these commit: kept from then on, or found again in the log. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from connector_runner.sources.mysql.binlog import events
from connector_runner.sources.mysql.binlog.events import ARTIFICIAL, HEADER_SIZE, ROW_EVENTS, Event, read_header
from connector_runner.sources.mysql.binlog.packets import EventStream
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.binlog.query_event import parse_query
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.types.names import TableName, fold_table

# Events of all prepared transactions together that are kept; those of others are read again from the log when they commit.
KEPT_BYTES = 16 << 20
# The most that is read again for one transaction: it is held in memory then.
FOUND_BYTES = 64 << 20
_BEGINS = frozenset({Event.GTID, Event.ANONYMOUS_GTID, Event.GTID_TAGGED, Event.MARIA_GTID})
_QUERIES = frozenset({Event.QUERY, Event.MARIA_QUERY_COMPRESSED, Event.EXECUTE_LOAD_QUERY})


class PreparedRows:
    """The events of transactions that are prepared, as far as they are about followed tables."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._kept: dict[str, list[bytes]] = {}
        self._size = 0  # of all, with the open one
        self._is_too_large = False

    def begin(self) -> None:
        """Begins a transaction."""
        self._size -= sum(map(len, self._open))
        self._open, self._is_too_large = [], False

    def note(self, event: bytes) -> None:
        """Keeps an event of the open transaction."""
        if self._size + len(event) > KEPT_BYTES:
            self._is_too_large = True
        if not self._is_too_large:
            self._open.append(event)
            self._size += len(event)

    def prepare(self, xid: str) -> None:
        """Keeps the open transaction under its id, if all of it was kept."""
        self.forget(xid)
        if not self._is_too_large:
            self._kept[xid], self._open = self._open, []
        self.begin()

    def get(self, xid: str) -> list[bytes] | None:
        """The events of a transaction; None if they were not kept."""
        return self._kept.get(xid)

    def forget(self, xid: str) -> None:
        """Forgets a transaction that has ended."""
        self._size -= sum(map(len, self._kept.pop(xid, [])))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A prepared transaction whose rows are looked for.

    Attributes:
        xid: Its id.
        position: In front of its end; it was prepared before.
        tables: The tables whose rows count, by their names as they are compared.
    """

    xid: str
    position: LogPosition
    tables: frozenset[TableName]


class PreparedSearch:
    """Reads one file of the log after another, from the last one back, until it has found where a transaction was prepared.

    Args:
        wanted: The transaction.
        server: The server's facts.

    Attributes:
        wanted: The same.
        events: Its events that are about the tables; None until it was found.
        is_too_large: Whether it was found, with more events than can be held.
        oldest: The oldest file that was read.
    """

    def __init__(self, wanted: Wanted, server: Server) -> None:
        self.wanted, self._server = wanted, server
        self.events: list[bytes] | None = None
        self.is_too_large = False
        self.oldest = ""
        self.begin_file(wanted.position.file)

    @property
    def is_found(self) -> bool:
        """Whether the transaction was found."""
        return self.events is not None or self.is_too_large

    @property
    def is_done(self) -> bool:
        """Whether the file was read as far as it matters."""
        return self._is_past or self._stream.has_ended

    def begin_file(self, file: str) -> None:
        """Begins to read a file from its start."""
        self._file, self._is_past = file, False
        self._stream = EventStream(self._look)
        self._begin()

    def end_file(self) -> None:
        """Ends it."""
        self.oldest = self._file

    def receive_data(self, data: bytes) -> None:
        """Receives bytes of the file as the server sends them."""
        self._stream.receive_data(data)

    def _begin(self) -> None:
        self._open: list[bytes] = []
        self._numbers: set[int] = set()
        self._size = 0

    def _look(self, buffer: bytes, start: int, end: int, whole: int) -> None:
        if self._is_past:
            return
        _, kind, server, _, offset, flags = read_header(buffer, start)
        body = start + HEADER_SIZE
        if kind == Event.ROTATE:
            self._is_past = events.parse_rotate(buffer[body:end])[0] != self._file
        elif flags & ARTIFICIAL or kind == Event.HEARTBEAT:
            return
        elif self._file == self.wanted.position.file and (whole or offset) > self.wanted.position.offset:
            self._is_past = True
        elif kind in _BEGINS:
            self._begin()
        elif kind == Event.TABLE_MAP:
            number, raw = int.from_bytes(buffer[body : body + 6], "little"), buffer[body + 8 : end]
            if _table(raw, folds_case=self._server.folds_case) in self.wanted.tables:
                self._numbers.add(number)
                self._note(buffer[start:end])
            else:
                self._numbers.discard(number)
        elif kind in ROW_EVENTS:
            if int.from_bytes(buffer[body : body + 6], "little") in self._numbers:
                self._note(buffer[start:end])
        elif kind in _QUERIES:
            query = parse_query(
                buffer[body:end], server, flags, self._server.charsets,
                is_compressed=kind == Event.MARIA_QUERY_COMPRESSED, is_load=kind == Event.EXECUTE_LOAD_QUERY,
            )  # fmt: skip
            if not is_frame(query.statement):
                self._note(buffer[start:end])
        elif kind == Event.XA_PREPARE and not buffer[body]:  # not one that also commits
            if events.parse_xid(buffer[body:end]) == self.wanted.xid:
                self.is_too_large = self._size > FOUND_BYTES
                self.events = None if self.is_too_large else self._open
            self._begin()

    def _note(self, event: bytes) -> None:
        self._size += len(event)
        if self._size <= FOUND_BYTES:
            self._open.append(event)
        else:
            self._open.clear()


def _table(raw: bytes, *, folds_case: bool) -> TableName:
    """The table that a map names."""
    size = raw[0]
    names = raw[1 : 1 + size].decode(), raw[size + 3 : size + 3 + raw[size + 2]].decode()
    return fold_table(names, folds_case=folds_case)


def file_before(file: str) -> str | None:
    """The name of the file that was written before this one; None for the first."""
    base, _, number = file.rpartition(".")
    if not number.isdigit() or int(number) <= 1:
        return None
    return f"{base}.{int(number) - 1:06d}"


def is_frame(statement: str) -> bool:
    """Whether a statement is a bound of a transaction rather than in it."""
    return statement == "BEGIN" or statement.startswith("XA ")
