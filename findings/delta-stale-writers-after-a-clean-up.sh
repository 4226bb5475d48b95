#!/usr/bin/env bash
# deltalake 1.6.6: once the log was cleaned up, a stale writer's append ends with "Invalid table version", and no longer goes through.
#
# Appends do not conflict with each other: written through a DeltaTable that is older than the table, rows are put after what others committed
# meanwhile, however many commits that are. So one would guess that it works at any age, or that what is too old is a CommitFailedError (the class for
# conflicts), as that is what a writer catches to refresh and try again. cleanup_metadata() removes log files that a checkpoint has replaced.
# After that the append of an object from before it is a plain DeltaError that names the version as invalid, though nothing is wrong with
# the table: update_incremental(), or opening the table anew, and the same append works. Writers that hold a table object for long meet it.
#
# Seen with deltalake 1.6.6 and pyarrow 26.0.1. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1
"$home/venv/bin/python" - "$home/table" << 'PYTHON'
import sys

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

path = sys.argv[1]
row = pa.table({"k": [1]})
write_deltalake(path, row, configuration={"delta.logRetentionDuration": "interval 0 days"})
stale, staler = DeltaTable(path), DeltaTable(path)
for _ in range(12):
    write_deltalake(path, row, mode="append")

write_deltalake(stale, row, mode="append")
print("twelve commits later, the log whole: the append is version", DeltaTable(path).version())
assert DeltaTable(path).version() == 13

others = DeltaTable(path)
others.create_checkpoint()
others.cleanup_metadata()
assert DeltaTable(path).to_pyarrow_table().num_rows == 14, "the table lost rows"
try:
    write_deltalake(staler, row, mode="append")
    raise SystemExit("it goes through now")
except DeltaError as error:
    print(f"the log cleaned up: {type(error).__name__}: {error}")
    assert not isinstance(error, CommitFailedError) and "Invalid table version" in str(error), "another error now"

staler.update_incremental()
write_deltalake(staler, row, mode="append")
print("after update_incremental(): the append is version", DeltaTable(path).version())
assert DeltaTable(path).version() == 14
PYTHON
