"""Days and microseconds since 2000-01-01, as PostgreSQL counts them, also for years outside of Python's range."""

from __future__ import annotations

import datetime as dt
import re

from connector_runner.datasets.dead_letters import RefusedError

EPOCH = dt.datetime(2000, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=dt.UTC)
EPOCH_DAY = EPOCH.date().toordinal()
_ISO = re.compile(r"([+-]?\d{4,})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(Z)?")
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 2000-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 730425


def parse_iso(text: str) -> tuple[int, int]:
    """Days since 2000-01-01 and microseconds of the day, from an ISO text as sources give it outside of the years 1 … 9999.

    Raises:
        RefusedError: It is not such a text, or there is no such day.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise RefusedError(f"{text!r} is not a time in ISO form")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (1 <= month <= 12 and 1 <= day <= _LENGTHS[month - 1] and (month, day) != (2, 29 if not is_leap else 0)):
        raise RefusedError(f"{text!r} is not a day of the calendar")
    if hour > 23 or minute > 59 or second > 59:
        raise RefusedError(f"{text!r} is not a time of the day")
    micros = int((match[7] or "").ljust(6, "0"))
    return days_from_civil(year, month, day), ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros


def _finite(number: int, bits: int, text: str) -> int:
    """Refuses the smallest and the largest number, which PostgreSQL uses for the infinities."""
    if number in {-(1 << bits - 1), (1 << bits - 1) - 1}:
        raise RefusedError(f"{text!r} would be an infinite time in PostgreSQL")
    return number


def date_days(value: dt.date | str) -> int:
    """A date."""
    return _finite(parse_iso(value)[0], 32, value) if isinstance(value, str) else value.toordinal() - EPOCH_DAY


def time_micros(value: dt.time) -> int:
    """A time of the day."""
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def _iso_micros(text: str) -> int:
    days, micros = parse_iso(text)
    return _finite(days * 86_400_000_000 + micros, 64, text)


def timestamp_micros(value: dt.datetime | str) -> int:
    """A timestamp without zone."""
    if isinstance(value, str):
        return _iso_micros(value)
    delta = value - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def timestamptz_micros(value: dt.datetime | str) -> int:
    """A timestamp with zone."""
    if isinstance(value, str):
        return _iso_micros(value)
    delta = value - EPOCH_UTC
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
