"""Iceberg tables as a dataset for the sink tests: read by pyiceberg with a catalogue of its own and by DuckDB, not by the sink's code."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import fs
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table
from sqlalchemy import URL

from connector_runner.datasets.fencing import COLUMNS
from connector_runner.datasets.names import CHECKPOINTS, quote, quote_all
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sinks.iceberg.database import CatalogDatabase
from tests.kit.lake_dataset import DECODE, Rows, ask
from tests.servers.iceberg_rest import IcebergRestServer
from tests.servers.iceberg_s3 import IcebergS3Server
from tests.servers.s3 import BUCKET

NAMESPACE = "default"
_numbers = itertools.count(1)


def ledger_of(table: Table) -> pa.Table:
    """The rows of the ledger, which are in a property of its table."""
    rows = json.loads(table.properties.get("connector-runner.ledger", "[]"))
    whole = {"epoch", "number", "run"}
    schema = pa.schema([(name, pa.int64() if name in whole else pa.string()) for name in COLUMNS])
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows], schema)


class IcebergDataset:
    """Tables of a catalogue in a folder; each transaction is committed at once unless the options say otherwise."""

    name = "iceberg"
    is_case_sensitive = False
    other_spelling = "rows"

    namespace = NAMESPACE

    def __init__(self, folder: Path, options: str = "commitEvery=0") -> None:
        self.options: dict[str, str] = {}
        self.directory = folder
        self.root = folder / "lake"
        self.url = f"iceberg+sqlite:////{self.root.relative_to('/')}?{options}"

    @contextlib.contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """The catalogue as any other program opens it."""
        with contextlib.closing(
            SqlCatalog(
                "default",
                uri=URL.create("sqlite", database=str(self.root / "catalog.db")).render_as_string(),
                warehouse=self.root.as_uri(),
            )
        ) as catalog:
            yield catalog

    @contextlib.contextmanager
    def table(self, name: str) -> Iterator[Table]:
        """A table as any other program opens it."""
        with self.catalog() as catalog:
            yield catalog.load_table((self.namespace, name))

    @contextlib.contextmanager
    def _database(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self.catalog() as catalog, contextlib.closing(duckdb.connect(":memory:")) as database:
            database.execute("SET TimeZone = 'UTC'")
            for identifier in catalog.list_tables(self.namespace):
                table = catalog.load_table(identifier)
                rows = ledger_of(table) if identifier[-1] == CHECKPOINTS else table.scan().to_arrow()
                database.register(identifier[-1], rows)
            yield database

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        names = quote_all([*schema.names, *extra])
        with self._database() as database:
            found = database.execute(
                f"SELECT {names} FROM {quote(table)} ORDER BY {order or quote_all(schema.key)}"
            ).fetchall()
        decoders = [DECODE.get(column.type.kind) for column in schema.columns] + [None] * len(extra)
        return [
            tuple(v if v is None or decode is None else decode(v) for v, decode in zip(row, decoders, strict=True))
            for row in found
        ]

    def query(self, sql: str) -> Rows:
        with self._database() as database:
            return ask(database, sql)

    def execute(self, sql: str) -> None:
        raise NotImplementedError("there are no tables of a database; mark the test with needs_tables")

    def held(self, table: str) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError("there are no locks; mark the test with needs_tables")

    def settle(self) -> None:
        """Carries out what a killed runner's ledger had decided, as its next run does first of all."""
        if self.has_catalog():
            database = CatalogDatabase(lambda: self.url, self.directory, "default/test", lambda: self.options)
            connection = database.connect(create=False)
            connection.complete(["default/test"])
            connection.close()

    def has_catalog(self) -> bool:
        """Whether there is a catalogue already."""
        return self.root.is_dir()

    def drop(self, table: str) -> None:
        with self.catalog() as catalog:
            catalog.drop_table((self.namespace, table))

    def close(self) -> None:
        """Does nothing: nothing is open."""


class RestIcebergDataset(IcebergDataset):
    """Tables of a REST catalogue, in a namespace of their own.

    Args:
        server: The catalogue.
        folder: The runner's data directory.
        options: Of the URL.
    """

    def __init__(self, server: IcebergRestServer, folder: Path, options: str = "commitEvery=0") -> None:
        super().__init__(folder, options)
        self.server = server
        self.namespace = f"test_{next(_numbers)}_{os.getpid()}"
        self.root = server.warehouse / self.namespace
        self.url = f"iceberg+{server.url}/test?{options}&namespace={self.namespace}"

    @contextlib.contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """The catalogue as any other program opens it."""
        with contextlib.closing(RestCatalog("test", uri=self.server.url)) as catalog:
            yield catalog

    def has_catalog(self) -> bool:
        """Whether there is a catalogue already."""
        return True


class S3IcebergDataset(RestIcebergDataset):
    """Tables of a REST catalogue whose files are in a bucket.

    Args:
        server: The catalogue.
        folder: The runner's data directory.
        options: Of the URL.
    """

    def __init__(self, server: IcebergS3Server, folder: Path, options: str = "commitEvery=0") -> None:
        super().__init__(server, folder, options)
        self.store = server.store
        self.path = f"{BUCKET}/warehouse/{self.namespace}"
        self.options = dict(self.store.options)

    @contextlib.contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """The catalogue as any other program opens it."""
        with contextlib.closing(RestCatalog("test", uri=self.server.url, **self.store.options)) as catalog:
            yield catalog

    def objects(self) -> list[str]:
        """The paths of all objects of its tables."""
        found = self.store.files().get_file_info(fs.FileSelector(self.path, allow_not_found=True, recursive=True))
        return [each.path.removeprefix(f"{self.path}/") for each in found if each.is_file]
