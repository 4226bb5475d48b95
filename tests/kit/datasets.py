"""Datasets for the sink tests: a fresh one for each test, and its rows read back as the values that were sent.

One line in `DATASETS` runs the contract suite for a new sink; tests marked `needs_tables` run only if rows are in tables of a
database, tests marked `needs_transaction` only if rows and position are in one transaction.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import itertools
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import psycopg

from connector_runner.datasets.names import quote, quote_all
from connector_runner.protocols.batch import Operation
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind
from tests.kit.iceberg_dataset import IcebergDataset, RestIcebergDataset, S3IcebergDataset
from tests.kit.kafka_dataset import KafkaDataset
from tests.kit.lake_dataset import LakeDataset, S3LakeDataset
from tests.kit.reading import Table, apply
from tests.servers.postgresql import PostgresServer
from tests.simulators.record_server import RecordServer

Rows = list[tuple[Any, ...]]
_numbers = itertools.count(1)


class Dataset(Protocol):
    """A fresh database that a test fills through a sink.

    Attributes:
        name: The name in its descriptor.
        directory: The runner's data directory.
        is_case_sensitive: Whether the names of two columns may differ only in case.
        other_spelling: Another name of the table `rows`.
    """

    name: str
    url: str
    directory: Path
    is_case_sensitive: bool
    other_spelling: str

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        """The table's rows in schema order, as the values that a source would send, followed by the `extra` columns."""

    def query(self, sql: str) -> Rows:
        """Runs any other query."""

    def execute(self, sql: str) -> None:
        """Executes a statement as another user of the database."""

    def held(self, table: str) -> contextlib.AbstractContextManager[None]:
        """Inside this context no transaction on the table can commit."""

    def settle(self) -> None:
        """Waits until the database has finished what a killed client had sent."""

    def drop(self, table: str) -> None:
        """Deletes its rows."""

    def close(self) -> None:
        """Called at the end of the test."""


def _times(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def decode(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:  # a year that Python does not support
            return text

    return decode


SQLITE_DECODE: dict[Kind, Callable[[Any], Any]] = {
    Kind.BOOL: bool,
    Kind.UINT64: int,
    Kind.INT256: int,
    Kind.DECIMAL: Decimal,
    Kind.DATE: _times(dt.date.fromisoformat),
    Kind.TIME: dt.time.fromisoformat,
    Kind.TIMESTAMP: _times(dt.datetime.fromisoformat),
    Kind.TIMESTAMPTZ: _times(dt.datetime.fromisoformat),
}


class SqliteDataset:
    name = "sqlite"
    is_case_sensitive = False
    other_spelling = "ROWS"

    def __init__(self, folder: Path) -> None:
        self.directory = folder
        self.path = folder / "dataset.db"
        self.url = f"sqlite:////{self.path.relative_to('/')}"

    def _connect(self) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(sqlite3.connect(self.path, timeout=20, isolation_level=None))

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        decoders = [SQLITE_DECODE.get(column.type.kind) for column in schema.columns]
        decoders += [None] * len(extra)
        names = quote_all([*schema.names, *extra])
        found = self.query(f"SELECT {names} FROM {quote(table)} ORDER BY {order or quote_all(schema.key)}")
        return [
            tuple(
                value if value is None or decode is None else decode(value)
                for value, decode in zip(row, decoders, strict=True)
            )
            for row in found
        ]

    def query(self, sql: str) -> Rows:
        with self._connect() as connection:
            return connection.execute(sql).fetchall()

    def execute(self, sql: str) -> None:
        with self._connect() as connection:
            connection.execute(sql)

    def settle(self) -> None:
        """Does nothing: nothing survives the process."""

    def drop(self, table: str) -> None:
        self.execute(f"DROP TABLE {table}")

    def close(self) -> None:
        """Does nothing: nothing is open."""

    @contextlib.contextmanager
    def held(self, table: str) -> Iterator[None]:
        with self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")


# Exact reads: json as it was written, real without rounding to its shortest text.
CASTS = {Kind.JSON: "::text", Kind.UUID: "::text", Kind.FLOAT32: "::double precision"}


class PostgresDataset:
    name = "postgresql"
    is_case_sensitive = True
    other_spelling = "public.rows"

    def __init__(self, server: PostgresServer, folder: Path = Path()) -> None:
        self.directory = folder
        self.server = server
        self.database = f"test_{next(_numbers)}"
        server.execute(f"CREATE DATABASE {self.database}")
        self.url = server.url(self.database)

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url, autocommit=True, options="-c timezone=UTC")

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        names = ", ".join(quote(column.name) + CASTS.get(column.type.kind, "") for column in schema.columns)
        names = ", ".join([names, *map(quote, extra)])
        keys = [f'{quote(name)} COLLATE "C"' if _is_text(schema, name) else quote(name) for name in schema.key]
        found = self.query(f"SELECT {names} FROM {quote(table)} ORDER BY {order or ', '.join(keys)}")
        whole = [place for place, column in enumerate(schema.columns) if column.type.kind in {Kind.UINT64, Kind.INT256}]
        return [tuple(int(v) if v is not None and i in whole else v for i, v in enumerate(row)) for row in found]

    def query(self, sql: str) -> Rows:
        with self._connect() as connection:
            return connection.execute(sql.encode()).fetchall()

    def execute(self, sql: str) -> None:
        with self._connect() as connection:
            connection.execute(sql.encode())

    def settle(self) -> None:
        end = time.monotonic() + 60
        clients = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'connector-%'"
        while self.query(clients) != [(0,)]:
            assert time.monotonic() < end, "a backend of a killed runner does not end"
            time.sleep(0.01)

    def drop(self, table: str) -> None:
        self.execute(f"DROP TABLE {table}")

    def close(self) -> None:
        """Does nothing: the server ends with the session."""

    @contextlib.contextmanager
    def held(self, table: str) -> Iterator[None]:
        with self._connect() as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {quote(table)} IN ACCESS EXCLUSIVE MODE".encode())
            yield


def _is_text(schema: StreamSchema, name: str) -> bool:
    return next(column for column in schema.columns if column.name == name).type.kind is Kind.STRING


JSON_DECODE: dict[Kind, Callable[[str], Any]] = {
    **{kind: lambda text, parse=parse: parse(json.loads(text)) for kind, parse in SQLITE_DECODE.items()},  # type: ignore[misc]
    Kind.UINT64: int,
    Kind.INT256: int,
    Kind.DECIMAL: Decimal,
    Kind.FLOAT32: float,
    Kind.FLOAT64: float,
    Kind.BYTES: lambda text: base64.b64decode(json.loads(text)),
    Kind.JSON: str,
}
OPERATIONS = {"upsert": Operation.UPSERT, "delete": Operation.DELETE, "replace": Operation.REPLACE}


class HttpDataset:
    """A server that accepts records; position, dead letters and incidents are in a file beside the runner, for `query`."""

    name = "http"
    is_case_sensitive = True
    other_spelling = "rows"

    def __init__(self, folder: Path) -> None:
        self.directory = folder
        self.server = RecordServer()
        self.url = self.server.url

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        """Ordered by key, by a column, or (`_id`) everything in the order of arrival."""
        del table  # the URL stands for one table
        rows: Table = {}
        history: Rows = []
        for handling, sent in self.server.received:
            record = dict(sent)
            if json.loads(record.pop("_stream", json.dumps(schema.stream))) != schema.stream:
                continue  # in a selection each record names its stream
            operation = OPERATIONS[json.loads(record.get("_op", '"upsert"'))]
            names = schema.names if operation is not Operation.REPLACE else schema.key[: len(record) - 1]
            row = tuple(_from_json(schema, name, record.get(name)) for name in names)
            history.append((*row, *(json.loads(record[name]) for name in extra)))
            apply(rows, schema, Operation.INSERT if handling == "ignore" else operation, row)
        if order == "_id":
            return history
        places = schema.key_indices if not order else (schema.names.index(order),)
        return sorted(rows.values(), key=lambda row: tuple(row[place] for place in places))

    def query(self, sql: str) -> Rows:
        (path,) = self.directory.glob("*.checkpoint.db")
        with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection:
            return connection.execute(sql).fetchall()

    def execute(self, sql: str) -> None:
        raise NotImplementedError("there are no tables; mark the test with needs_tables")

    def held(self, table: str) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError("there are no locks; mark the test with needs_tables")

    def settle(self) -> None:
        """Does nothing: nothing survives the process."""

    def drop(self, table: str) -> None:
        self.server.received.clear()
        for file in self.directory.glob("*.checkpoint.db*"):
            file.unlink()

    def close(self) -> None:
        self.server.close()


def _from_json(schema: StreamSchema, name: str, text: str | None) -> Any:
    if text is None or text == "null":
        return None
    kind = schema.columns[schema.names.index(name)].type.kind
    return JSON_DECODE.get(kind, json.loads)(text)


# Gets a fixture of the session by its name: a server is started only when the first dataset needs it.
Fixture = Callable[[str], Any]
Build = Callable[[Path, Fixture], Dataset]
DATASETS: dict[str, Build] = {
    "sqlite": lambda folder, _: SqliteDataset(folder),
    "postgresql": lambda folder, fixture: PostgresDataset(fixture("postgres_server"), folder),
    "http": lambda folder, _: HttpDataset(folder),
    "kafka": lambda folder, fixture: KafkaDataset(fixture("kafka_server"), folder),
    "delta": lambda folder, _: LakeDataset(folder),
    "iceberg": lambda folder, _: IcebergDataset(folder),
}
# The same datasets in other places: what is different there is asked of them, too.
ELSEWHERE: dict[str, Build] = {
    "delta on s3": lambda folder, fixture: S3LakeDataset(fixture("s3_server"), folder),
    "iceberg by rest": lambda folder, fixture: RestIcebergDataset(fixture("iceberg_server"), folder),
    "iceberg by rest on s3": lambda folder, fixture: S3IcebergDataset(fixture("iceberg_s3_server"), folder),
}
# Datasets whose rows are in tables of a database.
WITH_TABLES = ("sqlite", "postgresql")
# Datasets whose rows are in one transaction with the position; the others store at least once.
WITH_TRANSACTIONS = (*WITH_TABLES, "kafka", "delta", "iceberg")


@contextlib.contextmanager
def fresh_dataset(name: str, folder: Path, fixture: Fixture) -> Iterator[Dataset]:
    dataset = (DATASETS | ELSEWHERE)[name](folder, fixture)
    try:
        yield dataset
    finally:
        dataset.close()
