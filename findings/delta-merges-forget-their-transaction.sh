#!/usr/bin/env bash
# deltalake 1.6.6: a merge that changes no row writes no commit, so the application transaction that it carries is lost without an error.
#
# Delta's application transactions (txn: appId and version) are there so that a writer can see after a restart what it has committed. A
# writer that passes one with each merge, and trusts transaction_version afterwards, repeats the last step for ever when that step
# changed nothing: execute() returns as after any other merge, the table has no new version, and transaction_version says the older one.
# An append of no rows with the same properties does write a commit. And a lower version than the recorded one is taken without an error:
# the version goes down, so it is no fence either.
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
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

path = sys.argv[1]
row = pa.table({"k": [1], "v": ["first"]})


def carrying(version):
    return CommitProperties(app_transactions=[Transaction("writer", version)])


def seen():
    table = DeltaTable(path)
    return table.version(), table.transaction_version("writer")


write_deltalake(path, row, commit_properties=carrying(1))
assert seen() == (0, 1), seen()

merge = DeltaTable(path).merge(row, "t.k = s.k", source_alias="s", target_alias="t", commit_properties=carrying(2))
result = merge.when_not_matched_insert_all().execute()  # the row is there already
print("a merge without changes, transaction 2:", result["num_target_rows_inserted"], "rows; version, transaction:", seen())
assert seen() == (0, 1), f"it commits now: {seen()}"

write_deltalake(path, row.slice(0, 0), mode="append", commit_properties=carrying(2))
print("an append without rows, transaction 2: version, transaction:", seen())
assert seen() == (1, 2), seen()

write_deltalake(path, row.slice(0, 0), mode="append", commit_properties=carrying(1))
print("an append with the lower transaction 1: version, transaction:", seen())
assert seen() == (2, 1), f"a lower version is refused or ignored now: {seen()}"
PYTHON
