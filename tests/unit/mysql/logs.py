"""Events of a log, made by hand: the bytes that a server would send for transactions on the table d.t (id INT, v INT)."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterable, Sequence

import pytest

from connector_runner.protocols.batch import Row
from connector_runner.sources.mysql.binlog.events import PREPARED_XA, STANDALONE, Event
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.log_reader.log_reader import LogReader
from connector_runner.sources.mysql.log_reader.prepared import file_before
from connector_runner.sources.mysql.log_reader.questions import FindPrepared
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.settings import Settings, parse_settings
from connector_runner.sources.mysql.types.columns import SourceColumn
from connector_runner.sources.mysql.types.table import TableDefinition

BOTH = pytest.mark.parametrize("is_mariadb", [False, True], ids=["mysql", "mariadb"])
SERVER = uuid.UUID(int=7)
TABLE = TableDefinition(
    "d", "t", (SourceColumn("id", "int", nullable=False), SourceColumn("v", "int", nullable=True)), ("id",)
)


class Log:
    """One file of a server's log, event by event; `at` is where the next one starts."""

    def __init__(self, *, is_mariadb: bool = False, file: str = "binlog.000001") -> None:
        self.is_mariadb, self.file, self.at = is_mariadb, file, 4
        self.events: list[bytes] = []

    def add(self, kind: int, body: bytes, *, flags: int = 0, server: int = 1) -> None:
        self.at += 19 + len(body)
        self.events.append(struct.pack("<IBIIIH", 1_700_000_000, kind, server, 19 + len(body), self.at, flags) + body)

    def begin(self, number: int, *, domain: int = 0, xa: bool = False, text: str = "BEGIN") -> None:
        if self.is_mariadb:
            flags = PREPARED_XA if xa else 0
            self.add(Event.MARIA_GTID, struct.pack("<QIB", number, domain, flags) + bytes(6))
            return
        self.mysql_gtid(number)
        self.query("XA START X'7831',X'',1" if xa else text)

    def mysql_gtid(self, number: int) -> None:
        self.add(Event.GTID, b"\1" + SERVER.bytes + number.to_bytes(8, "little") + bytes(17))

    def statement(self, number: int, text: str) -> None:
        """A statement that is a transaction of its own."""
        if self.is_mariadb:
            self.add(Event.MARIA_GTID, struct.pack("<QIB", number, 0, STANDALONE) + bytes(6))
        else:
            self.mysql_gtid(number)
        self.query(text)

    def query(self, text: str) -> None:
        self.add(Event.QUERY, struct.pack("<IIBHH", 1, 0, 1, 0, 0) + b"d\0" + text.encode())

    def load(self, text: str) -> None:
        head = struct.pack("<IIBHH", 1, 0, 1, 0, 0) + struct.pack("<IIIB", 1, 9, 30, 0)
        self.add(Event.BEGIN_LOAD_QUERY, struct.pack("<I", 1) + b"7\n8\n")
        self.add(Event.EXECUTE_LOAD_QUERY, head + b"d\0" + text.encode())

    def rows(self, rows: Iterable[tuple[int, int]], *, table: str = "t", present: int = 3) -> None:
        number = self._map(table)
        packed = b"".join(_image(row, present) for row in rows)
        self.add(Event.WRITE_ROWS, number + struct.pack("<HB", 2, 2) + bytes([0xFC | present]) + packed)

    def update(self, before: tuple[int, int], after: tuple[int, int], *, present: int = 3) -> None:
        """Of one row of the table; both images have the same columns."""
        images = _image(before, present) + _image(after, present)
        self.add(Event.UPDATE_ROWS, self._map("t") + struct.pack("<HB", 2, 2) + bytes([0xFC | present] * 2) + images)

    def _map(self, table: str) -> bytes:
        number = (7 if table == "t" else 8).to_bytes(6, "little") + b"\1\0"
        name = table.encode()
        self.add(Event.TABLE_MAP, number + b"\1d\0" + bytes([len(name)]) + name + b"\0" + bytes([2, 3, 3, 0, 2]))
        return number

    def map(self, table: str) -> bytes:
        """Names a table, as each statement does before its rows; returns how these begin."""
        name = table.encode()
        number = (7 if table == "t" else 8 + sum(name)).to_bytes(6, "little") + b"\1\0"
        self.add(Event.TABLE_MAP, number + b"\1d\0" + bytes([len(name)]) + name + b"\0" + bytes([2, 3, 3, 0, 2]))
        return number

    def commit(self) -> None:
        self.add(Event.XID, bytes(8))

    def prepare(self, xid: bytes = b"x1", *, one_phase: bool = False) -> None:
        self.query(f"XA END X'{xid.hex()}',X'',1")
        self.add(Event.XA_PREPARE, bytes([one_phase]) + struct.pack("<III", 1, len(xid), 0) + xid)

    def start_file(self, file: str) -> None:
        """As a server that was started anew does it."""
        self.file, self.at = file, 4
        self.add(Event.ROTATE, (4).to_bytes(8, "little") + file.encode(), flags=0x20)
        self.at = 4
        self.describe_format()

    def describe_format(self, *, created: int = 1_700_000_000, algorithm: int = 0) -> None:
        """What each file starts with; `created` is 0 unless the server was just started."""
        body = bytes(52) + created.to_bytes(4, "little") + bytes(40) + bytes([algorithm])
        self.add(Event.FORMAT_DESCRIPTION, body + bytes(4))
        raw = self.events[-1][:-4]
        self.events[-1] = raw + zlib.crc32(raw).to_bytes(4, "little")


def _image(row: tuple[int, int], present: int) -> bytes:
    return b"\xfc" + struct.pack("<i", row[0]) + (struct.pack("<i", row[1]) if present == 3 else b"")


def settings(**options: str) -> Settings:
    return parse_settings({"host": "h", "user": "u", **options}, "test/log")


def packet(event: bytes) -> bytes:
    """An event as the server sends it."""
    return (len(event) + 1).to_bytes(3, "little") + b"\0\0" + event


class Reader:
    """A reader of such a log: what it hands over, and where it would go on after a crash."""

    def __init__(
        self, position: LogPosition, *others: tuple[TableDefinition, LogPosition], is_mariadb: bool = False, has_gtids: bool = True,
        definition: TableDefinition = TABLE, isolates: bool = False, until: LogPosition | None = None, **options: str,
    ) -> None:  # fmt: skip
        server = Server(is_mariadb, {"gtid_mode": "ON" if has_gtids else "OFF"})
        self.log_reader = LogReader(
            settings(**options), server, definition, position, *others, isolates=isolates, until=until
        )
        self.position = position
        self.batches: list[LogBatch] = []
        self.past: list[list[bytes]] | None = (
            None  # the files of the log up to now, where prepared transactions are looked for
        )
        self.searches = 0

    def feed(self, events: Sequence[bytes], *, is_quiet: bool = True) -> Reader:
        """Takes events in; `is_quiet`: nothing more has arrived after the last."""
        for event in events:
            self.log_reader.receive_data(packet(event))
            self._take()
        if is_quiet:
            self.log_reader.receive_idle()
            self._take()
        return self

    def _take(self) -> None:
        while batches := self.log_reader.events_received():
            self.batches += batches
            self.position = batches[-1].position
        questions = self.log_reader.questions_to_ask()
        for question in questions:
            assert isinstance(question, FindPrepared), "there is no server to ask"
            self._find(question)
            self.log_reader.receive_answer(None)
        if questions:
            self._take()

    def _find(self, question: FindPrepared) -> None:
        search, files = question.search, [*(self.past or [])]
        self.searches += 1
        file: str | None = search.wanted.position.file
        while file and files and not search.is_found:
            search.begin_file(file)
            for event in files.pop():
                search.receive_data(packet(event))
            search.end_file()
            file = file_before(file)

    @property
    def rows(self) -> list[Row]:
        return [row for batch in self.batches for row in batch.rows]


def start(*, is_mariadb: bool) -> LogPosition:
    return LogPosition("binlog.000001", 4, "0-1-9" if is_mariadb else f"{SERVER}:1-9")


def resume(log: Log, position: LogPosition, gaps: str = "fail") -> Reader:
    return Reader(position, is_mariadb=log.is_mariadb, onLogGap=gaps)
