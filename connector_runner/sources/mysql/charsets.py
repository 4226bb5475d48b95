"""Text in the server's character sets: both paths get a column's raw bytes and decode them here, so they can't disagree."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import cache

# https://dev.mysql.com/doc/refman/8.0/en/charset-charsets.html and Python's name of the same encoding. `latin1` is missing on
# purpose: MySQL's is Windows-1252 with the five undefined bytes kept as control characters, see `_latin1`.
PYTHON_CODECS = {
    "armscii8": None, "ascii": "ascii", "big5": "big5", "cp1250": "cp1250", "cp1251": "cp1251", "cp1256": "cp1256",
    "cp1257": "cp1257", "cp850": "cp850", "cp852": "cp852", "cp866": "cp866", "cp932": "cp932", "eucjpms": "euc_jp",
    "euckr": "cp949", "gb18030": "gb18030", "gb2312": "gb2312", "gbk": "gbk", "greek": "iso8859_7", "hebrew": "iso8859_8",
    "hp8": "hp_roman8", "koi8r": "koi8_r", "koi8u": "koi8_u", "latin2": "iso8859_2", "latin5": "iso8859_9",
    "latin7": "iso8859_13", "macce": "mac_latin2", "macroman": "mac_roman", "sjis": "shift_jis", "tis620": "tis_620",
    "ucs2": "utf_16_be", "ujis": "euc_jp", "utf16": "utf_16_be", "utf16le": "utf_16_le", "utf32": "utf_32_be",
    "utf8": "utf-8", "utf8mb3": "utf-8", "utf8mb4": "utf-8",
}  # fmt: skip

Decoder = Callable[[bytes], str]

_LATIN1 = "".join(
    chr(code) if code in {0x81, 0x8D, 0x8F, 0x90, 0x9D} else bytes([code]).decode("cp1252") for code in range(256)
)


def _latin1(raw: bytes) -> str:
    return codecs.charmap_decode(raw, "strict", _LATIN1)[0]


def is_supported(charset: str) -> bool:
    """Whether text of this character set can be decoded."""
    return charset == "latin1" or PYTHON_CODECS.get(charset) is not None


def is_utf8(charset: str) -> bool:
    """Whether the stored bytes are UTF-8."""
    return PYTHON_CODECS.get(charset) == "utf-8"


@cache
def text_decoder(charset: str) -> Decoder:
    """A function from stored bytes to text; bytes that are invalid in the set become lone surrogates (nothing is lost).

    Raises:
        LookupError: The set is not supported; the message names it.
    """
    if charset == "latin1":
        return _latin1
    name = PYTHON_CODECS.get(charset)
    if name is None:
        raise LookupError(f"the character set {charset} is not supported")
    decode = codecs.getdecoder(name)
    # Python 3.11's UTF-16 and UTF-32 know no surrogateescape; an invalid unit there is replaced by U+FFFD.
    errors = "replace" if name.startswith(("utf_16", "utf_32")) else "surrogateescape"
    return lambda raw: decode(raw, errors)[0]
