#!/usr/bin/env bash
# pyarrow 26.0.1: the groups of Table.group_by do not come in the order of their first rows, with use_threads=False either.
#
# The documentation says of use_threads: "When set to True (the default), no stable ordering of the output is guaranteed", and all small
# examples come in order, so it is natural to sort rows by a key, group them on one thread, and take the counts of the groups as the ends
# of the runs of equal rows. Ten different whole numbers, or a hundred sorted texts, are enough to break that: what was counted belongs to
# other rows then, without an error. unique() and run_end_encode() keep the order.
#
# Seen with pyarrow 26.0.1. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$home/venv/bin/python" - << 'PYTHON'
import pyarrow as pa
import pyarrow.compute as pc

numbers = [140891, 596853, 888598, 841235, 800875, 66172, 267459, 123646, 519501, 797926]
groups = pa.table({"k": numbers}).group_by("k", use_threads=False).aggregate([([], "count_all")])["k"].to_pylist()
print("rows:  ", numbers)
print("groups:", groups)
assert sorted(groups) == sorted(numbers)
assert groups != numbers, "ten numbers come in order now"

texts = pa.table({"k": [f"{number:06}" for number in range(100)]})
found = texts.group_by("k", use_threads=False).aggregate([([], "count_all")])["k"].to_pylist()
print("100 sorted texts come in order:", found == texts["k"].to_pylist())
assert found != texts["k"].to_pylist()

assert pc.unique(texts["k"]).to_pylist() == texts["k"].to_pylist()
assert pc.run_end_encode(texts["k"].combine_chunks()).values.to_pylist() == texts["k"].to_pylist()
print("as described: unique() and run_end_encode() keep the order, group_by() does not")
PYTHON
