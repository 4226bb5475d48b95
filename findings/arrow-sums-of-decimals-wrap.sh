#!/usr/bin/env bash
# pyarrow 26.0.1: the sum of decimals with 38 digits wraps without an error, and the mean of two large positive numbers is negative.
#
# Of whole numbers one may expect it, as the compute functions have an unchecked and a checked form (add, add_checked). Decimals are taken
# for the safe choice: building, rescaling and casting them refuses to lose a digit, and add refuses a result that could have 39 digits. sum, mean
# and group_by().aggregate() count modulo 2^128 instead (decimal256: 2^256), give a number that their own type does not hold (39 digits),
# and there is no checked form of them. With fewer digits the result's type is wider (38 digits). DuckDB and polars raise an error at the same sum.
#
# Seen with pyarrow 26.0.1, DuckDB 2.0.1 and polars 2.1.0. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0
"$home/venv/bin/python" << 'PYTHON'
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

LARGEST = Decimal("9" * 38)
values = pa.array([LARGEST, LARGEST], pa.decimal128(38, 0))
rows = pa.table({"k": [1, 1], "v": values})


def wrapped(number, bits=128):
    return (number + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


total = pc.sum(values)
mean = pc.mean(values)
grouped = rows.group_by("k").aggregate([("v", "sum")])["v_sum"][0]
print("sum:      ", total.as_py(), total.type)
print("mean:     ", mean.as_py())
print("group_by: ", grouped.as_py())
assert int(total.as_py()) == int(grouped.as_py()) == wrapped(2 * int(LARGEST)) < 0, "the sum no longer wraps"
assert int(mean.as_py()) < 0, "the mean no longer wraps"

wide = [Decimal("9" * 76)] * 6
assert int(pc.sum(pa.array(wide, pa.decimal256(76, 0))).as_py()) == wrapped(sum(map(int, wide)), 256), "decimal256 no longer wraps"

# 19 digits and more room: right, as the type of the result is wider
assert pc.sum(pa.array([Decimal("9" * 19)] * 2, pa.decimal128(19, 0))).as_py() == 2 * Decimal("9" * 19)

connection = duckdb.connect()
connection.register("rows", rows)
for name, refuses in (
    ("add", lambda: pc.add(values, values)),
    ("DuckDB", lambda: connection.execute("SELECT sum(v) FROM rows").fetchall()),
    ("polars", lambda: pl.from_arrow(rows)["v"].sum()),
):
    try:
        result = refuses()
    except Exception as error:
        print(f"{name + ':':10} {type(error).__name__}: {str(error)[:70]}")
    else:
        raise SystemExit(f"{name} gives {result} now")
PYTHON
