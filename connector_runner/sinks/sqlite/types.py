"""How values are stored in SQLite, as INTEGER, REAL, TEXT or BLOB: each value exact, or refused.

SQLite turns NaN into NULL, a long integer into an approximate REAL, and has no types for times; so values without an exact form
are stored as TEXT, in a form that is equal for equal values and sorts like them where possible.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.datasets.row_dialect import Convert
from connector_runner.protocols.types import Kind
from connector_runner.schemas.datasets.sqlite import SQLITE

# Kind → declared type.
TYPES = {Kind(kind): stored.type for kind, stored in SQLITE.types.items()}

# Type changes that lose nothing; False: done by rewriting the column.
WIDENS: dict[tuple[str, str], bool] = {("INTEGER", "TEXT"): False}


def affinity(declared: str) -> str:
    """The affinity of a declared type (https://www.sqlite.org/datatype3.html#determination_of_column_affinity)."""
    upper = declared.upper()
    if "INT" in upper:
        return "INTEGER"
    if any(part in upper for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in upper or not upper:
        return "BLOB"
    return "REAL" if any(part in upper for part in ("REAL", "FLOA", "DOUB")) else "NUMERIC"


def decimal_text(value: Decimal) -> str:
    """All digits, without an exponent unless the text would be extremely long."""
    exponent = value.as_tuple().exponent
    return format(value, "f") if isinstance(exponent, int) and -20_000 <= exponent <= 0 else str(value)


def canonical_decimal(value: Decimal) -> str:
    """The same text for all equal decimals."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):  # NaN, infinities
        return str(value)
    text = "".join(map(str, digits)).lstrip("0")
    if not text:
        return "0"
    significant = text.rstrip("0")
    power = exponent + len(text) - len(significant)
    if not -20_000 <= power <= 20_000:
        return f"{'-' * sign}{significant}E{power:+d}"
    if power >= 0:
        return "-" * sign + significant + "0" * power
    padded = significant.rjust(1 - power, "0")
    return f"{'-' * sign}{padded[:power]}.{padded[power:]}"


def _timestamp(value: Any) -> Any:
    return value if isinstance(value, str) else value.isoformat("T", "microseconds")


def _timestamptz(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if value.utcoffset():
        value = value.astimezone(dt.UTC)
    return value.isoformat("T", "microseconds")[:26] + "Z"


def _float(value: float) -> float:
    if value != value:
        raise RefusedError("NaN: SQLite would store NULL")
    return value


def _plain_date(value: Any) -> Any:
    return value if isinstance(value, str) else value.isoformat()


CONVERT: dict[Kind, Convert] = {
    Kind.UINT64: str,
    Kind.INT256: str,
    Kind.DECIMAL: decimal_text,
    Kind.FLOAT32: _float,
    Kind.FLOAT64: _float,
    Kind.DATE: _plain_date,
    Kind.TIME: lambda value: value.isoformat("microseconds"),
    Kind.TIMESTAMP: _timestamp,
    Kind.TIMESTAMPTZ: _timestamptz,
}
# Equal numbers are the same key.
CONVERT_KEY: dict[Kind, Convert] = {Kind.DECIMAL: canonical_decimal}
