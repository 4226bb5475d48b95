"""A `Database` of Delta tables in a folder or a bucket."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from connector_runner.datasets.columnar.connection import LakeConnection
from connector_runner.datasets.columnar.tables import LedgerTable, Table
from connector_runner.datasets.columnar.types import VALUE_ERRORS
from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.schemas.dataset_url import url_problems
from connector_runner.schemas.datasets.delta import Address, parse_address
from connector_runner.sinks.delta.dialect import DIALECT
from connector_runner.sinks.delta.errors import explained
from connector_runner.sinks.delta.fitting import ensure_table
from connector_runner.sinks.delta.ledger_table import LedgerTable as DeltaLedger
from connector_runner.sinks.delta.proof import prove_conditional_writes
from connector_runner.sinks.delta.store import Store, build_store
from connector_runner.sinks.delta.tables import Table as DeltaTable
from connector_runner.sinks.delta.upkeep import Upkeep


def read_address(read_url: Callable[[], str]) -> Address:
    """The address in the dataset's URL.

    Raises:
        InvalidConfigError: It has problems.
    """
    url = read_url()
    if problems := url_problems(url):
        raise InvalidConfigError([f"dataset.url: {problem}" for problem in problems], reason="InvalidDataset")
    return parse_address(url)


class Tables:
    """The tables of a folder, as `columnar.tables.Lake` says.

    Args:
        store: Where they are.
        address: What the URL says.
        keeps: Whether tables are kept in shape between commits.
    """

    dialect: Dialect = DIALECT

    def __init__(self, store: Store, address: Address, *, keeps: bool) -> None:
        self.where = store.where
        self.ledger: LedgerTable = DeltaLedger(store)
        self.commit_seconds = address.commit_seconds
        self.target_bytes = address.target_bytes
        self._store = store
        upkeep = Upkeep(address.compact_seconds, address.keep_snapshots, address.target_bytes)
        self._upkeep = upkeep if keeps else None

    def table(self, name: str) -> DeltaTable:
        """A table, which may be missing."""
        return DeltaTable(self._store, name, self._upkeep, self._pending)

    def _pending(self) -> Mapping[str, str]:
        # By a reader of its own: the ledger's next commit must be compared with what the connection has read.
        return DeltaLedger(self._store).read()[1]

    def existing(self, names: Collection[str]) -> Collection[str]:
        """See `Lake.existing`: that is seen when they are looked into, which opens none."""
        return names

    def close(self) -> None:
        """Does nothing: nothing is open."""


class LakeFolder:
    """See `Database`.

    Attributes:
        connection: The newest connection; None if there is none.
        store: Where its tables are.
        partitions: By what new tables are partitioned.

    Args:
        read_url, read_options: Return the URL and the options; called again for each connection.
        directory: The directory that relative URLs are resolved against.
        connector: Who writes.
    """

    dialect: Dialect = DIALECT
    begin = "BEGIN"
    value_errors: tuple[type[Exception], ...] = VALUE_ERRORS

    def __init__(
        self,
        read_url: Callable[[], str],
        directory: Path,
        connector: str,
        read_options: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._read_url = read_url
        self._read_options = read_options
        self._directory = directory
        self._connector = connector
        self._where = ""
        self.connection: LakeConnection | None = None

    def connect(self, *, create: bool = True) -> LakeConnection:
        """Reads the ledger; makes the folder of the tables, or proves the store on S3, if it may write.

        Raises:
            ActionRequiredError: The folder around it does not exist; the store is not as the promise needs it.
            TransientError: It can't be read now.
        """
        address = read_address(self._read_url)
        self.store = store = build_store(address, self._read_options(), self._directory)
        self._where = store.where
        self.partitions = address.partitions
        with self.explained():
            if store.bucket is None:
                _find_folder(Path(store.base), create=create)
            elif create:
                prove_conditional_writes(store.bucket, dt.datetime.now(dt.UTC))
            self._tables = Tables(store, address, keeps=create)
            connection = LakeConnection(self._tables, self._connector)
            connection.load()
        self.connection = connection
        return connection

    def table(self, name: str) -> DeltaTable:
        """A table of the newest connection; it may be missing."""
        return self._tables.table(name)

    def explained(self) -> AbstractContextManager[None]:
        """See `Database.explained`."""
        return explained(self._where)

    def is_refusal(self, error: Exception) -> bool:
        """See `Database.is_refusal`."""
        return True

    def named(self, tables: Mapping[str, str]) -> dict[str, str]:
        """See `LakeDatabase.named`."""
        address = read_address(self._read_url)
        return {stream: address.table(table) for stream, table in tables.items()}

    def ensure(self, table: Table, schema: StreamSchema, *, append: bool, own: bool) -> bool:
        """See `LakeDatabase.ensure`."""
        if not isinstance(table, DeltaTable):
            raise TypeError(f"{table.name} is no Delta table")
        return ensure_table(table, schema, self.partitions, append=append, own=own)


def _find_folder(root: Path, *, create: bool) -> None:
    if root.is_dir():
        return
    if not root.parent.is_dir():
        raise ActionRequiredError(
            f"the folder {root.parent} does not exist; create it, or give the Dataset a volumeClaim",
            reason="DatasetUnavailable",
        )
    if create:
        root.mkdir(exist_ok=True)


def build_folder(context: SinkContext) -> LakeFolder:
    """The folder that a dataset's URL names."""
    return LakeFolder(context.read_url, context.directory, context.connector, context.read_options)
