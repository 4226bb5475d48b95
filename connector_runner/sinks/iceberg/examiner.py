"""Looks at Iceberg tables as a run would find them, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from connector_runner.datasets.columnar.inspector import LakeInspector
from connector_runner.datasets.examining import DATASET, Fit, examine, require_fitting_columns
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.procedure import Procedure, run
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.protocols.check import Check, failed, ok, unknown
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.iceberg.catalog import FILE
from connector_runner.sinks.iceberg.database import build_database
from connector_runner.sinks.iceberg.files import local_path
from connector_runner.sinks.iceberg.fitting import plan_table
from connector_runner.sinks.iceberg.tables import Table


class CatalogExaminer(LakeInspector):
    """See `Examiner`."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._append = context.write_mode is WriteMode.APPEND
        self._catalogue = build_database(context)
        super().__init__(context, self._catalogue)

    def examine(self, schemas: Mapping[str, StreamSchema]) -> Sequence[Check]:
        """See `Examiner.examine`."""
        connection = self._reload()
        with self._catalogue.explained():
            return run(connection, examine(self._ledger, self._context, schemas, self._fit, self._rights))

    def _fit(self, stream: StreamLedger, schema: StreamSchema, own: bool) -> Procedure[Fit]:
        yield from ()
        require_fitting_columns(
            schema, append=self._append, is_case_sensitive=self._catalogue.dialect.is_case_sensitive
        )
        names = stream.names
        table = self._catalogue.table(names.table)
        alteration, _ = plan_table(table, schema, self._catalogue.partitions, append=self._append, own=own)
        if alteration is None:
            text = f"table {names.text} does not exist and will be made"
            return Fit(ok(DATASET, "table", text, stream.stream), is_new=True)
        changes = [f"column {name} will be added" for name in alteration.added]
        changes += [f"column {name} will be widened" for name in alteration.widened]
        text = "; ".join([f"table {names.text} fits", *changes])
        return Fit(ok(DATASET, "table", text, stream.stream), alteration=alteration)

    def _rights(self, ledger: Ledger, fits: Mapping[str, Fit]) -> Procedure[Sequence[Check]]:
        yield from ()
        folder = self._catalogue.folder
        if folder is None:
            text = "the catalogue answers and takes the credentials; whether they may make and alter tables is found out by the first run"
            return [unknown(DATASET, "rights", text)]
        tables = [self._catalogue.table(ledger.streams[stream].names.table) for stream in fits]
        return list(_folder_rights(folder, [table for table in tables if table.exists]))


def _folder_rights(root: Path, tables: Sequence[Table]) -> Iterator[Check]:
    """Whether this user may write into the folder, the catalogue's file and the folders of tables that exist."""
    homes = [path for table in tables if (path := local_path(table.iceberg.location())) is not None]
    wanted = [root if root.is_dir() else root.parent, *(path for path in (root / FILE, *homes) if path.exists())]
    lacking = [str(path) for path in wanted if not os.access(path, os.R_OK | os.W_OK | (os.X_OK * path.is_dir()))]
    if lacking:
        yield failed(DATASET, "rights", ActionRequiredError(
            f"this user may not write into {', '.join(lacking)}; the runner must be allowed to (fsGroup of the pod's volume)",
            reason="InvalidDataset"))  # fmt: skip
    else:
        yield ok(DATASET, "rights", f"this user may write into {wanted[0]}")
