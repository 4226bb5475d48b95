"""The ledger as a Delta table of its own: the rows of the checkpoint table of all connectors, and what they have decided for their tables.

Each commit replaces all rows, and fails if anybody has committed since they were read: that is the fence.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pyarrow as pa
from deltalake import write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from connector_runner.datasets.columnar.tables import Rows
from connector_runner.datasets.fencing import COLUMNS
from connector_runner.datasets.names import CHECKPOINTS
from connector_runner.sinks.delta.commits import commit_once
from connector_runner.sinks.delta.store import Store
from connector_runner.sinks.delta.tables import Table

_WHOLE = {"epoch", "number", "run"}
SCHEMA = pa.schema(
    [*((name, pa.int64() if name in _WHOLE else pa.string()) for name in COLUMNS), ("pending", pa.string())]
)
# Old versions of the ledger are of no use to anybody.
SETTINGS = {"delta.logRetentionDuration": "interval 1 days", "delta.checkpointInterval": "50"}
VACUUM_EVERY = 200
VACUUM_HOURS = 1


class LedgerTable:
    """The ledger in a folder of tables.

    Args:
        store: Where the dataset is.
    """

    def __init__(self, store: Store) -> None:
        self._table = Table(store, CHECKPOINTS)
        self._version = -1
        self._rows: Rows = {}
        self._pending: dict[str, str] = {}

    def create(self) -> None:
        """Makes sure that it exists."""
        self._table.create(SCHEMA, "", settings=SETTINGS)

    def read(self) -> tuple[Rows, Mapping[str, str]]:
        """All rows by key; connector → its intents, as JSON."""
        if not self._table.exists:
            return {}, {}
        delta = self._table.refresh()
        if delta.version() != self._version:
            self._rows, self._pending = {}, {}
            for row in self._table.read().to_pylist():
                if pending := row.pop("pending"):
                    self._pending[row["connector"]] = pending
                values = tuple(row[name] for name in COLUMNS)
                self._rows[values[:3]] = values
            self._version = delta.version()
        return dict(self._rows), dict(self._pending)

    def commit(self, rows: Rows, pending: Mapping[str, str]) -> bool:
        """Replaces what was read last; returns whether nobody else has committed since."""
        left = dict(pending)
        listed = [
            {**dict(zip(COLUMNS, rows[key], strict=True)), "pending": left.pop(key[0], None)} for key in sorted(rows)
        ]
        data = pa.Table.from_pylist(listed, SCHEMA)
        try:
            write_deltalake(self._table.delta, data, mode="overwrite", commit_properties=commit_once(""))
        except CommitFailedError:
            return False
        self._table.make_durable(self._version + 1)
        self._rows, self._pending, self._version = dict(rows), dict(pending), self._version + 1
        if self._version % VACUUM_EVERY == 0:
            with suppress(OSError, DeltaError):  # it is committed all the same
                self._table.refresh().vacuum(VACUUM_HOURS, dry_run=False, enforce_retention_duration=False)
                self._version = -1
        return True
