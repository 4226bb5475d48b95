"""Text in the server's character sets: both paths get a column's raw bytes and decode them here, so they can't disagree.

Python's codecs do most of the work. Where they differ from the server, its own conversion counts, from `charset_tables.json`
(about 40 kB, read when a column of such a set is first met; made by `tests/servers/charset_tables.py`).
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from connector_runner.sources.mysql.decode.undecodable import UndecodableError

TABLES = files(__package__).joinpath("charset_tables.json")
# Marks a code without a character in a table. (Python's charmap codec uses U+FFFE in the same way.)
UNASSIGNED = "\ufffe"

# https://dev.mysql.com/doc/refman/8.0/en/charset-charsets.html and Python's name of the same encoding. Those without have
# complete tables: MySQL's latin1, for example, is Windows-1252 with the five undefined bytes kept as control characters.
PYTHON_CODECS = {
    "ascii": "ascii", "big5": "big5", "cp1250": "cp1250", "cp1251": "cp1251", "cp1256": "cp1256", "cp1257": "cp1257",
    "cp850": "cp850", "cp852": "cp852", "cp866": "cp866", "cp932": "cp932", "eucjpms": "euc_jp", "euckr": "cp949",
    "gb18030": "gb18030", "gb2312": "gb2312", "gbk": "gbk", "greek": "iso8859_7", "hebrew": "iso8859_8", "hp8": "hp_roman8",
    "koi8r": "koi8_r", "koi8u": "koi8_u", "latin2": "iso8859_2", "latin5": "iso8859_9", "latin7": "iso8859_13",
    "macce": "mac_latin2", "macroman": "mac_roman", "sjis": "shift_jis", "tis620": "tis_620", "ucs2": "utf_16_be",
    "ujis": "euc_jp", "utf16": "utf_16_be", "utf16le": "utf_16_le", "utf32": "utf_32_be", "utf8": "utf-8",
    "utf8mb3": "utf-8", "utf8mb4": "utf-8", "binary": "utf-8",
}  # fmt: skip
_TABLED = frozenset({"armscii8", "dec8", "geostd8", "keybcs2", "latin1", "swe7"})
# The size of a code unit in bytes.
_WIDE = {"ucs2": 2, "utf16": 2, "utf16le": 2, "utf32": 4}
_LONGEST = 4

Decoder = Callable[[bytes], str]


@cache
def _tables() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(TABLES.read_text("utf-8"))
    return found


def is_supported(charset: str) -> bool:
    """Whether text of this character set can be decoded."""
    return charset in _TABLED or charset in PYTHON_CODECS


def is_utf8(charset: str) -> bool:
    """Whether the stored bytes are UTF-8. (Labels of an enum or set with the charset `binary` are, if they are text at all.)"""
    return PYTHON_CODECS.get(charset) == "utf-8"


def is_same_charset(found: str, known: str) -> bool:
    """Whether a character set of the server's list is the one of a column, which is "" for bytes."""
    return ("utf8mb3" if found == "utf8" else found) == (("utf8mb3" if known == "utf8" else known) or "binary")


@cache
def text_decoder(charset: str) -> Decoder:
    """A function from stored bytes to text; bytes that are not a character of the set become lone surrogates (nothing is lost).

    Raises:
        LookupError: The set is not supported; the message names it.
    """
    if not is_supported(charset):
        raise LookupError(f"the character set {charset} is not supported")
    if charset in _WIDE:
        return _wide_decoder(charset)
    if charset in _tables()["bytes"]:
        table = _characters(charset)
        return lambda raw: codecs.charmap_decode(raw, "strict", table)[0]
    decode = codecs.getdecoder(PYTHON_CODECS[charset])
    if charset not in _tables()["codes"]:
        return lambda raw: decode(raw, "surrogateescape")[0]
    return _corrected_decoder(charset)


@cache
def _characters(charset: str) -> str:
    """The characters of a single-byte set, by byte; a byte without a character becomes its lone surrogate."""
    table: str = _tables()["bytes"][charset]
    return "".join(_escape(bytes([byte])) if found == UNASSIGNED else found for byte, found in enumerate(table))


def _wide_decoder(charset: str) -> Decoder:
    """A decoder for sets with code units of two or four bytes. Half a surrogate pair becomes its UTF-8 bytes, as on MariaDB."""
    codec = PYTHON_CODECS[charset]
    decode, width = codecs.getdecoder(codec), _WIDE[charset]

    def decode_unit(unit: bytes) -> str:
        try:
            return decode(unit, "surrogatepass")[0].encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
        except UnicodeDecodeError:
            return _escape(unit)

    def decode_wide(raw: bytes) -> str:
        try:
            text = decode(raw, "strict")[0]
            # UCS-2 has no pairs: two units are two characters.
            if charset != "ucs2" or not text or max(text) <= "\uffff":
                return text
        except UnicodeDecodeError:
            pass
        return "".join(decode_unit(raw[at : at + width]) for at in range(0, len(raw), width))

    return decode_wide


def _escape(raw: bytes) -> str:
    return "".join(chr(0xDC00 + byte) for byte in raw)


@cache
def _corrections(charset: str) -> dict[bytes, str]:
    """Codes that Python's codec decodes differently from the server, with the server's character or `UNASSIGNED`."""
    found: dict[bytes, str] = {}
    for start, characters in _tables()["codes"].get(charset, {}).items():
        *head, last = bytes.fromhex(start)
        found |= {bytes([*head, last + place]): character for place, character in enumerate(characters)}
    return found


def _split(charset: str, raw: bytes) -> list[tuple[bytes, str]]:
    """Decodes code by code: (bytes, character)."""
    corrections, codec = _corrections(charset), PYTHON_CODECS[charset]
    found, at = [], 0
    while at < len(raw):
        for size in range(_LONGEST, 0, -1):
            code = raw[at : at + size]
            character = corrections.get(code)
            if character is None and len(code) == size:
                try:
                    character = code.decode(codec)
                except UnicodeDecodeError:
                    continue
            if character is not None and len(character) == 1 and character != UNASSIGNED:
                found.append((code, character))
                at += size
                break
        else:
            found.append((raw[at : at + 1], _escape(raw[at : at + 1])))
            at += 1
    return found


def _corrected_decoder(charset: str) -> Decoder:
    """A decoder that uses Python's codec unless the text has something that the server decodes differently."""
    codec = PYTHON_CODECS[charset]
    decode = codecs.getdecoder(codec)
    wrong = set()
    for code in _corrections(charset):
        try:
            wrong |= set(code.decode(codec))
        except UnicodeDecodeError:
            continue
    is_right = frozenset(wrong).isdisjoint

    def decode_corrected(raw: bytes) -> str:
        try:
            text = decode(raw, "strict")[0]
            if is_right(text):
                return text
        except UnicodeDecodeError:
            pass
        return "".join(character for _, character in _split(charset, raw))

    return decode_corrected


@cache
def _seconds(charset: str) -> frozenset[bytes]:
    """Codes whose character also has another code."""
    return frozenset(map(bytes.fromhex, _tables()["seconds"].get(charset, ())))


@cache
def key_decoder(charset: str) -> Decoder:
    """As `text_decoder`, for keys: a text that another code also gives is refused, since the dataset would take both for one key.

    Raises:
        LookupError: As in `text_decoder`.
    """
    plain = text_decoder(charset)
    seconds = _seconds(charset)
    if not seconds:
        return plain
    read_alike = frozenset(plain(code) for code in seconds)

    def decode_key(raw: bytes) -> str:
        text = plain(raw)
        if not read_alike.isdisjoint(text):
            codes = (
                [code for code, _ in _split(charset, raw)] if charset in PYTHON_CODECS else [bytes([b]) for b in raw]
            )
            if found := seconds.intersection(codes):
                raise UndecodableError(
                    f"a key holds the code 0x{min(found).hex()} of {charset}, which reads like another code of that set: rows that "
                    "differ only there can't be distinguished. Convert the column to utf8mb4",
                    reason="AmbiguousKey",
                )
        return text

    return decode_key


def encode_raw(charset: str, text: str) -> bytes | None:
    """The stored bytes of a text with lone surrogates, for the sets in which they represent single bytes; else None."""
    if charset in _WIDE or is_utf8(charset) or all(not "\udc00" <= character <= "\udcff" for character in text):
        return None
    return encode_text(charset, text)


def encode_text(charset: str, text: str) -> bytes:
    """The stored bytes of a text.

    Raises:
        ValueError: A character is not in the set.
    """
    if charset in _tables()["bytes"]:
        table = _characters(charset)
        return bytes(table.index(character) for character in text)
    back = _codes(charset)
    return b"".join(back.get(c) or c.encode(PYTHON_CODECS[charset], "surrogateescape") for c in text)


@cache
def _codes(charset: str) -> dict[str, bytes]:
    """The codes of characters that Python's codec encodes differently; of two codes the one that is not refused in keys."""
    seconds = _seconds(charset)
    return {character: code for code, character in _corrections(charset).items() if code not in seconds}
