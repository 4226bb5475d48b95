#!/usr/bin/env bash
# deltalake 1.6.6: a table that was deleted under an open DeltaTable is refreshed without an error, and keeps its rows.
#
# One would guess that update_incremental() of a table whose folder is gone raises TableNotFoundError, as opening it does. It returns as if
# nobody had committed: version() and get_add_actions() still answer with what was read before. Only a read of a file, or a question that
# reads the log again (transaction_version), fails, with a DeltaError that a missing file in a table that exists has as well.
# A writer that waits for such errors to pass waits without end. What helps: open the table again by its path after a DeltaError.
#
# Seen with deltalake 1.6.6 and pyarrow 26.0.1. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1
"$home/venv/bin/python" - "$home/table" << 'PYTHON'
import shutil
import sys

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

path = sys.argv[1]
write_deltalake(path, pa.table({"a": [1]}))
table = DeltaTable(path)
write_deltalake(path, pa.table({"a": [2]}), mode="append")
table.update_incremental()
shutil.rmtree(path)

table.update_incremental()
files = pa.table(table.get_add_actions()).num_rows
print("refreshed without an error: version", table.version(), "with", files, "files")
assert (table.version(), files) == (1, 2)
try:
    table.transaction_version("app")
except TableNotFoundError:
    raise SystemExit("transaction_version says now that the table is gone") from None
except DeltaError as error:
    print("transaction_version:", type(error).__name__, str(error).replace(path, "TABLE"))
else:
    raise SystemExit("transaction_version answers now")
try:
    DeltaTable(path)
except TableNotFoundError:
    print("opened again: TableNotFoundError")
else:
    raise SystemExit("a folder that is gone can be opened now")
PYTHON
