"""Values in Avro's binary form, a column at a time: each exact, or refused. Pure."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable, Sequence
from decimal import Context, Decimal, Inexact
from typing import Any

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.protocols.types import Kind

Encode = Callable[[Sequence[Any]], list[bytes]]
"""Values of a column → their bytes."""
_INT64 = 2**63
_NULL, _GIVEN = b"\x00", b"\x02"
_given = _GIVEN.__add__
_DOUBLE, _FLOAT = struct.Struct("<d").pack, struct.Struct("<f").pack
_EPOCH = dt.datetime(1970, 1, 1)
_EPOCH_UTC = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST_DAY = _EPOCH.toordinal()
# A number goes out in groups of seven bits, lowest first; two groups are looked up at once.
_LAST = [bytes([low]) for low in range(128)] + [bytes([low & 127 | 128, low >> 7]) for low in range(128, 1 << 14)]
_MORE = [bytes([low & 127 | 128, low >> 7 | 128]) for low in range(1 << 14)]


def _unsigned(number: int) -> bytes:
    if number < 1 << 14:
        return _LAST[number]
    found = _MORE[number & 0x3FFF]
    number >>= 14
    while number >= 1 << 14:
        found += _MORE[number & 0x3FFF]
        number >>= 14
    return found + _LAST[number]


def text_bytes(text: str) -> bytes:
    """A text; raises UnicodeEncodeError for half a surrogate pair."""
    return byte_string(text.encode())


def byte_string(value: bytes) -> bytes:
    """Bytes, after their number."""
    return _unsigned(len(value) << 1) + value


def optional(encode: Encode) -> Encode:
    """The same for a column in which values may be missing."""

    def encode_all(values: Sequence[Any]) -> list[bytes]:
        if None not in values:
            return list(map(_given, encode(values)))
        given = iter(encode([value for value in values if value is not None]))
        return [_NULL if value is None else _GIVEN + next(given) for value in values]

    return encode_all


def decimals(precision: int, scale: int) -> Encode:
    """Encodes decimals as whole numbers of their last digit."""
    exact = Context(prec=precision, traps=[Inexact])
    last = Decimal(1).scaleb(-scale)

    def unscaled(value: Decimal) -> bytes:
        try:
            return _whole(int(value.quantize(last, context=exact).scaleb(scale, context=exact)))
        except (ArithmeticError, ValueError):
            raise RefusedError(f"{value} is no number of {precision} digits, {scale} of them after the point") from None

    return lambda values: [unscaled(value) for value in values]


def _whole(number: int) -> bytes:
    return byte_string(number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True))


def _longs(values: Sequence[Any]) -> list[bytes]:
    if values and not (min(values) >= -_INT64 and max(values) < _INT64):
        raise RefusedError("a number that does not fit into 64 bits with a sign")
    return [
        _LAST[value << 1 ^ value >> 63] if -8192 <= value < 8192 else _unsigned(value << 1 ^ value >> 63)
        for value in values
    ]


def _unsigned_longs(values: Sequence[Any]) -> list[bytes]:
    if values and not (min(values) >= 0 and max(values) < 2 * _INT64):
        raise RefusedError("a number that does not fit into 64 bits without a sign")
    return [_whole(value) for value in values]


def _texts(values: Sequence[Any]) -> list[bytes]:
    return _byte_strings([text.encode() for text in values])


def _byte_strings(values: Sequence[Any]) -> list[bytes]:
    # The table is asked here for the usual lengths: a call costs as much as all the rest.
    return [(_LAST[len(v) << 1] if len(v) < 1 << 13 else _unsigned(len(v) << 1)) + v for v in values]


def _time_of(convert: Callable[[Sequence[Any]], list[int]]) -> Encode:
    def encode(values: Sequence[Any]) -> list[bytes]:
        if str in set(map(type, values)):
            raise RefusedError("a time outside of the years 1 to 9999")
        return _longs(convert(values))

    return encode


def _micros_since(epoch: dt.datetime) -> Callable[[Sequence[Any]], list[int]]:
    def convert(times: Sequence[Any]) -> list[int]:
        spans = [time - epoch for time in times]
        return [(span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds for span in spans]

    return convert


def _micros_of_day(time: dt.time) -> int:
    return ((time.hour * 60 + time.minute) * 60 + time.second) * 1_000_000 + time.microsecond


ENCODE: dict[Kind, Encode] = {
    Kind.BOOL: lambda values: [b"\x01" if value else b"\x00" for value in values],
    Kind.INT64: _longs,
    Kind.UINT64: _unsigned_longs,
    Kind.INT256: _texts,
    Kind.DECIMAL: _texts,
    Kind.FLOAT32: lambda values: list(map(_FLOAT, values)),
    Kind.FLOAT64: lambda values: list(map(_DOUBLE, values)),
    Kind.STRING: _texts,
    Kind.BYTES: lambda values: _byte_strings(list(map(bytes, values))),
    Kind.DATE: _time_of(lambda days: [day.toordinal() - _FIRST_DAY for day in days]),
    Kind.TIME: _time_of(lambda times: list(map(_micros_of_day, times))),
    Kind.TIMESTAMP: _time_of(_micros_since(_EPOCH)),
    Kind.TIMESTAMPTZ: _time_of(_micros_since(_EPOCH_UTC)),
    Kind.JSON: _texts,
    Kind.UUID: _texts,
}
"""Kind → encodes the values of a column without those that are missing; texts for kinds that are written as text."""
