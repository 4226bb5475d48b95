"""Converts MySQL's binary JSON to the text that the server prints.

Format: `sql-common/json_binary.h` of MySQL 8.0. A document becomes a tree of dicts, lists and, for
scalars, their final JSON text, so that the same tree can be rendered and patched (`json_diff`).
"""

from __future__ import annotations

import base64
import re
from struct import Struct
from typing import Any

from connector_runner.sources.mysql.decode import temporal, values

Node = dict[str, Any] | list[Any] | str

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL = range(5)
_NUMBERS = {5: Struct("<h"), 6: Struct("<H"), 7: Struct("<i"), 8: Struct("<I"), 9: Struct("<q"), 10: Struct("<Q")}
_DOUBLE, _STRING, _OPAQUE = 11, 12, 15
_LITERALS = {0: "null", 1: "true", 2: "false"}
_NEWDECIMAL, _TIMESTAMP, _DATE, _TIME, _DATETIME = 246, 7, 10, 11, 12
_BASE64_LINE = 76

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPED = re.compile(r'["\\\x00-\x1f]')


def quote(text: str) -> str:
    """A text as the server prints it in JSON: control characters and quotes escaped, everything else unchanged."""
    return '"' + _ESCAPED.sub(lambda m: _ESCAPES.get(m[0]) or f"\\u{ord(m[0]):04x}", text) + '"'


def double_text(number: float) -> str:
    """A double as the server prints it in JSON (`my_gcvt`): the shortest exact digits, with an exponent from 1e15 and below 1e-15."""
    mantissa, _, exponent = f"{number!r}".partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    if not digits:
        return f"{sign}0.0"
    if 0 < point <= 15:
        padded = digits.ljust(point, "0")
        return f"{sign}{padded[:point]}.{padded[point:] or '0'}"
    if -15 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1}"


def json_text(raw: bytes) -> str:
    """The text of a stored document.

    Raises:
        ValueError: It is damaged.
    """
    return render(parse(raw))


def render(node: Node) -> str:
    """A tree as text: keys sorted by length and then by bytes, as the server stores them."""
    if isinstance(node, str):
        return node
    if isinstance(node, list):
        return "[" + ", ".join(map(render, node)) + "]"
    keys = sorted(node, key=lambda key: (len(raw := key.encode("utf-8", "surrogateescape")), raw))
    return "{" + ", ".join(f"{quote(key)}: {render(node[key])}" for key in keys) + "}"


def parse(raw: bytes) -> Node:
    """A stored document as a tree; an empty one is null, as for the server.

    Raises:
        ValueError: It is damaged.
    """
    if not raw:
        return "null"
    try:
        return _value(raw[0], raw, 1)
    except (IndexError, KeyError, ArithmeticError) as error:
        raise ValueError(f"damaged JSON document of {len(raw)} bytes") from error
    except Exception as error:  # struct.error has no better base
        raise ValueError(f"damaged JSON document of {len(raw)} bytes: {error}") from error


def _value(kind: int, raw: bytes, at: int) -> Node:
    if kind <= _LARGE_ARRAY:
        return _container(kind, raw, at)
    if kind == _LITERAL:
        return _LITERALS[raw[at]]
    if layout := _NUMBERS.get(kind):
        return str(layout.unpack_from(raw, at)[0])
    if kind == _DOUBLE:
        return double_text(_FLOAT64.unpack_from(raw, at)[0])
    if kind == _STRING:
        length, at = _length(raw, at)
        return quote(raw[at : at + length].decode("utf-8", "surrogateescape"))
    if kind == _OPAQUE:
        length, start = _length(raw, at + 1)
        return _opaque(raw[at], raw[start : start + length])
    raise ValueError(f"JSON type {kind}")


_FLOAT64 = Struct("<d")


def _length(raw: bytes, at: int) -> tuple[int, int]:
    """Reads a length in seven-bit groups, lowest first: (length, position after it)."""
    length = shift = 0
    while True:
        byte = raw[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return length, at
        shift += 7


def _container(kind: int, raw: bytes, base: int) -> Node:
    """Reads an object or array; its offsets are relative to `base`."""
    is_large = kind in {_LARGE_OBJECT, _LARGE_ARRAY}
    is_object = kind in {_SMALL_OBJECT, _LARGE_OBJECT}
    width = 4 if is_large else 2

    def number(at: int, size: int = width) -> int:
        return int.from_bytes(raw[at : at + size], "little")

    count = number(base)
    at = base + 2 * width
    # Slices beyond the end are no errors: a damaged count must not become billions of empty keys.
    if at + count * (1 + width + (width + 2) * is_object) > len(raw):
        raise ValueError(f"a JSON container of {count} members does not fit into {len(raw)} bytes")
    keys = []
    if is_object:
        for _ in range(count):
            start, length = base + number(at), number(at + width, 2)
            keys.append(raw[start : start + length].decode("utf-8", "surrogateescape"))
            at += width + 2
    # 16-bit numbers and literals stand in the entry itself, 32-bit ones too where the entry is large.
    inlined = {_LITERAL, 5, 6, 7, 8} if is_large else {_LITERAL, 5, 6}
    items = []
    for _ in range(count):
        item = raw[at]
        items.append(_value(item, raw, at + 1 if item in inlined else base + number(at + 1)))
        at += 1 + width
    return dict(zip(keys, items, strict=True)) if is_object else items


def _opaque(kind: int, data: bytes) -> str:
    if kind == _NEWDECIMAL:
        return f"{values.log_decimal(data[0], data[1])(data[2:]):f}"
    if kind in {_DATE, _DATETIME, _TIMESTAMP, _TIME}:
        return quote(_moment(kind, int.from_bytes(data, "little", signed=True)))
    # The server's encoder breaks lines (`base64_encode` of base64.h).
    digits = base64.b64encode(data).decode("ascii")
    lines = (digits[at : at + _BASE64_LINE] for at in range(0, len(digits), _BASE64_LINE))
    return quote(f"base64:type{kind}:" + "\n".join(lines))


def _moment(kind: int, packed: int) -> str:
    magnitude = abs(packed)
    micros, clock = magnitude & 0xFFFFFF, magnitude >> 24
    if kind == _TIME:
        return temporal.format_time(packed < 0, clock >> 12 & 0x3FF, clock >> 6 & 63, clock & 63, micros, 6)
    day, clock = clock >> 17, clock & 0x1FFFF
    year, month = divmod(day >> 5, 13)
    text = f"{year:04d}-{month:02d}-{day & 31:02d}"
    if kind == _DATE:
        return text
    return f"{text} {clock >> 12:02d}:{clock >> 6 & 63:02d}:{clock & 63:02d}.{micros:06d}"
