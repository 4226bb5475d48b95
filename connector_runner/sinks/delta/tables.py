"""Delta tables through deltalake: opened, made, altered, read, committed to. A commit is tried once, from the state that was read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.intents import Intent, named_files
from connector_runner.datasets.columnar.s3.upload import Upload
from connector_runner.datasets.columnar.staging_folder import StagingFolder, is_staged_by, sync
from connector_runner.datasets.columnar.tables import Entry, table_gone
from connector_runner.protocols.batch import Row
from connector_runner.protocols.errors import StagedFileGoneError, TransientError
from connector_runner.sinks.delta.commits import commit_once, make_durable
from connector_runner.sinks.delta.file_stats import read_stats
from connector_runner.sinks.delta.merging import merge
from connector_runner.sinks.delta.partitions import SETTING, Layout, read_layout
from connector_runner.sinks.delta.reading import newest_rows
from connector_runner.sinks.delta.rows import few, key_begins, quoted, select_entries
from connector_runner.sinks.delta.store import Store
from connector_runner.sinks.delta.upkeep import Keeper, Upkeep

STAGED = "_staged"
"""The folder in a table's folder for files that no commit names yet; readers and vacuum leave names with an underscore alone."""
STAGED_SECONDS = 24 * 3600.0  # what a killed runner left there is removed after this time
KEY = "connectorRunner.key"
TRIES = 50
UNPARTITIONED = Layout()
NONE: Mapping[str, str] = {}


class Table:
    """One table.

    Args:
        store: Where the dataset is.
        name: The table's own folder in it.
        upkeep: What is done between commits; None for nothing.
        pending: Reads what each connector has decided and is being carried out, as the ledger has it now.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        upkeep: Upkeep | None = None,
        pending: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.name = name
        self.uri = f"{store.uri}/{name}"
        self._store = store
        self.staging = StagingFolder(store.filesystem, store.path(name, STAGED))
        # An object can't be renamed; nobody sees it before it is complete, so it begins at its final place.
        if (bucket := store.bucket) is not None:
            self.staging = StagingFolder(store.filesystem, store.path(name), lambda path: Upload(bucket, path))
        self._pending = pending
        remove = None if store.is_local else self._remove_uploaded  # on a file system what was staged is elsewhere
        self._keeper = Keeper(upkeep, remove) if upkeep is not None else None
        self._delta: DeltaTable | None = None
        self._layout: Layout | None = None
        self._next_number: dict[str, int] = {}
        self._fenced: Collection[str] = ()

    @property
    def exists(self) -> bool:
        """Whether it exists; also opens it, or reads what was committed since."""
        if self._delta is None:
            with suppress(TableNotFoundError):
                self._delta = DeltaTable(self.uri, storage_options=self._options)
        return self._delta is not None

    @property
    def _options(self) -> dict[str, str] | None:
        return dict(self._store.options) or None

    @property
    def delta(self) -> DeltaTable:
        """The table as it was read last.

        Raises:
            ActionRequiredError: It is gone.
        """
        if not self.exists or self._delta is None:
            raise table_gone(self.uri)
        return self._delta

    def refresh(self) -> DeltaTable:
        """See `columnar.tables.Table.refresh`; a log that is gone is not noticed here: see `_there`."""
        self.delta.update_incremental()
        return self.delta

    @contextmanager
    def _there(self) -> Iterator[None]:
        # deltalake reads nothing new from a log that is gone, and what fails after that has no error of its own.
        try:
            yield
        except CommitFailedError:
            raise
        except (DeltaError, StagedFileGoneError):
            self._delta = None
            if not self.exists:
                raise table_gone(self.uri) from None
            raise

    def create(
        self,
        schema: pa.Schema,
        record: str,
        key: Sequence[str] = (),
        layout: Layout = UNPARTITIONED,
        settings: Mapping[str, str] = NONE,
    ) -> bool:
        """Creates it if it is missing; returns whether this call has done so."""
        if self.exists:
            return False
        partitions = {SETTING: layout.text} if layout.fields else NONE
        try:
            self._delta = DeltaTable.create(
                self.uri,
                Schema.from_arrow(pa.schema([*schema, *layout.derived])),
                partition_by=layout.names,
                configuration={KEY: json.dumps(list(key)), **partitions, **settings},
                commit_properties=commit_once(record),
                raise_if_key_not_exists=False,
                storage_options=self._options,
            )
        except Exception:
            self._delta = None
            if self.exists:  # somebody else was faster
                return False
            raise
        if self._store.is_local:
            sync(Path(self.uri).parent)
        self.make_durable()
        return True

    @property
    def layout(self) -> Layout:
        """How it is partitioned."""
        if self._layout is None:
            self._layout = read_layout(self.delta.metadata().partition_columns, self.settings.get(SETTING, ""))
        return self._layout

    def parts(self, rows: pa.Table) -> Iterable[tuple[str, pa.Table]]:
        """See `columnar.tables.Table.parts`."""
        return self.layout.split(rows) if self.layout.fields else [("", rows)]

    def require_storable(self, arrays: Mapping[str, pa.Array]) -> None:
        """See `columnar.tables.Table.require_storable`."""
        self.layout.require_storable(arrays)

    def file_schema(self, schema: pa.Schema) -> pa.Schema:
        """See `columnar.tables.Table.file_schema`."""
        return schema

    def removal(self, columns: Columns, prefixes: Sequence[Row]) -> str:
        """A condition in SQL on the alias `t`."""
        return key_begins(columns, prefixes, "t.")

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        return pa.schema(self.delta.schema().to_arrow())

    @property
    def settings(self) -> Mapping[str, str]:
        """Its properties."""
        return self.delta.metadata().configuration

    def add_columns(self, fields: Sequence[pa.Field], record: str) -> None:
        """Adds columns; null in all rows that it has."""
        wanted = Schema.from_arrow(pa.schema(fields)).fields
        self.refresh().alter.add_columns(wanted, commit_properties=commit_once(record))
        self.make_durable()

    def make_durable(self, first: int | None = None) -> None:
        """See `make_durable`: from this version on, or the newest one; stores on S3 do that by themselves."""
        if self._store.is_local:
            last = self.refresh().version()
            make_durable(Path(self.uri), last if first is None else first, last)

    # reading

    def query(self, sql: str) -> pa.Table:
        """Runs a statement in which the table is called `t`."""
        found = QueryBuilder().register("t", self.delta).execute(sql)
        # deltalake's own would let no other Python run meanwhile
        return pa.RecordBatchReader.from_stream(found).read_all()

    def read(self) -> pa.Table:
        """All its rows; of a small table."""
        parts = []
        for path in pa.table(self.delta.get_add_actions(flatten=True))["path"].to_pylist():
            with self._open(path) as file:
                parts.append(pq.read_table(file))
        return pa.concat_tables(parts) if parts else self.schema.empty_table()

    def transaction(self, app: str) -> int:
        """The version of the application's last transaction; 0 for none."""
        with self._there():
            return self.delta.transaction_version(app) or 0

    def take_numbers(self, column: str, count: int) -> int:
        """The first of so many numbers that no row has; the column numbers rows in the order in which they were written."""
        if column not in self._next_number:
            (last,) = self.query(f"SELECT max({quoted(column)}) AS last FROM t")["last"].to_pylist()
            self._next_number[column] = (last or 0) + 1
        first = self._next_number[column]
        self._next_number[column] = first + count
        return first

    def newest(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """See `columnar.tables.Table.newest`; of a state, the rows of the newest files."""
        names = self.schema.names
        if "_id" in names:
            found = self.query(f"SELECT * FROM t ORDER BY {quoted('_id')} DESC LIMIT {limit}")
            return names, [tuple(row.values()) for row in reversed(found.to_pylist())]
        return names, newest_rows(self.delta, names, limit, self._open)

    def entries(self, columns: Columns, owner: Sequence[str], prefixes: Sequence[Row]) -> Sequence[Entry]:
        """See `columnar.tables.Table.entries`."""
        listed: list[Entry] = []
        # Each key has all its entries in one part, or the same ones in several.
        for part in few(prefixes) if columns.schema.key and () not in prefixes else [prefixes]:
            found = self.query(select_entries(columns, owner, part))
            rows = zip(*(column.to_pylist() for column in found.columns[1:]), strict=True)
            listed += zip(found["_op"].to_pylist(), rows, strict=True)
        return listed

    # committing

    def carry_out(self, intent: Intent) -> None:
        """See `columnar.tables.Table.carry_out`."""
        for _ in range(TRIES):
            first = self.refresh().version()
            if self.transaction(intent.app) >= intent.version:
                self.make_durable()  # who was killed may not have come to that
                return
            with suppress(CommitFailedError):
                try:
                    with self._there():
                        self._carry_out(intent)
                except StagedFileGoneError:
                    self.refresh()
                    if self.transaction(intent.app) < intent.version:
                        raise
                    return  # another runner has carried it out meanwhile, and needs the file no more
                if self._keeper is not None:
                    self._keeper.keep(self.refresh(), time.time())
                self.make_durable(first + 1)
                return
        raise TransientError(
            f"the table {self.uri} was changed by others {TRIES} times while a commit was tried",
            reason="DatasetUnavailable",
        )

    def _carry_out(self, intent: Intent) -> None:
        properties = commit_once(intent.record, intent.app, intent.version)
        if intent.changes:
            with self._needed(intent.changes), self.staging.open(intent.changes) as file:
                changes = pq.read_table(file)
            merge(self.delta, self.layout, changes, intent.key, intent.removed, properties)
            self.refresh()
            if self.transaction(intent.app) >= intent.version:
                return
            # A merge that changes nothing commits nothing; the position is to be found in the table all the same.
        parts = intent.parts or ("",) * len(intent.files)
        adds: list[AddAction | RemoveAction] = [self._add(*each) for each in zip(intent.files, parts, strict=True)]
        columns = self.delta.metadata().partition_columns
        self.delta.create_write_transaction(adds, "append", self.delta.schema(), columns, commit_properties=properties)

    def _open(self, name: str) -> pa.NativeFile:
        return self._store.filesystem.open_input_file(self._store.path(self.name, name))

    def _add(self, name: str, part: str) -> AddAction:
        if self._store.is_local:
            staged, final = Path(self._store.path(self.name, STAGED, name)), Path(self._store.path(self.name, name))
            with suppress(FileNotFoundError):  # another runner carries out the same
                if not final.exists():
                    staged.rename(final)
                    sync(final.parent)
        with self._needed(name), self._open(name) as file:
            size, stats = file.size(), read_stats(file)
        return AddAction(name, size, json.loads(part or "{}"), int(time.time() * 1000), True, stats)

    @contextmanager
    def _needed(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise self.staging.gone(name, f"the table {self.name}") from error

    def remove_staged(self, names: Sequence[str]) -> None:
        """Removes files that are not needed any more."""
        for name in names:
            self.staging.remove(name)

    def remove_old_staged(self, apps: Collection[str]) -> int:
        """See `columnar.tables.Table.remove_old_staged`; in a bucket that is done with the old versions."""
        self._fenced = apps
        if not self._store.is_local:  # staged files lie beside committed ones there, under names of the same kind
            return 0
        old = [name for name, written in self.staging.staged(apps) if time.time() - written > STAGED_SECONDS]
        # Read after the list: what was decided before is in it, or was carried out and has left the folder.
        gone = set(old) - (named_files(self._pending()) if old else frozenset())
        self.remove_staged(sorted(gone))
        return len(gone)

    def _remove_uploaded(self, hours: int) -> None:
        """The same in a bucket, where only a list of all versions says which file is of no use."""
        if not self._fenced:
            return
        needed = named_files(self._pending())  # what was carried out before is in the version that is read next
        found = self.refresh().vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
        names = {name for path in found if is_staged_by(name := PurePath(path).name, self._fenced)}
        if left := names - needed:
            self.remove_staged(sorted(left - named_files(self._pending())))
