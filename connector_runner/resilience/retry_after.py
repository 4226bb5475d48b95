"""The header `Retry-After`: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3."""

from __future__ import annotations

import datetime as dt
import math
from email.utils import parsedate_to_datetime


def parse_retry_after(text: str | None, now: dt.datetime | None = None, *, longest: float = math.inf) -> float | None:
    """Seconds that the server asks to wait.

    Args:
        text: The header: a number of seconds (some servers send fractions) or a date; None if there is no header.
        now: The present time, with a time zone; without it a date can't be evaluated.
        longest: Cap in seconds.

    Returns:
        0 … `longest`; None if there is no header or it is not valid.
    """
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan if now is None else _seconds_until(text, now)
    return min(max(0.0, seconds), longest) if math.isfinite(seconds) else None


def _seconds_until(date: str, now: dt.datetime) -> float:
    """Seconds until a date; NaN if the text is not a date."""
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return math.nan
    # "-0000" is parsed to a time without a zone; it is UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() - now.timestamp()
