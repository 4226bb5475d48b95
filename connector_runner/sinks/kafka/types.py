"""Values as JSON: each exact, or refused. Pure.

msgspec writes the other kinds exactly as they are: whole numbers to 64 bits, text, times as ISO text, bytes in base64.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.protocols.types import Kind

ConvertColumn = Callable[[Sequence[Any]], Sequence[Any]]
_INT64 = 2**63


def _given(values: Sequence[Any]) -> Sequence[Any]:
    return [value for value in values if value is not None] if None in values else values


def _int64(values: Sequence[Any]) -> Sequence[Any]:
    given = _given(values)
    if given and not (min(given) >= -_INT64 and max(given) < _INT64):
        raise RefusedError("a number that does not fit into 64 bits with a sign")
    return values


def _uint64(values: Sequence[Any]) -> Sequence[Any]:
    given = _given(values)
    if given and not (min(given) >= 0 and max(given) < 2 * _INT64):
        raise RefusedError("a number that does not fit into 64 bits without a sign")
    return values


def _floats(values: Sequence[Any]) -> Sequence[Any]:
    given = _given(values)
    if math.isfinite(sum(given)):  # the usual case, at once; a sum of large ones may be infinite too
        return values
    for value in given:
        if not math.isfinite(value):
            raise RefusedError(f"{value}: JSON has no such number")
    return values


def _key_floats(values: Sequence[Any]) -> Sequence[Any]:
    return [value + 0.0 if value is not None else None for value in _floats(values)]  # -0.0 and 0.0 are equal


def _each(convert: Callable[[Any], Any]) -> ConvertColumn:
    def convert_all(values: Sequence[Any]) -> Sequence[Any]:
        return [None if value is None else convert(value) for value in values]

    return convert_all


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _raw(text: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        try:  # a number may be too large for msgspec, and still be JSON
            json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise RefusedError("not a JSON text") from None
    return msgspec.Raw(text.encode())


def decimal_text(value: Decimal) -> str:
    """All digits, without an exponent unless the text would be extremely long."""
    exponent = value.as_tuple().exponent
    return format(value, "f") if isinstance(exponent, int) and -20_000 <= exponent <= 20_000 else str(value)


def canonical_decimal(value: Decimal) -> str:
    """The same text for all equal decimals, in a key."""
    if not value.is_finite():
        return str(value)
    text = decimal_text(value)
    if "." in text and "E" not in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", "0"} else text


CONVERT: dict[Kind, ConvertColumn] = {
    Kind.INT64: _int64,
    Kind.UINT64: _uint64,
    Kind.INT256: _each(str),
    Kind.DECIMAL: _each(decimal_text),
    Kind.FLOAT32: _floats,
    Kind.FLOAT64: _floats,
    Kind.JSON: _each(_raw),
}
"""Kind → converts the values of a column; kinds that need no conversion are left out."""
CONVERT_KEY: dict[Kind, ConvertColumn] = {
    **CONVERT, Kind.DECIMAL: _each(canonical_decimal), Kind.FLOAT32: _key_floats, Kind.FLOAT64: _key_floats,
}  # fmt: skip
"""The same for key columns."""
