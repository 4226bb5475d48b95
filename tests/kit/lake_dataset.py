"""Delta tables as a dataset for the sink tests: the log is replayed here and the files are read by DuckDB, not by the sink's code."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
from pyarrow import fs

from connector_runner.datasets.names import quote, quote_all
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind
from connector_runner.sinks.delta.database import LakeFolder
from tests.servers.s3 import BUCKET, S3Server

Rows = list[tuple[Any, ...]]
_numbers = itertools.count(1)


def actions(table: Path) -> list[list[dict[str, Any]]]:
    """The actions of each commit of a table, in order; the tests' tables keep their whole log."""
    commits = sorted((table / "_delta_log").glob("*.json"))
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in commits]


@dataclass(frozen=True)
class State:
    """A table's newest state.

    Attributes:
        files: Its files with the values of their partition, as texts.
        columns: Its columns with their types as Delta spells them.
        partitions: The names of its partition columns.
    """

    files: dict[str, dict[str, str | None]]
    columns: dict[str, str]
    partitions: list[str]


def replay(table: Path) -> State:
    """The newest state of a table."""
    state = State({}, {}, [])
    for commit in actions(table):
        for action in commit:
            if "remove" in action:
                state.files.pop(action["remove"]["path"])
        for action in commit:
            if "add" in action:
                state.files[action["add"]["path"]] = action["add"]["partitionValues"]
            if "metaData" in action:
                fields = json.loads(action["metaData"]["schemaString"])["fields"]
                columns = {field["name"]: field["type"] for field in fields}
                state = State(state.files, columns, action["metaData"]["partitionColumns"])
    return state


SQL_TYPES = {
    "long": "BIGINT",
    "string": "VARCHAR",
    "binary": "BLOB",
    "timestamp": "TIMESTAMPTZ",
    "timestamp_ntz": "TIMESTAMP",
}


def open_tables(root: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB with a view for each table in a folder."""
    database = duckdb.connect(":memory:")
    database.execute("SET TimeZone = 'UTC'")
    for log in sorted(root.glob("*/_delta_log")):
        name, state = log.parent.name, replay(log.parent)
        empty = ", ".join(f"NULL::{_sql_type(type_)} AS {quote(column)}" for column, type_ in state.columns.items())
        body = f"SELECT {empty} WHERE false"
        for values, paths in _by_partition(state).items():
            listed = ", ".join(_text(str(log.parent / unquote(path))) for path in paths)
            body += f" UNION ALL BY NAME SELECT *{_constants(state, values)}"
            body += f" FROM read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
        database.execute(f"CREATE VIEW {quote(name)} AS SELECT {quote_all(state.columns)} FROM ({body})")
    return database


BESIDE = re.compile(r"\w+_(?:dead_letters|incidents)\b")


def ask(database: duckdb.DuckDBPyConnection, sql: str) -> Rows:
    """Runs a query; tables of dead letters and incidents are made with their first row, and empty until then."""
    there = {name for (name,) in database.execute("SELECT table_name FROM information_schema.tables").fetchall()}
    for name in sorted(set(BESIDE.findall(sql)) - there):
        database.execute(f"CREATE VIEW {quote(name)} AS SELECT NULL AS stream, NULL AS kind WHERE false")
    return database.execute(sql).fetchall()


def _by_partition(state: State) -> dict[tuple[str | None, ...], list[str]]:
    found: dict[tuple[str | None, ...], list[str]] = {}
    for path, values in state.files.items():
        found.setdefault(tuple(values[name] for name in state.partitions), []).append(path)
    return found


def _constants(state: State, values: Sequence[str | None]) -> str:
    """The columns of a partition, which its files do not have."""
    pairs = zip(state.partitions, values, strict=True)
    return "".join(
        f", CAST({'NULL' if value is None else _text(value)} AS {_sql_type(state.columns[name])}) AS {quote(name)}"
        for name, value in pairs
    )


def _sql_type(type_: str) -> str:
    return SQL_TYPES.get(type_, type_)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


DECODE: dict[Kind, Callable[[Any], Any]] = {
    Kind.UINT64: int,
    Kind.INT256: int,
    Kind.DECIMAL: Decimal,
    Kind.TIME: dt.time.fromisoformat,
    Kind.BYTES: bytes,
}


class LakeDataset:
    """Tables in a folder; each transaction is committed at once."""

    name = "delta"
    options: Mapping[str, str] = {}
    is_case_sensitive = False
    other_spelling = "rows"

    def __init__(self, folder: Path, options: str = "commitEvery=0") -> None:
        self.directory = folder
        self.root = folder / "lake"
        self.url = f"delta:////{self.root.relative_to('/')}?{options}"

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        with contextlib.closing(open_tables(self.root)) as database:
            names = quote_all([*schema.names, *extra])
            found = database.execute(
                f"SELECT {names} FROM {quote(table)} ORDER BY {order or quote_all(schema.key)}"
            ).fetchall()
        decoders = [DECODE.get(column.type.kind) for column in schema.columns] + [None] * len(extra)
        return [
            tuple(v if v is None or decode is None else decode(v) for v, decode in zip(row, decoders, strict=True))
            for row in found
        ]

    def query(self, sql: str) -> Rows:
        with contextlib.closing(open_tables(self.root)) as database:
            return ask(database, sql)

    def execute(self, sql: str) -> None:
        raise NotImplementedError("there are no tables of a database; mark the test with needs_tables")

    def held(self, table: str) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError("there are no locks; mark the test with needs_tables")

    def settle(self) -> None:
        """Carries out what a killed runner's ledger had decided, as its next run does first of all."""
        if self.root.is_dir():
            folder = LakeFolder(lambda: self.url, self.directory, "default/test", lambda: self.options)
            connection = folder.connect(create=False)
            connection.complete(["default/test"])
            connection.close()

    def drop(self, table: str) -> None:
        shutil.rmtree(self.root / table)

    def close(self) -> None:
        """Does nothing: nothing is open."""


class S3LakeDataset(LakeDataset):
    """Tables in a bucket; they are read from a copy, which a client that is not the sink's makes.

    Args:
        server: The store.
        folder: For the copy.
        options: Of the URL.
    """

    def __init__(self, server: S3Server, folder: Path, options: str = "commitEvery=0") -> None:
        super().__init__(folder, options)
        self.root = folder / "copy"
        self.path = f"{BUCKET}/test-{next(_numbers)}-{os.getpid()}"
        self.url = f"delta+s3://{self.path}?{options}"
        self.options = dict(server.options)
        self.server = server

    def objects(self) -> list[str]:
        """The paths of all objects under the dataset's."""
        found = self.server.files().get_file_info(fs.FileSelector(self.path, allow_not_found=True, recursive=True))
        return [each.path.removeprefix(f"{self.path}/") for each in found if each.is_file]

    def fetch(self) -> None:
        """Makes the copy as the bucket is now: objects never change, and the log is copied first."""
        files = self.server.files()
        for path in sorted(self.objects(), key=lambda path: "_delta_log" not in path):
            target = self.root / path
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(files.open_input_stream(f"{self.path}/{path}").readall())

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        self.fetch()
        return super().read(schema, table, extra, order)

    def query(self, sql: str) -> Rows:
        self.fetch()
        return super().query(sql)

    def settle(self) -> None:
        self.fetch()
        super().settle()

    def drop(self, table: str) -> None:
        self.server.files().delete_dir(f"{self.path}/{table}")
        shutil.rmtree(self.root, ignore_errors=True)  # nothing may have been read yet
