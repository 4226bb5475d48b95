"""Looks at Delta tables as a run would find them, and changes nothing."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from connector_runner.datasets.columnar.inspector import LakeInspector
from connector_runner.datasets.columnar.s3.bucket import Bucket
from connector_runner.datasets.columnar.s3.client import request
from connector_runner.datasets.examining import DATASET, Fit, examine, require_fitting_columns
from connector_runner.datasets.ledger import Ledger
from connector_runner.datasets.names import CHECKPOINTS
from connector_runner.datasets.procedure import Procedure, run
from connector_runner.datasets.stream_ledger import StreamLedger
from connector_runner.protocols.check import Check, failed, ok, unknown
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.sinks.delta.database import LakeFolder, build_folder
from connector_runner.sinks.delta.fitting import plan_table
from connector_runner.sinks.delta.proof import PROBE, require_refused
from connector_runner.sinks.delta.store import Store


class LakeExaminer(LakeInspector):
    """See `Examiner`."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._append = context.write_mode is WriteMode.APPEND
        self._folder: LakeFolder = build_folder(context)
        super().__init__(context, self._folder)

    def examine(self, schemas: Mapping[str, StreamSchema]) -> Sequence[Check]:
        """See `Examiner.examine`."""
        connection = self._reload()
        with self._folder.explained():
            return run(connection, examine(self._ledger, self._context, schemas, self._fit, self._rights))

    def _fit(self, stream: StreamLedger, schema: StreamSchema, own: bool) -> Procedure[Fit]:
        yield from ()
        require_fitting_columns(schema, append=self._append, is_case_sensitive=self._folder.dialect.is_case_sensitive)
        names = stream.names
        table = self._folder.table(names.table)
        alteration, _ = plan_table(table, schema, self._folder.partitions, append=self._append, own=own)
        if alteration is None:
            text = f"table {names.text} does not exist and will be made"
            return Fit(ok(DATASET, "table", text, stream.stream), is_new=True)
        changes = [f"column {name} will be added" for name in alteration.added]
        text = "; ".join([f"table {names.text} fits", *changes])
        return Fit(ok(DATASET, "table", text, stream.stream), alteration=alteration)

    def _rights(self, ledger: Ledger, fits: Mapping[str, Fit]) -> Procedure[Sequence[Check]]:
        yield from ()
        store = self._folder.store
        tables = [ledger.streams[stream].names.table for stream in fits]
        return (
            list(folder_rights(store, tables))
            if store.bucket is None
            else [store_rights(store.bucket, dt.datetime.now(dt.UTC))]
        )


def folder_rights(store: Store, tables: Sequence[str]) -> Iterator[Check]:
    """Whether this user may write into the folder and into those of the tables that exist."""
    root = Path(store.base)
    wanted = [root if root.is_dir() else root.parent]
    for name in (CHECKPOINTS, *tables):
        wanted += [path for path in (root / name, root / name / "_delta_log") if path.is_dir()]
    if lacking := [str(path) for path in wanted if not os.access(path, os.R_OK | os.W_OK | os.X_OK)]:
        yield failed(DATASET, "rights", ActionRequiredError(
            f"this user may not write into {', '.join(lacking)}; the runner must be allowed to (fsGroup of the pod's volume)",
            reason="InvalidDataset"))  # fmt: skip
    else:
        yield ok(DATASET, "rights", f"this user may write into {wanted[0]}")


def store_rights(bucket: Bucket, now: dt.datetime) -> Check:
    """Whether the keys may write: asked by a write that the store must refuse, because the object is there."""
    try:
        if request(bucket, "HEAD", PROBE, now).status != 200:
            return unknown(DATASET, "rights", f"whether these keys may write to {bucket.where} can't be said before the first run, "
                           f"which writes {PROBE}; they may read it")  # fmt: skip
        require_refused(bucket, now)
    except ConnectorError as error:
        return failed(DATASET, "rights", error)
    return ok(
        DATASET, "rights", f"these keys may write to {bucket.where}, and the store replaces nothing that must stay"
    )
