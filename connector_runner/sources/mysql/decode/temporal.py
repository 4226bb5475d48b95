"""Decodes dates and times to canonical values, from the packed forms of the log and from fields of the protocol.

Sources: MySQL's `my_time.cc` and the binary protocol (https://dev.mysql.com/doc/dev/mysql-server/latest/).
All functions are pure. A date that Python does not support (zero, or impossible such as 2020-02-31) becomes ISO text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from struct import Struct

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YMD = Struct("<HBB").unpack_from
_MICROSECONDS = Struct("<I").unpack_from
_CACHE_LIMIT = 65536


def build_date(year: int, month: int, day: int) -> date | str:
    """A date, or ISO text if there is no such day."""
    try:
        return date(year, month, day)
    except ValueError:
        return f"{year:04d}-{month:02d}-{day:02d}"


def build_datetime(y: int, mo: int, d: int, h: int, mi: int, s: int, us: int, *, is_instant: bool) -> datetime | str:
    """A datetime (with UTC as its zone if it is an instant), or ISO text if there is no such day."""
    try:
        return datetime(y, mo, d, h, mi, s, us, UTC if is_instant else None)
    except ValueError:
        fraction = f".{us:06d}" if us else ""
        zone = "Z" if is_instant else ""
        return f"{y:04d}-{mo:02d}-{d:02d}T{h:02d}:{mi:02d}:{s:02d}{fraction}{zone}"


def format_time(negative: bool, hours: int, minutes: int, seconds: int, micros: int, digits: int) -> str:
    """A TIME as the server prints it: `-838:59:59.500`."""
    fraction = f".{micros:06d}"[: digits + 1] if digits else ""
    return f"{'-' if negative else ''}{hours:02d}:{minutes:02d}:{seconds:02d}{fraction}"


class Dates(dict[bytes, "date | str"]):
    """The log's three-byte dates, cached, because few different ones occur."""

    def __missing__(self, raw: bytes) -> date | str:
        if len(self) >= _CACHE_LIMIT:
            self.clear()
        packed = int.from_bytes(raw, "little")
        value = self[raw] = build_date(packed >> 9, packed >> 5 & 15, packed & 31)
        return value


_UNITS = (0, 10000, 100, 1)  # microseconds in the last place of a fraction of 0 … 3 bytes


def _scale(digits: int) -> tuple[int, int, int]:
    """For a packed time with this many fractional digits: (bits of the fraction, their mask, microseconds per unit)."""
    extra = (digits + 1) // 2
    return 8 * extra, (1 << 8 * extra) - 1, _UNITS[extra]


@cache
def log_datetime(digits: int) -> Callable[[bytes], datetime | str]:
    """DATETIME2 with this many fractional digits: 5 bytes and 0 … 3 of fraction, big-endian."""
    shift, mask, unit = _scale(digits)
    offset = 0x8000000000 << shift

    def decode(raw: bytes) -> datetime | str:
        packed = int.from_bytes(raw, "big") - offset
        clock = packed >> shift
        year, month = divmod(clock >> 22, 13)
        try:
            return datetime(
                year, month, clock >> 17 & 31, clock >> 12 & 31, clock >> 6 & 63, clock & 63, (packed & mask) * unit
            )
        except ValueError:
            parts = (
                year,
                month,
                clock >> 17 & 31,
                clock >> 12 & 31,
                clock >> 6 & 63,
                clock & 63,
                (packed & mask) * unit,
            )
            return build_datetime(*parts, is_instant=False)

    return decode


@cache
def log_timestamp(digits: int) -> Callable[[bytes], datetime | str]:
    """TIMESTAMP2: 4 bytes of seconds and 0 … 3 of fraction, big-endian; zero is the zero date, not 1970."""
    shift, mask, unit = _scale(digits)

    def decode(raw: bytes) -> datetime | str:
        packed = int.from_bytes(raw, "big")
        if not packed:
            return "0000-00-00T00:00:00Z"
        return EPOCH + timedelta(0, packed >> shift, (packed & mask) * unit)

    return decode


def log_timestamp_old(seconds: int) -> datetime | str:
    """TIMESTAMP before MySQL 5.6 (and MariaDB's mysql56_temporal_format=OFF): little-endian seconds."""
    return EPOCH + timedelta(0, seconds) if seconds else "0000-00-00T00:00:00Z"


def log_datetime_old(packed: int) -> datetime | str:
    """DATETIME before MySQL 5.6: the number YYYYMMDDhhmmss."""
    day, clock = divmod(packed, 1_000_000)
    return build_datetime(
        day // 10000, day // 100 % 100, day % 100, clock // 10000, clock // 100 % 100, clock % 100, 0, is_instant=False
    )


def log_time_old(raw: bytes) -> str:
    """TIME before MySQL 5.6: three bytes, the number hhmmss with a sign."""
    packed = int.from_bytes(raw, "little", signed=True)
    clock = abs(packed)
    return format_time(packed < 0, clock // 10000, clock // 100 % 100, clock % 100, 0, 0)


@cache
def log_time(digits: int) -> Callable[[bytes], str]:
    """TIME2 with this many fractional digits: 3 bytes and 0 … 3 of fraction, with an offset so that the bytes sort."""
    shift, mask, unit = _scale(digits)
    offset = 0x800000 << shift

    def decode(raw: bytes) -> str:
        packed = int.from_bytes(raw, "big") - offset
        magnitude = abs(packed)
        clock = magnitude >> shift
        micros = (magnitude & mask) * unit
        return format_time(packed < 0, clock >> 12 & 0x3FF, clock >> 6 & 63, clock & 63, micros, digits)

    return decode


def field_date(raw: bytes) -> date | str:
    """A DATE of the binary protocol, without its length byte."""
    if not raw:
        return "0000-00-00"
    return build_date(*_YMD(raw))


def field_datetime(raw: bytes) -> datetime | str:
    """A DATETIME of the binary protocol: 0, 4, 7 or 11 bytes."""
    return _field_moment(raw, is_instant=False)


def field_timestamp(raw: bytes) -> datetime | str:
    """A TIMESTAMP of the binary protocol; the zone of the session is UTC."""
    return _field_moment(raw, is_instant=True)


def _field_moment(raw: bytes, *, is_instant: bool) -> datetime | str:
    if not raw:
        return build_datetime(0, 0, 0, 0, 0, 0, 0, is_instant=is_instant)
    year, month, day = _YMD(raw)
    hour, minute, second = raw[4:7] if len(raw) >= 7 else (0, 0, 0)
    micros = _MICROSECONDS(raw, 7)[0] if len(raw) == 11 else 0
    return build_datetime(year, month, day, hour, minute, second, micros, is_instant=is_instant)


@cache
def field_time(digits: int) -> Callable[[bytes], str]:
    """A TIME of the binary protocol: 0, 8 or 12 bytes."""

    def decode(raw: bytes) -> str:
        if not raw:
            return format_time(False, 0, 0, 0, 0, digits)
        days = _MICROSECONDS(raw, 1)[0]
        micros = _MICROSECONDS(raw, 8)[0] if len(raw) == 12 else 0
        return format_time(bool(raw[0]), days * 24 + raw[5], raw[6], raw[7], micros, digits)

    return decode
