"""Texts that tell character sets apart, as hexadecimal literals that mean the same in every session."""

from __future__ import annotations

from tests.fuzz.mysql.draw import Draw

# First and last code points of ranges; most sets have characters from several of them.
RANGES = (
    (0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x17F), (0x370, 0x3FF), (0x400, 0x45F), (0x490, 0x4FF), (0x5D0, 0x5EA), (0x600, 0x6FF),
    (0xE01, 0xE5B), (0x10D0, 0x10FF), (0x531, 0x58F), (0x2010, 0x2044), (0x20AC, 0x20AC), (0x2100, 0x2138), (0x2150, 0x218F),
    (0x2190, 0x22FF), (0x2460, 0x24FF), (0x2500, 0x25FF), (0x3000, 0x30FF), (0x3200, 0x33FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
    (0xE000, 0xE757), (0xF8FF, 0xF8FF), (0xF900, 0xFA2D), (0xFF01, 0xFF9F), (0xFFE0, 0xFFE6), (0x1F300, 0x1F5FF), (0x20000, 0x2A6D6),
)  # fmt: skip
# Where encoders of the same name are known to differ from server to server and from language to language.
TRAPS = "\u2015\u2014\u301c\uff5e\u2016\u2225\u2212\uff0d\u00a2\uffe0\u00a3\uffe1\u00ac\uffe2\u00a6\uffe4\u00a5\\\u203e~\u20ac\u0152\u02dc\u2018\u037a\u20af\x81\x8d\x90\x9d"
TRAPS_OF = {
    "big5": "\u7881\u92b9\u88cf\u58bb\u6052\u7ca7\u5afa", "cp866": "\u207f\xb2", "eucjpms": "\uff5e\u2225\uff0d\uffe0\uffe1\uffe2\u2460\u2160\u3349",
    "greek": "\u02bd\u02bc", "hebrew": "\u203e", "koi8u": "\u2022", "sjis": "\\\uff3c", "ujis": "\uff3c\ue000\ue001\ue03a", "gb18030": "\u1e3f",
    "latin1": "\x81\x8d\x8f\x90\x9d",
}  # fmt: skip
"""Characters of a set that Python's codec of that name has elsewhere, or not at all."""
EDGES = (
    "",
    "a",
    "a ",
    " a",
    "A",
    "ä",
    "Ä",
    "ß",
    "ss",
    "é日",
    "e\u0301",
    "İ",
    "\u0131",
    "ǅ",
    "\0",
    "a\0",
    "\t",
    "'",
    '"',
    "\\",
    "`",
    "%",
    "0",
    "007",
    "🎈",
)


def text(draw: Draw, longest: int, charset: str = "") -> str:
    """A text of at most `longest` characters; some are made for a character set."""
    if charset in TRAPS_OF and draw.chance(0.4):
        return "".join(draw.pick(TRAPS_OF[charset]) for _ in range(draw.number(1, min(6, max(1, longest)))))
    if draw.chance(0.35):
        return draw.pick(EDGES)[:longest]
    if draw.chance(0.25):
        return "".join(draw.pick(TRAPS) for _ in range(draw.number(1, min(8, max(1, longest)))))
    low, high = draw.pick(RANGES)
    size = draw.number(0, min(longest, draw.pick([3, 3, 10, 40])))
    return "".join(chr(draw.number(low, high)) for _ in range(size))


def literal(value: str) -> str:
    """The text as an SQL literal without quotes, backslashes or the session's character set."""
    raw = value.encode("utf-8", "surrogatepass").hex()
    return f"_utf8mb4 x'{raw}'" if raw else "''"


def hexed(raw: bytes) -> str:
    return f"x'{raw.hex()}'" if raw else "''"
