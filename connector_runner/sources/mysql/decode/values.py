"""Decodes numbers, sets, addresses and shapes to canonical values, for the log and the copy. For dates and times see `temporal`.

Source: MySQL's `decimal.cc`. All functions are pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from decimal import Context, Decimal
from functools import cache

_CACHE_LIMIT = 65536

# Of MySQL's and MariaDB's DECIMAL.
MAX_DIGITS = 65
# How many bytes hold 0 … 9 decimal digits (decimal.cc, dig2bytes).
_DIGIT_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


def decimal_size(precision: int, scale: int) -> int:
    """The number of bytes of a DECIMAL(precision, scale) in the log."""
    whole = precision - scale
    return whole // 9 * 4 + _DIGIT_BYTES[whole % 9] + scale // 9 * 4 + _DIGIT_BYTES[scale % 9]


@cache
def log_decimal(precision: int, scale: int) -> Callable[[bytes], Decimal]:
    """A DECIMAL in groups of nine digits; the top bit of the first byte is flipped, and all bits of a negative number are inverted."""
    whole = precision - scale
    groups: list[tuple[int, int]] = []  # (bytes, digits)
    if whole % 9:
        groups.append((_DIGIT_BYTES[whole % 9], whole % 9))
    groups += [(4, 9)] * (whole // 9) + [(4, 9)] * (scale // 9)
    if scale % 9:
        groups.append((_DIGIT_BYTES[scale % 9], scale % 9))
    size = decimal_size(precision, scale)
    top, mask = 1 << 8 * size - 1, (1 << 8 * size) - 1
    layout: list[tuple[int, int, int]] = []  # (shift, mask, power)
    left = size
    for width, digits in groups:
        left -= width
        layout.append((8 * left, (1 << 8 * width) - 1, 10**digits))

    if 0 < whole < 10 and 0 < scale < 10:
        return _short_decimal(size, scale)

    (first, first_part, _), *others = layout
    unit = Decimal(1).scaleb(-scale)

    def decode(raw: bytes) -> Decimal:
        packed = int.from_bytes(raw, "big")
        is_positive = packed & top
        packed = packed ^ top if is_positive else ~packed & mask ^ top
        number = packed >> first & first_part
        for shift, part, power in others:
            number = number * power + (packed >> shift & part)
        return _multiply(number if is_positive else -number, unit)

    return decode


# Wide enough for every DECIMAL to be exact, whatever the thread's own context is; numbers are faster than text.
_multiply = Context(prec=MAX_DIGITS).multiply


def _short_decimal(size: int, scale: int) -> Callable[[bytes], Decimal]:
    """A DECIMAL with one group of digits before the point and one after it, as most columns have."""
    top, every = 1 << 8 * size - 1, (1 << 8 * size) - 1
    shift = 8 * _DIGIT_BYTES[scale]
    mask, power, unit = (1 << shift) - 1, 10**scale, Decimal(1).scaleb(-scale)

    def decode(raw: bytes) -> Decimal:
        packed = int.from_bytes(raw, "big")
        if packed & top:
            packed ^= top
            return _multiply((packed >> shift) * power + (packed & mask), unit)
        packed = ~packed & every ^ top
        return _multiply(-((packed >> shift) * power + (packed & mask)), unit)

    return decode


def big_endian(raw: bytes) -> int:
    """BIT: an unsigned number, most significant byte first."""
    return int.from_bytes(raw, "big")


def little_endian(raw: bytes) -> int:
    """MEDIUMINT UNSIGNED in the log."""
    return int.from_bytes(raw, "little")


def little_endian_signed(raw: bytes) -> int:
    """MEDIUMINT in the log."""
    return int.from_bytes(raw, "little", signed=True)


class SetTexts(dict[int, str]):
    """The text of each combination of a SET, cached."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.labels = labels

    def __missing__(self, bits: int) -> str:
        if len(self) >= _CACHE_LIMIT:
            self.clear()
        value = self[bits] = ",".join(label for place, label in enumerate(self.labels) if bits >> place & 1)
        return value


def wkb(raw: bytes) -> bytes:
    """The WKB of a stored geometry, which follows a four-byte SRID."""
    return raw[4:]


def uuid_text(raw: bytes) -> str:
    """Sixteen bytes as 36 characters."""
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def log_uuid(raw: bytes) -> str:
    """A MariaDB UUID; the log omits its trailing zero bytes."""
    return uuid_text(raw.ljust(16, b"\0"))


def log_inet6(raw: bytes) -> str:
    """An INET6 as MariaDB prints it: the longest run of zeros is shortened, even a single zero; a mapped IPv4 address has dots."""
    raw = raw.ljust(16, b"\0")
    if raw[:12] == b"\0" * 10 + b"\xff\xff":
        return f"::ffff:{ipaddress.IPv4Address(raw[12:])}"
    if raw[:12] == b"\0" * 12 and raw[12:14] != b"\0\0":
        return f"::{ipaddress.IPv4Address(raw[12:])}"
    groups = [f"{raw[at] << 8 | raw[at + 1]:x}" for at in range(0, 16, 2)]
    for size in range(8, 0, -1):
        for start in range(9 - size):
            if groups[start : start + size] == ["0"] * size:
                return f"{':'.join(groups[:start])}::{':'.join(groups[start + size :])}"
    return ":".join(groups)


def log_inet4(raw: bytes) -> str:
    """Four bytes with dots."""
    return str(ipaddress.IPv4Address(raw.ljust(4, b"\0")))
