#!/usr/bin/env bash
# deltalake 1.6.6 and pyiceberg 0.12.0: a table made from a uint32 column has a signed column of 32 bits, and fails at the first value over 2^31.
#
# Neither Delta nor Iceberg has unsigned types. One would guess that a table made from an Arrow schema gets the next wider signed type (long for
# uint32), as both formats have one, or that the schema is refused. Both take the same width: the table is made, small values work for
# as long as there are small values, and the first one of the upper half ends an append with "Can't cast value" (deltalake) or struct.error
# "'i' format requires" (pyiceberg, no column named). Delta does so with uint8 and uint16, too; pyiceberg has int for them. Widen the columns first.
#
# Seen with deltalake 1.6.6, pyiceberg 0.12.0 and pyarrow 26.0.1. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check deltalake==1.6.6 'pyiceberg[sql-sqlite]==0.12.0' pyarrow==26.0.1
"$home/venv/bin/python" - "$home" << 'PYTHON'
import struct
import sys
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from pyiceberg.catalog.sql import SqlCatalog

home = Path(sys.argv[1])
(home / "warehouse").mkdir()
catalog = SqlCatalog("c", uri=f"sqlite:///{home}/catalog.db", warehouse=f"file://{home}/warehouse")
catalog.create_namespace("n")


def delta(rows):
    path = str(home / str(rows.schema.field("v").type))
    write_deltalake(path, rows, mode="append")
    return DeltaTable(path).schema().fields[0].type.type


def iceberg(rows):
    name = f"n.{rows.schema.field('v').type}"
    table = catalog.create_table_if_not_exists(name, schema=rows.schema)
    table.append(rows)
    return str(catalog.load_table(name).schema().fields[0].field_type)


for write, type_, expected in (
    (delta, pa.uint8(), "byte"),
    (delta, pa.uint16(), "short"),
    (delta, pa.uint32(), "integer"),
    (iceberg, pa.uint8(), "int"),
    (iceberg, pa.uint16(), "int"),
    (iceberg, pa.uint32(), "int"),
):
    small, large = (pa.table({"v": pa.array([value], type_)}) for value in (1, 2**type_.bit_width - 1))
    found = write(small)
    try:
        write(large)
        met = "done"
    except (DeltaError, struct.error) as error:
        met = f"{type(error).__name__}: {error}"
    print(f"{write.__name__} {type_}: {found}; {large['v'][0]}: {met}")
    assert found == expected, "another type now"
    assert (met == "done") == (write is iceberg and type_ != pa.uint32()), "that has changed"
PYTHON
