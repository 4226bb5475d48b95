"""The ledger as the properties of a table: each commit replaces them with a snapshot of its own, and fails if anybody was faster.

A snapshot is what others' commits are compared with; the properties survive every expiry and compaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError
from pyiceberg.table import Table as IcebergTable

from connector_runner.datasets.columnar.tables import Rows
from connector_runner.datasets.names import CHECKPOINTS
from connector_runner.protocols.errors import TransientError
from connector_runner.sinks.iceberg.commits import SETTINGS, OneCommit, restore_fence
from connector_runner.sinks.iceberg.data_files import remove_files
from connector_runner.sinks.iceberg.errors import OVERTAKEN
from connector_runner.sinks.iceberg.expiry import old_snapshots
from connector_runner.sinks.iceberg.types import build_schema

ROWS, PENDING = "connector-runner.ledger", "connector-runner.pending"
"""Properties: all rows as JSON; what each connector has decided and is being carried out."""
NOTE = pa.schema([pa.field("see_the_properties_of_this_table", pa.string())])
"""A table must have a column."""
KEEP = 2
"""Old states of the ledger are of no use to anybody."""


class LedgerTable:
    """See `columnar.tables.LedgerTable`.

    Args:
        catalog: The catalogue; None if it does not exist.
        namespace: Of the ledger and the tables.
    """

    def __init__(self, catalog: Catalog | None, namespace: tuple[str, ...]) -> None:
        self._catalog = catalog
        self._identifier = (*namespace, CHECKPOINTS)
        self._table: IcebergTable | None = None

    def create(self) -> None:
        """Makes sure that it exists."""
        if self._table is None and self._catalog is not None:
            with suppress(TableAlreadyExistsError):
                self._table = self._catalog.create_table(self._identifier, build_schema(NOTE), properties=SETTINGS)

    def load(self) -> IcebergTable:
        """Its table, as it is now; makes it if it is missing.

        Raises:
            TransientError: It is gone again.
        """
        self.create()
        if self._catalog is None:
            raise TransientError("there is no catalogue", reason="DatasetUnavailable")
        try:
            table = self._catalog.load_table(self._identifier)
            return self._catalog.load_table(self._identifier) if restore_fence(table) else table
        except NoSuchTableError:
            raise TransientError("the ledger's table is gone", reason="DatasetUnavailable") from None

    def read(self) -> tuple[Rows, Mapping[str, str]]:
        """All rows by key; connector → its intents, as JSON."""
        if self._catalog is None:
            return {}, {}
        try:
            self._table = self._catalog.load_table(self._identifier)
        except NoSuchTableError:
            self._table = None
            return {}, {}
        properties = self._table.metadata.properties
        listed: list[list[Any]] = json.loads(properties.get(ROWS, "[]"))
        rows: Rows = {(row[0], row[1], row[2]): tuple(row) for row in listed}
        return rows, json.loads(properties.get(PENDING, "{}"))

    def commit(self, rows: Rows, pending: Mapping[str, str]) -> bool:
        """Replaces what was read last; returns whether nobody else has committed since."""
        table = self._table
        if table is None or restore_fence(table):
            return False
        old = old_snapshots(table, KEEP)
        commit = OneCommit(table)
        try:
            commit.update_snapshot().fast_append().commit()
        except FileNotFoundError:  # others have committed so often that the state which was read is gone
            return False
        if old:
            commit.forget([each.snapshot_id for each in old])
        left = {connector: text for connector, text in pending.items() if text}
        commit.set_properties({ROWS: json.dumps([rows[key] for key in sorted(rows)]), PENDING: json.dumps(left)})
        try:
            commit.commit_transaction()
        except OVERTAKEN:
            return False
        remove_files(table.io, [each.manifest_list for each in old])
        return True
