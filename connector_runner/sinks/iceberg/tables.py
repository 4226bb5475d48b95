"""Iceberg tables through pyiceberg: opened, made, altered, read, committed to. A commit is tried once, from the state that was read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.intents import Intent, decode_intents
from connector_runner.datasets.columnar.staging_folder import StagingFolder
from connector_runner.datasets.columnar.tables import Entry, table_gone
from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import TransientError
from connector_runner.schemas.datasets.partitions import Partitions
from connector_runner.sinks.iceberg.commits import SETTINGS, OneCommit, restore_fence
from connector_runner.sinks.iceberg.compaction import Compaction
from connector_runner.sinks.iceberg.data_files import remove_files, write_data_files
from connector_runner.sinks.iceberg.errors import OVERTAKEN
from connector_runner.sinks.iceberg.expiry import Manifests, expire
from connector_runner.sinks.iceberg.merging import as_now, merged_rows, merged_schema, plan_merge
from connector_runner.sinks.iceberg.partitions import build_spec
from connector_runner.sinks.iceberg.placing import Placing
from connector_runner.sinks.iceberg.reading import last_number, newest_rows, read_entries
from connector_runner.sinks.iceberg.rows import decode_tables, encode_tables, prefix_tables
from connector_runner.sinks.iceberg.types import build_schema, numbered

STAGED_SECONDS = 24 * 3600.0
"""What a killed runner has staged is removed after this time."""
TRANSACTION, RECORD = "connector-runner.transaction.", "connector-runner.record."
"""Properties of a table, followed by the application: its last transaction; who wrote it, and the position after it."""
KEY = "connector-runner.key"
TRIES = 50


class Table:
    """One table.

    Args:
        catalog: The catalogue; None if it does not exist.
        identifier: Namespace and name.
        placing: Where files are staged.
        keep_snapshots: How many snapshots stay readable; 0 for all.
        target_bytes: The size of files that are written again.
        compact_seconds: How long small files stay; 0 for ever.
        pending: Reads what each connector has decided and is being carried out, as the ledger has it now.
    """

    def __init__(
        self,
        catalog: Catalog | None,
        identifier: tuple[str, ...],
        placing: Placing,
        keep_snapshots: int,
        target_bytes: int,
        compact_seconds: float,
        pending: Callable[[], Mapping[str, str]],
    ) -> None:
        self.name = identifier[-1]
        self._catalog = catalog
        self._identifier = identifier
        self._placing = placing
        self._keep = keep_snapshots
        self._target_bytes = target_bytes
        self._compaction = Compaction(compact_seconds, target_bytes)
        self._pending = pending
        self._manifests = Manifests()
        self._iceberg: IcebergTable | None = None
        self._next_number: dict[str, int] = {}

    @property
    def exists(self) -> bool:
        """Whether it exists; also opens it."""
        if self._iceberg is None and self._catalog is not None:
            with suppress(NoSuchTableError):
                self._iceberg = self._catalog.load_table(self._identifier)
        return self._iceberg is not None

    @property
    def iceberg(self) -> IcebergTable:
        """The table as it was read last.

        Raises:
            ActionRequiredError: It is gone.
        """
        if not self.exists or self._iceberg is None:
            raise table_gone(".".join(self._identifier))
        return self._iceberg

    @property
    def staging(self) -> StagingFolder:
        """Where its files are staged."""
        return self._placing.staging(self.iceberg)

    @property
    def settings(self) -> Mapping[str, str]:
        """Its properties."""
        return self.iceberg.metadata.properties

    def refresh(self) -> IcebergTable:
        """See `columnar.tables.Table.refresh`."""
        try:
            return self.iceberg.refresh()
        except NoSuchTableError:
            self._iceberg = None
            raise table_gone(".".join(self._identifier)) from None

    def create(self, schema: pa.Schema, record: str, key: Sequence[str] = (), partitions: Partitions = ()) -> bool:
        """Creates it if it is missing; returns whether this call has done so."""
        del record
        if self.exists or self._catalog is None:
            return False
        wanted = build_schema(schema)
        try:
            self._iceberg = self._catalog.create_table(
                self._identifier,
                wanted,
                partition_spec=build_spec(wanted, partitions),
                properties={**SETTINGS, KEY: json.dumps(list(key))},
            )
        except TableAlreadyExistsError:  # somebody else was faster
            return False
        return True

    def require_fence(self) -> None:
        """See `restore_fence`."""
        if restore_fence(self.iceberg):
            self.refresh()

    def parts(self, rows: pa.Table) -> Iterable[tuple[str, pa.Table]]:
        """See `columnar.tables.Table.parts`; a staged file is cut when it is committed."""
        return [("", rows)]

    def require_storable(self, arrays: Mapping[str, pa.Array]) -> None:
        """See `columnar.tables.Table.require_storable`: it holds every value."""

    def file_schema(self, schema: pa.Schema) -> pa.Schema:
        """See `columnar.tables.Table.file_schema`."""
        return numbered(schema, self.iceberg.schema())

    # reading

    def transaction(self, app: str) -> int:
        """See `columnar.tables.Table.transaction`."""
        return int(self.settings.get(TRANSACTION + app, "0"))

    def take_numbers(self, column: str, count: int) -> int:
        """See `columnar.tables.Table.take_numbers`."""
        if column not in self._next_number:
            self._next_number[column] = last_number(self.refresh(), column) + 1
        first = self._next_number[column]
        self._next_number[column] = first + count
        return first

    def removal(self, columns: Columns, prefixes: Sequence[Row]) -> str:
        """See `columnar.tables.Table.removal`."""
        return encode_tables(prefix_tables(columns, prefixes))

    def entries(self, columns: Columns, owner: Sequence[str], prefixes: Sequence[Row]) -> Sequence[Entry]:
        """See `columnar.tables.Table.entries`."""
        return read_entries(self.iceberg, columns, owner, prefixes)

    def newest(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """See `columnar.tables.Table.newest`; of a state, the rows of the newest files."""
        return newest_rows(self.iceberg, limit)

    # committing

    def carry_out(self, intent: Intent) -> None:
        """See `columnar.tables.Table.carry_out`."""
        for _ in range(TRIES):
            self.refresh()
            if self.transaction(intent.app) >= intent.version:
                return
            with suppress(*OVERTAKEN):
                self.require_fence()
                try:
                    self._carry_out(intent)
                except FileNotFoundError as error:
                    self._require_staged(intent, error)
                    return  # another runner has carried it out meanwhile, and needs the file no more
                self._compaction.compact(self.iceberg, time.time())
                expire(self.iceberg, self._keep, intent.version, self._manifests)
                return
        raise TransientError(
            f"the table {self.name} was changed by others {TRIES} times while a commit was tried",
            reason="DatasetUnavailable",
        )

    def _require_staged(self, intent: Intent, error: FileNotFoundError) -> None:
        """Raises what it means that a file is not there, if the intent was not carried out by now."""
        self.refresh()
        if self.transaction(intent.app) >= intent.version:
            return
        names = [name for name in (*intent.files, intent.changes) if name and name in str(error)]
        raise self.staging.gone(names[0], f"the table {self.name}") if names else error

    def _carry_out(self, intent: Intent) -> None:
        table, written = self.iceberg, list[DataFile]()
        commit = OneCommit(table)
        try:
            replaced: list[DataFile] = []
            if intent.changes:
                replaced, written = self._merge(intent)
            split, adopted = self._placing.adopt(table, intent.files, self._target_bytes)
            written += split
            update = commit.update_snapshot()
            producer = update.overwrite() if replaced else update.merge_append()
            for file in replaced:
                producer.delete_data_file(file)
            for file in [*written, *adopted]:
                producer.append_data_file(file)
            producer.commit()
            # Last, so that the metadata is not read again for the snapshot. They are in the same commit all the same.
            commit.set_properties({TRANSACTION + intent.app: str(intent.version), RECORD + intent.app: intent.record})
            commit.commit_transaction()
        except OVERTAKEN:
            remove_files(table.io, [file.file_path for file in written])
            raise
        if split:
            self.remove_staged(intent.files)

    def _merge(self, intent: Intent) -> tuple[list[DataFile], list[DataFile]]:
        table = self.iceberg
        with self.staging.open(intent.changes) as file:
            staged = pq.read_table(file)
        changes, key, removed = as_now(staged, intent.key, decode_tables(intent.removed), table.schema())
        merge = plan_merge(table, changes, key, removed)
        rows = merged_rows(table, changes, key, merge)
        arrow = merged_schema(table, changes.schema)
        return merge.replaced, write_data_files(table.io, table.metadata, rows, arrow, self._target_bytes)

    def remove_staged(self, names: Sequence[str]) -> None:
        """See `columnar.tables.Table.remove_staged`."""
        for name in names:
            self.staging.remove(name)

    def remove_old_staged(self, apps: Collection[str]) -> int:
        """See `columnar.tables.Table.remove_old_staged`."""
        if not self.exists:
            return 0
        old = [name for name, written in self.staging.staged(apps) if time.time() - written > STAGED_SECONDS]
        if not old:
            return 0
        # Read after the list: what was decided before is in it, or was carried out and has left the folder.
        decided = [intent for text in self._pending().values() for intent in decode_intents(text)]
        needed = {name for intent in decided for name in (*intent.files, intent.changes)}
        gone = [name for name in old if name not in needed]
        self.remove_staged(gone)
        return len(gone)
