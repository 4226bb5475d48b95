#!/usr/bin/env bash
# pyarrow 26.0.1: pa.array(values, type) cuts fractions off without an error, with safe=True as well, where cast() refuses the same values.
#
# Its argument safe is documented as "Check for overflows or other unsafe conversions" and is on by default. It does refuse a whole number that
# a float can't hold, digits that a decimal has no room for, and numbers out of range, so one would guess that the rest is checked too. A float
# or a decimal for int64 loses what follows the point; a time, a timestamp or a duration for a coarser unit loses its fraction of a second. cast()
# of an array with the values' own type to the same type raises ArrowInvalid in each of these cases. So: build first, cast afterwards.
#
# Seen with pyarrow 26.0.1. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$home/venv/bin/python" << 'PYTHON'
from datetime import datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa

CUT = [
    (1.999, pa.int64(), 1),
    (Decimal("-1.5"), pa.int64(), -1),
    (time(1, 2, 3, 999999), pa.time32("s"), time(1, 2, 3)),
    (datetime(2026, 1, 1, 23, 59, 59, 999999), pa.timestamp("s"), datetime(2026, 1, 1, 23, 59, 59)),
    (timedelta(seconds=1, microseconds=999999), pa.duration("s"), timedelta(seconds=1)),
]
REFUSED = [
    (2**53 + 1, pa.float64()),
    (Decimal("1.25"), pa.decimal128(5, 1)),
    (2**31, pa.int32()),
]
for value, type_, expected in CUT:
    built = pa.array([value], type_, safe=True)[0].as_py()
    try:
        pa.array([value]).cast(type_)
        cast = "done"
    except pa.ArrowInvalid as error:
        cast = f"refused: {error}"
    print(f"{value!r} as {type_}: array gives {built!r}; cast {cast}")
    assert built == expected, "it is not cut any more"
    assert cast.startswith("refused"), "cast takes it now"
for value, type_ in REFUSED:
    try:
        raise SystemExit(f"{value!r} as {type_} is {pa.array([value], type_)} now")
    except pa.ArrowInvalid as error:
        print(f"{value!r} as {type_}: array refuses: {error}")
PYTHON
