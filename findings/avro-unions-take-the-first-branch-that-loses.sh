#!/usr/bin/env bash
# fastavro 1.13.1: a value for a union goes into the first branch that can hold something like it, though a later branch holds it whole.
#
# A union is how Avro says "one of these types", so one would guess that the branch which fits is taken. With ["double", "long"] the integer
# 2^53 + 1 is written as the double 2^53. With [date, timestamp-micros] a datetime is written as its day: the time is gone, for Python's datetime
# is a date. With [timestamp-millis, timestamp-micros] the microseconds are. Nothing is raised, and validator=True finds nothing. Turn the
# branches round and all of it survives, so the order of a union is part of its meaning for a writer.
#
# Seen with fastavro 1.13.1. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check fastavro==1.13.1
"$home/venv/bin/python" << 'PYTHON'
import io
from datetime import UTC, date, datetime

import fastavro

DATE = {"type": "int", "logicalType": "date"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
moment = datetime(2026, 1, 1, 23, 59, 59, 999999, UTC)


def written_and_read(union, value):
    schema = {"type": "record", "name": "r", "fields": [{"name": "f", "type": union}]}
    file = io.BytesIO()
    fastavro.writer(file, schema, [{"f": value}], validator=True)
    file.seek(0)
    return next(fastavro.reader(file))["f"]


for union, value, expected in (
    (["double", "long"], 2**53 + 1, 2.0**53),
    ([DATE, MICROS], moment, date(2026, 1, 1)),
    ([MILLIS, MICROS], moment, moment.replace(microsecond=999000)),
):
    names = [branch if isinstance(branch, str) else branch["logicalType"] for branch in union]
    read, reverse = written_and_read(union, value), written_and_read(union[::-1], value)
    print(f"{value!r}\n    {names}: {read!r}\n    {names[::-1]}: {reverse!r}")
    assert read == expected and type(read) is type(expected), "another branch is taken now"
    assert reverse == value, "the other order loses something now"
PYTHON
