"""What the sink tests need of a database: a fresh one, and its rows read back as the values that were sent.

A new sink gets the whole contract suite by one line in `DATASETS`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import psycopg

from connector_runner.datasets.names import quote, quote_all
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind
from tests.servers.postgresql import PostgresServer

Rows = list[tuple[Any, ...]]
_numbers = itertools.count(1)


class Dataset(Protocol):
    """A fresh database that a test fills through a sink."""

    name: str
    url: str

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        """The table's rows in schema order, as the values that a source would send; `extra` columns after them."""

    def query(self, sql: str) -> Rows:
        """Anything else."""

    def execute(self, sql: str) -> None:
        """As somebody else who uses the database."""

    def held(self, table: str) -> contextlib.AbstractContextManager[None]:
        """While entered, no transaction on the table can commit."""

    def settle(self) -> None:
        """Until the database has finished what a killed client had sent to it."""


def _times(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def decode(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:  # a year that Python has not
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

    def __init__(self, folder: Path) -> None:
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
        """Nothing outlives the process."""

    @contextlib.contextmanager
    def held(self, table: str) -> Iterator[None]:
        with self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")


# Read exactly: json as it was written, real without rounding to its shortest text.
CASTS = {Kind.JSON: "::text", Kind.UUID: "::text", Kind.FLOAT32: "::double precision"}


class PostgresDataset:
    name = "postgresql"

    def __init__(self, server: PostgresServer) -> None:
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

    @contextlib.contextmanager
    def held(self, table: str) -> Iterator[None]:
        with self._connect() as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {quote(table)} IN ACCESS EXCLUSIVE MODE".encode())
            yield


def _is_text(schema: StreamSchema, name: str) -> bool:
    return next(column for column in schema.columns if column.name == name).type.kind is Kind.STRING


DATASETS = ("sqlite", "postgresql")


def build_dataset(name: str, folder: Path, server: Callable[[], PostgresServer]) -> Dataset:
    return SqliteDataset(folder) if name == "sqlite" else PostgresDataset(server())
