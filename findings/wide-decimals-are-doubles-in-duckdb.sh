#!/usr/bin/env bash
# DuckDB 2.0.1: a Parquet column of decimals with more than 38 digits is read as DOUBLE, without a word; also a value that has three digits.
#
# DuckDB's own DECIMAL ends at 38 digits, so one would guess an error, as polars gives. The column becomes DOUBLE: 77 digits of 256-bit integers
# (what pyarrow writes as decimal256, and what amounts on blockchains need) come with 16 that are right, 0.10 is no decimal any more, and two
# different amounts can be equal in a join or a DISTINCT. DESCRIBE shows it, results don't.
#
# Seen with DuckDB 2.0.1, pyarrow 26.0.1 and polars 2.1.0. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0
"$home/venv/bin/python" - "$home/amounts.parquet" << 'PYTHON'
import sys
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

path = sys.argv[1]
amounts = [Decimal("0.10"), Decimal(10**30), Decimal(10**30 + 1)]


def write(type_):
    pq.write_table(pa.table({"amount": pa.array(amounts, type_)}), path)
    assert pq.read_table(path)["amount"].to_pylist() == amounts, "pyarrow does not read back what it wrote"


write(pa.decimal128(38, 2))
rows = duckdb.sql(f"SELECT amount FROM '{path}'")
print("38 digits:", rows.types, [str(amount) for (amount,) in rows.fetchall()])
assert rows.fetchall() == [(amount,) for amount in amounts], "they are read otherwise now"

write(pa.decimal256(39, 2))
rows = duckdb.sql(f"SELECT amount FROM '{path}'")
print("39 digits:", rows.types, [str(amount) for (amount,) in rows.fetchall()])
assert [str(type_) for type_ in rows.types] == ["DOUBLE"], "it is no DOUBLE any more"
[(distinct,)] = duckdb.sql(f"SELECT count(DISTINCT amount) FROM '{path}'").fetchall()
print("different amounts:", distinct, "of", len(set(amounts)))
assert distinct == 2, "they are told apart now"
try:
    raise SystemExit(f"polars reads {pl.read_parquet(path)} now")
except pl.exceptions.PolarsError as error:
    print("polars:", type(error).__name__, error)
PYTHON
