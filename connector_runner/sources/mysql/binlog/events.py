"""Events of the binary log, parsed from bytes: their type and content. Keeps no state.

Format: `libbinlogevents` of MySQL 8.0 and 9.x, `log_event.h` of MariaDB 10.11.
"""

from __future__ import annotations

import uuid
import zlib
from enum import IntEnum
from functools import lru_cache
from struct import Struct

from connector_runner.sources.mysql.binlog.gtid import MariaGtids


class Event(IntEnum):
    """Types of events; those from 160 on are MariaDB's."""

    QUERY = 2
    ROTATE = 4
    FORMAT_DESCRIPTION = 15
    XID = 16
    TABLE_MAP = 19
    WRITE_ROWS_V1 = 23
    UPDATE_ROWS_V1 = 24
    DELETE_ROWS_V1 = 25
    BEGIN_LOAD_QUERY = 17
    EXECUTE_LOAD_QUERY = 18
    INCIDENT = 26
    HEARTBEAT = 27
    ROWS_QUERY = 29
    WRITE_ROWS = 30
    UPDATE_ROWS = 31
    DELETE_ROWS = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    XA_PREPARE = 38
    PARTIAL_UPDATE_ROWS = 39
    TRANSACTION_PAYLOAD = 40
    HEARTBEAT_V2 = 41
    GTID_TAGGED = 42
    MARIA_GTID = 162
    MARIA_GTID_LIST = 163
    MARIA_QUERY_COMPRESSED = 165
    MARIA_WRITE_ROWS_COMPRESSED_V1 = 166
    MARIA_UPDATE_ROWS_COMPRESSED_V1 = 167
    MARIA_DELETE_ROWS_COMPRESSED_V1 = 168
    MARIA_WRITE_ROWS_COMPRESSED = 169
    MARIA_UPDATE_ROWS_COMPRESSED = 170
    MARIA_DELETE_ROWS_COMPRESSED = 171


WRITES, UPDATES, DELETES = 0, 1, 2
# type: (what rows it holds, compressed, has the extra header of version 2). Plain numbers, since they are looked up for each event
# and comparing them is twice as fast as comparing members of an enum.
ROW_EVENTS: dict[int, tuple[int, bool, bool]] = {
    int(Event.WRITE_ROWS_V1): (WRITES, False, False),
    int(Event.UPDATE_ROWS_V1): (UPDATES, False, False),
    int(Event.DELETE_ROWS_V1): (DELETES, False, False),
    int(Event.WRITE_ROWS): (WRITES, False, True),
    int(Event.UPDATE_ROWS): (UPDATES, False, True),
    int(Event.DELETE_ROWS): (DELETES, False, True),
    int(Event.PARTIAL_UPDATE_ROWS): (UPDATES, False, True),
    int(Event.MARIA_WRITE_ROWS_COMPRESSED_V1): (WRITES, True, False),
    int(Event.MARIA_UPDATE_ROWS_COMPRESSED_V1): (UPDATES, True, False),
    int(Event.MARIA_DELETE_ROWS_COMPRESSED_V1): (DELETES, True, False),
    int(Event.MARIA_WRITE_ROWS_COMPRESSED): (WRITES, True, True),
    int(Event.MARIA_UPDATE_ROWS_COMPRESSED): (UPDATES, True, True),
    int(Event.MARIA_DELETE_ROWS_COMPRESSED): (DELETES, True, True),
}

# Types without rows or definitions, besides those of `Event`: STOP, INTVAR, CREATE_FILE, APPEND_BLOCK, DELETE_FILE, RAND,
# USER_VAR, TRANSACTION_CONTEXT, VIEW_CHANGE; MariaDB: ANNOTATE_ROWS, BINLOG_CHECKPOINT, START_ENCRYPTION.
_QUIET = frozenset({3, 5, 8, 9, 11, 13, 14, 36, 37, 160, 161, 164}) | {int(kind) for kind in Event}
_IGNORABLE = 0x80  # flag: a reader that does not know the event may skip it


def may_be_passed_over(kind: int, flags: int) -> bool:
    """Whether an event that is not parsed is sure to hold nothing about the table."""
    return kind in _QUIET or bool(flags & _IGNORABLE)


HEADER_SIZE = 19
# timestamp (seconds), type, server id, event size, end position, flags
read_header = Struct("<IBIIIH").unpack_from
_GTID_ENTRY = Struct("<IIQ")
ARTIFICIAL = 0x20  # flag: made by the sender, not in the log


def read_packed(buffer: bytes, position: int) -> tuple[int, int]:
    """Reads a length-encoded number: (number, position after it)."""
    first = buffer[position]
    if first <= 250:
        return first, position + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(buffer[position + 1 : position + 1 + size], "little"), position + 1 + size


def decompress_maria(raw: bytes) -> bytes:
    """Unpacks MariaDB's compressed parts: a byte with the size of the length, the length, zlib data."""
    return zlib.decompress(raw[1 + (raw[0] & 0x07) :])


@lru_cache(maxsize=1024)
def _uuid_text(raw: bytes) -> str:
    return str(uuid.UUID(bytes=raw))


def parse_gtid(body: bytes) -> tuple[str, int]:
    """MySQL's GTID event: (uuid, number)."""
    return _uuid_text(body[1:17]), int.from_bytes(body[17:25], "little")


def _serialised(raw: bytes, at: int) -> tuple[int, int]:
    """Reads a number of mysql::serialization: the low one-bits of the first byte give how many more bytes follow."""
    first = raw[at]
    more = 0
    while more < 8 and first >> more & 1:
        more += 1
    number = int.from_bytes(raw[at : at + more + 1], "little")
    return number >> (more + 1 if more < 8 else 8), at + more + 1


def parse_tagged_gtid(body: bytes) -> tuple[str, str, int]:
    """MySQL 8.3's tagged GTID event: (uuid, tag, number); see `libs/mysql/serialization/readme.md` of its source."""
    _, at = _serialised(body, 0)  # version
    _, at = _serialised(body, at)  # size
    _, at = _serialised(body, at)  # last field that must be understood
    source, tag, number = "", "", 0
    while at < len(body):
        identifier, at = _serialised(body, at)
        if identifier == 0:  # flags
            _, at = _serialised(body, at)
        elif identifier == 1:  # each byte is a number of its own: two bytes from 0x80 on
            parts = bytearray()
            for _ in range(16):
                part, at = _serialised(body, at)
                parts.append(part)
            source = _uuid_text(bytes(parts))
        elif identifier == 2:
            packed, at = _serialised(body, at)
            number = packed >> 1  # signed numbers have their sign in the lowest bit
        elif identifier == 3:
            size, at = _serialised(body, at)
            tag = body[at : at + size].decode("ascii")
            break
        else:
            break
    return source, tag, number


STANDALONE, PREPARED_XA, COMPLETED_XA = 1, 0x40, 0x80


def parse_maria_gtid(body: bytes) -> tuple[int, int, int]:
    """MariaDB's GTID event: (domain, number, flags); the server's id is in the header."""
    return int.from_bytes(body[8:12], "little"), int.from_bytes(body[:8], "little"), body[12]


# An ALTER TABLE of binlog_alter_two_phase is logged when it starts and again when it ends, also when it fails.
START_ALTER, COMMIT_ALTER, ROLLBACK_ALTER = 2, 4, 8
_HAS_COMMIT_ID = 2


def parse_alter_phase(body: bytes) -> int:
    """The phase of such an ALTER TABLE that a GTID event of MariaDB announces; 0 for anything else."""
    flags, at = body[12], 13
    if flags & _HAS_COMMIT_ID:
        at += 8
    if flags & (PREPARED_XA | COMPLETED_XA):
        at += 6 + body[at + 4] + body[at + 5]
    return body[at] & (START_ALTER | COMMIT_ALTER | ROLLBACK_ALTER) if at < len(body) else 0


def parse_maria_gtid_list(body: bytes) -> MariaGtids:
    """MariaDB's list at the start of a file: the last transaction of each domain and server, a domain's last one last."""
    gtids = MariaGtids()
    count = int.from_bytes(body[:4], "little") & 0x0FFFFFFF  # above it are flags
    for domain, server, number in _GTID_ENTRY.iter_unpack(body[4 : 4 + 16 * count]):
        gtids.add(domain, server, number)
    return gtids


def parse_xid(body: bytes) -> str:
    """The id of an XA transaction, from the event that prepares it: its two parts in hexadecimal digits."""
    sizes = int.from_bytes(body[5:9], "little"), int.from_bytes(body[9:13], "little")
    return f"{body[13 : 13 + sizes[0]].hex()},{body[13 + sizes[0] : 13 + sum(sizes)].hex()}"


def parse_xid_text(statement: str) -> str:
    """The same id from XA COMMIT or XA ROLLBACK, as servers write them into the log: `X'…',X'…',1`."""
    parts = (
        statement.split(None, 2)[2].replace("X'", "").replace("'", "").split(",") if statement.count(" ") > 1 else []
    )
    return ",".join(parts[:2]).lower()


def parse_rotate(body: bytes) -> tuple[str, int]:
    """The next file and the position in it."""
    return body[8:].decode("utf-8"), int.from_bytes(body[:8], "little")


def is_server_start(body: bytes) -> bool:
    """Whether a format description is of the first file after the server was started: only there it has its creation time."""
    return any(body[52:56])


def is_intact(buffer: bytes, start: int, end: int) -> bool:
    """Whether the last four bytes are the CRC32 of those before."""
    stop = end - 4
    return zlib.crc32(buffer[start:stop]) == int.from_bytes(buffer[stop:end], "little")
