"""A `LakeDatabase` of Iceberg tables in a catalogue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError

from connector_runner.datasets.columnar.connection import LakeConnection
from connector_runner.datasets.columnar.tables import LedgerTable as AnyLedger
from connector_runner.datasets.columnar.tables import Table as AnyTable
from connector_runner.datasets.columnar.types import VALUE_ERRORS
from connector_runner.datasets.dialect import Dialect
from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.schemas.dataset_url import url_problems
from connector_runner.schemas.datasets.iceberg import Address, parse_address
from connector_runner.schemas.datasets.partitions import Partitions
from connector_runner.sinks.iceberg.catalog import open_folder
from connector_runner.sinks.iceberg.dialect import DIALECT
from connector_runner.sinks.iceberg.errors import explained
from connector_runner.sinks.iceberg.fitting import ensure_table
from connector_runner.sinks.iceberg.ledger_table import LedgerTable
from connector_runner.sinks.iceberg.placing import Placing
from connector_runner.sinks.iceberg.proof import prove_catalogue
from connector_runner.sinks.iceberg.rest import open_rest
from connector_runner.sinks.iceberg.tables import Table


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
    """The tables of a namespace, as `columnar.tables.Lake` says.

    Args:
        catalog: The catalogue; None if it does not exist.
        address: What the URL says.
        where: The catalogue, for messages.
    """

    dialect: Dialect = DIALECT

    def __init__(self, catalog: Catalog | None, address: Address, where: str) -> None:
        self.where = where
        self._namespace = tuple(address.namespace.split("."))
        self.ledger: AnyLedger = LedgerTable(catalog, self._namespace)
        self.commit_seconds = address.commit_seconds
        self.target_bytes = address.target_bytes
        self._catalog = catalog
        self._keep = address.keep_snapshots
        self._compact_seconds = address.compact_seconds

    def table(self, name: str) -> Table:
        """A table, which may be missing."""
        identifier = (*self._namespace, name)
        return Table(
            self._catalog, identifier, Placing(), self._keep, self.target_bytes, self._compact_seconds, self._pending
        )

    def _pending(self) -> Mapping[str, str]:
        # By a reader of its own: the ledger's next commit must be compared with what the connection has read.
        return LedgerTable(self._catalog, self._namespace).read()[1]

    def existing(self, names: Collection[str]) -> Collection[str]:
        """See `Lake.existing`."""
        listed = self._catalog.list_tables(self._namespace) if self._catalog is not None else []
        return {identifier[-1] for identifier in listed} & set(names)

    def close(self) -> None:
        """Closes the catalogue."""
        if self._catalog is not None:
            self._catalog.close()


class CatalogDatabase:
    """See `LakeDatabase`.

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
        """Opens the catalogue and reads the ledger; makes them if it may.

        Raises:
            ActionRequiredError: The folder around it does not exist, or the catalogue is not as the promise needs it.
            TransientError: It can't be read now.
        """
        address, options = read_address(self._read_url), self._read_options()
        if not address.uri and options:
            raise ActionRequiredError(
                f"options.{min(options)} has no effect on a folder; write the URL as iceberg+https://catalogue/warehouse, or remove it",
                reason="InvalidDataset",
            )
        root = (self._directory / address.folder).absolute()
        self._where = str(root) if not address.uri else "/".join(filter(None, [address.uri, address.warehouse]))
        namespace = tuple(address.namespace.split("."))
        with self.explained():
            catalog = self._open(address, options, root, namespace, create=create)
            self._tables = tables = Tables(catalog, address, self._where)
            if create and address.uri:
                prove_catalogue(LedgerTable(catalog, namespace), self._where)
            connection = LakeConnection(tables, self._connector)
            connection.load()
        self.connection = connection
        return connection

    def _open(
        self, address: Address, options: Mapping[str, str], root: Path, namespace: tuple[str, ...], *, create: bool
    ) -> Catalog | None:
        if not address.uri:
            return open_folder(root, namespace, create=create)
        catalog = open_rest(address, options)
        if create:
            for length in range(1, len(namespace) + 1):
                if not catalog.namespace_exists(namespace[:length]):
                    with suppress(NamespaceAlreadyExistsError):
                        catalog.create_namespace(namespace[:length])
        return catalog

    def table(self, name: str) -> Table:
        """A table of the newest connection; it may be missing."""
        return self._tables.table(name)

    @property
    def folder(self) -> Path | None:
        """The folder with the catalogue's file; None for a REST catalogue."""
        address = read_address(self._read_url)
        return None if address.uri else (self._directory / address.folder).absolute()

    @property
    def partitions(self) -> Partitions:
        """How new tables are partitioned."""
        return read_address(self._read_url).partitions

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

    def ensure(self, table: AnyTable, schema: StreamSchema, *, append: bool, own: bool) -> bool:
        """See `LakeDatabase.ensure`."""
        if not isinstance(table, Table):
            raise TypeError(f"{table.name} is no Iceberg table")
        return ensure_table(table, schema, self.partitions, append=append, own=own)


def build_database(context: SinkContext) -> CatalogDatabase:
    """The catalogue that a dataset's URL names."""
    return CatalogDatabase(context.read_url, context.directory, context.connector, context.read_options)
