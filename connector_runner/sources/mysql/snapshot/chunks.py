"""Reads a table in chunks by its key, over the binary protocol, with what is known of each chunk's position in the log."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping, Sequence

import pymysql

from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import TransientError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.decode.fields import is_read_as_number
from connector_runner.sources.mysql.decode.row_compiler import ResultRows
from connector_runner.sources.mysql.decode.undecodable import DecodingFailedError
from connector_runner.sources.mysql.errors import REFUSED
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.server.client_errors import translate
from connector_runner.sources.mysql.server.connection import Connection, connect
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import (
    read_executed,
    read_position,
    read_prepared,
    read_snapshot_position,
)
from connector_runner.sources.mysql.settings import Settings
from connector_runner.sources.mysql.snapshot.chunk import Chunk, build_select, key_literals, result_fields
from connector_runner.sources.mysql.snapshot.watermark import Bounds, ExactBounds, ExecutedBounds, HeldBounds
from connector_runner.sources.mysql.types.charsets import is_same_charset
from connector_runner.sources.mysql.types.table import TableDefinition

_PREPARE, _EXECUTE, _CLOSE = 0x16, 0x17, 0x19
# The size that a chunk should have, whatever its rows; one with giant rows is cut off at the limit.
CHUNK_BYTES = 4 << 20
CHUNK_LIMIT_BYTES = 16 << 20
FIRST_ROWS = 2000
# Readers see a transaction a moment after it is in the log; if it takes longer than this, something is wrong.
VISIBLE_SECONDS = 30.0
# Errors that show that the definition is not (or no longer) the table's: the log has the statement that changed it.
_CHANGED = {1049, 1054, 1412, 1146, 1051, 1176}


class DefinitionChangedError(TransientError):
    """The table has another definition now than at the applied position."""

    reason = "DefinitionChanged"


class ChunkReader:
    """Reads chunk after chunk on one connection; blocking, used by one thread at a time."""

    def __init__(self, settings: Settings, server: Server) -> None:
        self._settings, self._server = settings, server
        self._connection: Connection | None = None
        self._rows: tuple[TableDefinition, ResultRows] | None = None
        self._limit = min(FIRST_ROWS, settings.chunk_rows)
        self._unseen: set[str] = set()  # ids of XA transactions that have committed, and may not be seen by readers yet

    def note(self, batch: LogBatch) -> None:
        """Notes what the log has brought: MariaDB shows the rows of XA transactions a moment later, even in consistent snapshots."""
        if self._server.is_mariadb:
            self._unseen.update(commit.xid for commit in batch.commits if commit.xid)

    def _are_seen(self, connection: Connection) -> bool:
        """Whether readers see all XA transactions that the log has brought: until then they are still listed as prepared."""
        if unseen := [*self._unseen]:
            prepared = read_prepared(connection)
            self._unseen.difference_update(xid for xid in unseen if xid not in prepared)
        return not self._unseen

    def read(self, definition: TableDefinition, last: Sequence[str] | None, applied: LogPosition) -> Chunk:
        """The next chunk after the key `last`.

        Raises:
            DefinitionChangedError: More of the log must be read first.
            ConnectorError: The server can't be read.
        """
        try:
            connection = self._connection or self._connect()
            bounds, target = self._open(connection, applied)
            statement = build_select(definition, last, self._limit, locks=isinstance(bounds, HeldBounds))
            limit = self._limit
            rows, size, is_whole = self.select(connection, definition, statement)
            if is_whole and not isinstance(bounds, HeldBounds):
                connection.query("COMMIT")
            if isinstance(bounds, HeldBounds) and is_whole:
                target = read_position(connection, self._server)
        except Exception as error:
            self.close()
            if isinstance(error, pymysql.MySQLError) and error.args and error.args[0] in _CHANGED:
                raise DefinitionChangedError(f"{definition.id} was changed: {error.args[-1]}") from None
            failure = translate(error, f"copying {definition.id}")
            # Perhaps the definition has changed: a key is compared by the character set and type that its column had.
            if isinstance(failure, DecodingFailedError) or failure.reason == REFUSED:
                raise DefinitionChangedError(failure.message, reason=failure.reason) from error
            raise failure from error
        except BaseException:
            self.close()
            raise
        self._adapt(len(rows), size)
        is_end = is_whole and len(rows) < limit
        return Chunk(
            definition, rows, bounds, key_literals(definition, rows[-1]) if rows else None, is_end, target, max(1, size)
        )

    def _connect(self) -> Connection:
        self._connection = connect(self._settings, purpose="copy", read_seconds=600)
        level = "REPEATABLE READ" if self._server.has_gtids else "READ COMMITTED"
        self._connection.query(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
        self._connection.query("SET SESSION innodb_lock_wait_timeout = 10")
        return self._connection

    def _open(self, connection: Connection, applied: LogPosition) -> tuple[Bounds, LogPosition | None]:
        """Opens a snapshot that contains everything that was applied."""
        if not self._server.has_gtids:
            return HeldBounds(), None
        deadline = time.monotonic() + VISIBLE_SECONDS
        while True:
            if self._server.is_mariadb and not self._are_seen(connection):
                pass
            elif self._server.is_mariadb:
                exact = ExactBounds(read_snapshot_position(connection))
                if exact.shows(applied):
                    return exact, None
            else:
                before = read_executed(connection)
                connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                executed = ExecutedBounds(before, read_executed(connection))
                if executed.shows(applied):
                    return executed, None
            connection.query("ROLLBACK")
            if time.monotonic() > deadline:
                raise TransientError(
                    f"the server shows less than its log has brought, for {VISIBLE_SECONDS:.0f} s: {applied.gtids or applied.file}"
                )
            time.sleep(0.002)

    def select(
        self, connection: Connection, definition: TableDefinition, statement: str
    ) -> tuple[list[Row], int, bool]:
        """Runs a statement: (rows, bytes, whether all rows were read)."""
        rows: list[Row] = []
        size = 0
        for some, arrived in self.stream(connection, definition, statement):
            rows += some
            size += arrived
            if size > CHUNK_LIMIT_BYTES and rows:
                self.close()  # the server is still sending the rest; a new connection is cheaper than reading it
                return rows, size, False
        return rows, size, True

    def stream(
        self, connection: Connection, definition: TableDefinition, statement: str
    ) -> Iterator[tuple[list[Row], int]]:
        """Runs a statement as a prepared one, to get binary rows: (rows, bytes) as they arrive."""
        if self._rows is None or self._rows[0] != definition:
            self._rows = definition, ResultRows(result_fields(definition))
        number = _prepare(connection, statement)
        connection.send_command(_EXECUTE, struct.pack("<IBI", number, 0, 1))
        _check_columns(connection, definition, self._server.charsets)
        yield from read_rows(connection, self._rows[1])
        connection.send_command(_CLOSE, struct.pack("<I", number))

    def plain(self) -> Connection:
        """The connection, for reads without a position in the log."""
        return self._connection or self._connect()

    def _adapt(self, rows: int, size: int) -> None:
        if rows:
            fitting = CHUNK_BYTES * rows // max(1, size)
            self._limit = max(1, min(self._settings.chunk_rows, fitting, self._limit * 4))

    def abort(self) -> None:
        """Ends a read in another thread at once."""
        if self._connection is not None:
            self._connection.abort()

    def close(self) -> None:
        """Drops the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.discard()


def _prepare(connection: Connection, statement: str) -> int:
    connection.send_command(_PREPARE, statement.encode("utf-8", "surrogateescape"))
    answer = connection.read_packet()
    number, columns, parameters = struct.unpack_from("<IHH", answer, 1)
    for count in (parameters, columns):
        if count:
            for _ in range(count + 1):  # one more for the end marker
                connection.read_packet()
    return int(number)


# Result types of the protocol by SQL type, where values are not length-encoded text: a mismatch would shift all later values.
_RESULT_TYPES = {
    "tinyint": {1}, "smallint": {2}, "mediumint": {9}, "int": {3}, "bigint": {8}, "float": {4}, "double": {5}, "year": {13},
    "date": {10, 14}, "time": {11}, "datetime": {12}, "timestamp": {7},
}  # fmt: skip
_FIXED_TYPES = frozenset().union(*_RESULT_TYPES.values())


_TEXTS = frozenset({
    "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "enum", "set",
})  # fmt: skip
_INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_UNSIGNED = 32


def _check_columns(connection: Connection, definition: TableDefinition, charsets: Mapping[int, str]) -> None:
    """Reads the head of the result and compares its types, signs and character sets with the definition."""
    count = connection.read_packet()[0]
    found = []
    count = len(definition.columns) if count >= 0xFB else count
    for _ in range(count):
        data = connection.read_packet()
        found.append(
            struct.unpack("<HIBH", data[-12:-3])
        )  # collation, length, type, flags; decimals and filler (2) follow
    connection.read_packet()
    for column, (collation, _, kind, flags) in zip(definition.columns, found, strict=True):
        base = column.type.base
        wanted = _RESULT_TYPES.get(base)
        differs = kind not in wanted if wanted is not None else kind in _FIXED_TYPES
        if base in _INTEGERS:
            differs = differs or bool(flags & _UNSIGNED) != column.type.is_unsigned
        elif base in _TEXTS and not is_read_as_number(column, in_key=column.name in definition.key):
            charset = charsets.get(collation, "")
            differs = differs or (bool(charset) and not is_same_charset(charset, column.charset))
        if differs:
            raise DefinitionChangedError(f"{definition.id}: column {column.name} is no longer {column.sql_type}")


def read_rows(connection: Connection, decoder: ResultRows) -> Iterator[tuple[list[Row], int]]:
    """The rows of a result as they arrive: (rows, bytes) a block.

    Raises:
        TransientError: The connection is gone.
        pymysql.MySQLError: The server ended the result with an error.
    """
    rest = b""
    while True:
        block = connection.read_block()
        if not block:
            raise TransientError("the server closed the connection in the middle of a result")
        rows: list[Row] = []
        rest = rest + block if rest else block
        position = decoder.decode(rest, len(rest), rows.append)
        while rest[position : position + 3] == b"\xff\xff\xff":
            payload, after = _join(rest, position)
            if not after:
                break
            rows.append(decoder.read_large(payload))
            rest, position = rest[after:], 0
            position = decoder.decode(rest, len(rest), rows.append)
        rest = rest[position:]
        yield rows, len(block)
        if len(rest) >= 5 and rest[4] in {0xFE, 0xFF} and len(rest) >= 4 + int.from_bytes(rest[:3], "little"):
            if rest[4] == 0xFF:
                code = rest[5] | rest[6] << 8
                raise pymysql.err.OperationalError(code, rest[13:].decode("utf-8", "replace"))
            return


def _join(buffer: bytes, position: int) -> tuple[bytes, int]:
    parts = []
    while True:
        size = int.from_bytes(buffer[position : position + 3], "little")
        stop = position + 4 + size
        if len(buffer) < position + 4 or stop > len(buffer):
            return b"", 0
        parts.append(buffer[position + 4 : stop])
        position = stop
        if size < 0xFFFFFF:
            return b"".join(parts), position
