"""Query events: a statement, and what the log records about its session (character set, sql_mode, temporary tables). No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from connector_runner.sources.mysql.binlog.events import decompress_maria
from connector_runner.sources.mysql.types.charsets import is_supported, text_decoder

USES_TEMPORARY = 0x4  # flag: the statement uses some temporary table (LOG_EVENT_THREAD_SPECIFIC_F)


@dataclass(frozen=True)
class Query:
    """A statement in the log.

    Attributes:
        database: The database that it ran in.
        statement: Its text.
        sql_mode: The session's sql_mode, as the server's bits.
        server, thread: The server's id and the thread of its session.
        uses_temporary: Whether it uses some temporary table.
        in_utf8: The same bytes read as UTF-8, where that is possible and gives another text; else "". Servers write what they
            rewrite (LOAD DATA, CREATE TABLE … SELECT, the DROP after a failed CREATE OR REPLACE) in UTF-8, and record the session's
            character set all the same.
        has_failed: Whether it ended with an error; what it did until then stays.
    """

    database: str
    statement: str
    sql_mode: int = 0
    server: int = 0
    thread: int = 0
    uses_temporary: bool = False
    in_utf8: str = ""
    has_failed: bool = False

    @property
    def shown(self) -> str:
        """Its beginning, for messages."""
        return shown(self.in_utf8 or self.statement.lstrip())


def shown(text: str) -> str:
    """The beginning of a statement for messages, which can be stored anywhere: bytes that are no character become question marks.

    Passwords in it, those of a remote table's address included, are left out.
    """
    return _SECRET.sub(r"\1'…'", text[:_READ])[:_SHOWN].encode("utf-8", "replace").decode()


_SHOWN, _READ = 500, 4000
# What a text after these words holds is nobody's business. One that does not end within what is read is cut off.
_SECRET = re.compile(
    r"""((?:\bCONNECTION|\bPASSWORD|\bIDENTIFIED\s+(?:WITH\s+\S+\s+)?(?:BY|AS|USING))\s*(?:PASSWORD\s*)?[=(]?\s*)"""
    r"""(?:'(?:[^'\\]|\\.|'')*(?:'|$)|"(?:[^"\\]|\\.|"")*(?:"|$))""",
    re.IGNORECASE | re.DOTALL,
)
# Sizes of the variables in a query event's status block, by number (`Query_event_status_vars`); others give it in their first byte.
_STATUS_SIZES = {
    0: 4,
    1: 8,
    3: 4,
    4: 6,
    7: 2,
    8: 2,
    9: 8,
    10: 4,
    13: 3,
    16: 1,
    17: 8,
    18: 2,
    19: 1,
    20: 1,
    128: 3,
    129: 8,
}
# Those that begin with a count, by the size of what is counted: the letters of the time zone and the catalogue; MariaDB's
# character_set_collations (11.2 and later), which stand before the character set.
_COUNTED = {5: 1, 6: 1, 131: 4}
_SQL_MODE, _CHARSET = 1, 4


def parse_query(
    body: bytes, server: int = 0, flags: int = 0, charsets: Mapping[int, str] | None = None, *,
    is_compressed: bool = False, is_load: bool = False,
) -> Query:  # fmt: skip
    """Reads a query event's body.

    Args:
        body: The event without its header.
        server: The server's id, from the header.
        flags: The flags, from the header.
        charsets: Names of character sets by the number of a collation: texts are in the session's own character set.
        is_compressed: Whether it is MariaDB's compressed event.
        is_load: Whether it is an EXECUTE_LOAD_QUERY, which has 13 more bytes about the loaded file.
    """
    database_size = body[8]
    start = 13 + 13 * is_load
    at = start + int.from_bytes(body[11:13], "little")
    status = _parse_status(body[start:at])
    text = body[at + database_size + 1 :]
    if is_compressed:
        text = decompress_maria(text)
    charset = (charsets or {}).get(int.from_bytes(status.get(_CHARSET, b"")[:2], "little"), "")
    statement = _decode(text, charset)
    return Query(
        body[at : at + database_size].decode("utf-8", "surrogateescape"),
        statement,
        int.from_bytes(status.get(_SQL_MODE, b""), "little"),
        server,
        int.from_bytes(body[:4], "little"),
        bool(flags & USES_TEMPORARY),
        _in_utf8(text, statement),
        body[9:11] != b"\0\0",
    )


def _parse_status(block: bytes) -> dict[int, bytes]:
    """The values of a status block up to the first whose size is not known: those that are needed come before it."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(block):
        kind = block[at]
        at += 1
        if kind in _COUNTED:
            size = 1 + _COUNTED[kind] * block[at] if at < len(block) else 0
        elif kind in _STATUS_SIZES:
            size = _STATUS_SIZES[kind]
        else:
            break
        found[kind] = block[at : at + size]
        at += size
    return found


def _decode(text: bytes, charset: str) -> str:
    if not text.isascii() and is_supported(charset):
        return text_decoder(charset)(text)
    return text.decode("utf-8", "surrogateescape")


def _in_utf8(text: bytes, statement: str) -> str:
    if text.isascii():
        return ""
    try:
        other = text.decode()
    except UnicodeDecodeError:
        return ""
    return "" if other == statement else other
