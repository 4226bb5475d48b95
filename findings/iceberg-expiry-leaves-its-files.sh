#!/usr/bin/env bash
# pyiceberg 0.12.0: expire_snapshots() forgets old snapshots and removes none of their files.
#
# In Iceberg's Java library, and in Spark's procedure of the same name, expiring snapshots also deletes the data files, manifests and manifest
# lists that no kept snapshot needs. pyiceberg's table.maintenance.expire_snapshots() commits new metadata alone: the table has one snapshot
# afterwards and scans give the same rows, but every file of the forgotten snapshots is still there, and since no metadata names them any
# more, nothing that reads the table can find them. Who expires often to keep a table small lets the folder grow all the same.
#
# Seen with pyiceberg 0.12.0 and pyarrow 26.0.1: 19 snapshots, then 1; 10 data files, 19 manifests and 19 manifest lists, before and after;
# the snapshot that is kept needs one data file. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check 'pyiceberg[sql-sqlite]==0.12.0' pyarrow==26.0.1
"$home/venv/bin/python" - "$home" << 'PYTHON'
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

home = Path(sys.argv[1])
folder = home / "warehouse"
folder.mkdir()
catalog = SqlCatalog("c", uri=f"sqlite:///{home}/catalog.db", warehouse=f"file://{folder}")
catalog.create_namespace("n")
rows = pa.table({"k": [1, 2, 3]})
table = catalog.create_table("n.t", schema=rows.schema)
table.append(rows)
for _ in range(9):
    table.overwrite(rows)  # each replaces the rows of the one before


def files():
    kinds = {"parquet": "data files"}
    found = (file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(".json"))
    return Counter(
        kinds.get(file.suffix[1:]) or ("manifest lists" if file.name.startswith("snap-") else "manifests") for file in found
    )


before = files()
newest = table.current_snapshot().snapshot_id
old = [snapshot.snapshot_id for snapshot in table.snapshots() if snapshot.snapshot_id != newest]
table.maintenance.expire_snapshots().by_ids(old).commit()
table.refresh()
after = files()
print(f"{len(old) + 1} snapshots, then {len(table.snapshots())}; rows: {table.scan().to_arrow().num_rows}")
print("files before:", dict(sorted(before.items())))
print("files after: ", dict(sorted(after.items())))
needed = {task.file.file_path for task in table.scan().plan_files()}
print(f"the kept snapshot needs {len(needed)} of {after['data files']} data files")
assert len(table.snapshots()) == 1, table.snapshots()
assert after == before, "files are removed now"
PYTHON
