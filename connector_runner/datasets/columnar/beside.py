"""Dead letters and incidents: the ledger inserts them into tables of its local copy, whose rows go to tables of the same names."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection
from contextlib import suppress

import pyarrow as pa

from connector_runner.datasets.columnar.intents import Intent, app_of
from connector_runner.datasets.columnar.staged_files import StagedFile
from connector_runner.datasets.columnar.tables import Key, Table
from connector_runner.datasets.names import quote

KINDS = ("dead_letters", "incidents")
_SUFFIX = re.compile(rf".+_({'|'.join(KINDS)})")
_TYPES = {"id": pa.int64(), "at": pa.timestamp("us", "UTC")}


def apps_of(claimed: Collection[Key], held: Collection[Key]) -> dict[str, list[str]]:
    """The applications that claimed streams stage as, for each of their tables and of those beside.

    Args:
        claimed: The streams of one connector.
        held: All rows of the ledger.
    """
    apps: dict[str, list[str]] = {}
    others = {(connector, table) for connector, _, table in {*held} - {*claimed}}
    for connector, stream, table in claimed:
        apps.setdefault(table, []).append(app_of(connector, stream))
        if (
            connector,
            table,
        ) not in others:  # else a run with a fence of its own may still decide what it has staged beside
            apps |= {f"{table}_{kind}": [connector] for kind in KINDS}
    return apps


class Beside:
    """The tables beside those with rows.

    Args:
        local: The connection's local copy.
        table: Returns a table by name.
        connector: Who writes.
    """

    def __init__(self, local: sqlite3.Connection, table: Callable[[str], Table], connector: str) -> None:
        self._local = local
        self._app = connector
        self._table = table
        self._known: dict[str, pa.Schema] = {}
        self._found: dict[str, tuple[int, list[tuple[object, ...]]]] = {}
        self._files: dict[str, list[StagedFile]] = {}

    def prepare(self) -> None:
        """Numbers what the open transaction has inserted, and makes the tables that it needs; takes nothing yet.

        A table that has nothing to say is not made: with many streams, two more for each would cost most of a start's time.
        """
        tables = self._local.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
        self._found.clear()
        for name in (name for (name,) in tables if _SUFFIX.fullmatch(name)):
            rows = self._local.execute(f"SELECT * FROM {quote(name)} ORDER BY id").fetchall()
            if rows:
                self._require(name)
                self._found[name] = (self._table(name).take_numbers("id", len(rows)), rows)

    def _require(self, name: str) -> None:
        """Makes the table unless it is there."""
        if name not in self._known:
            columns = [row[1] for row in self._local.execute(f"PRAGMA table_info({quote(name)})").fetchall()]
            schema = pa.schema([(column, _TYPES.get(column, pa.string())) for column in columns])
            self._table(name).create(schema, "")
            self._known[name] = schema

    def take(self) -> None:
        """Takes what was prepared."""
        for name, (first, rows) in self._found.items():
            self._local.execute(f"DELETE FROM {quote(name)}")
            self._add(name, first, rows)
        self._found.clear()

    def _add(self, name: str, first: int, found: list[tuple[object, ...]]) -> None:
        schema, table = self._known[name], self._table(name)
        columns = dict(zip(schema.names, map(list, zip(*found, strict=True)), strict=True))
        columns["id"] = list(range(first, first + len(found)))
        arrays = [
            pa.array(columns[field.name], pa.string()).cast(field.type)
            if field.name == "at"
            else pa.array(columns[field.name], field.type)
            for field in schema
        ]
        files = self._files.setdefault(name, [])
        if not files or files[-1].is_closed:
            files.append(StagedFile(table.staging, table.file_schema(schema), self._app))
        files[-1].add(pa.Table.from_arrays(arrays, schema=schema))

    def seal(self, record: str) -> list[Intent]:
        """Ends the files, and says what becomes of them."""
        intents = []
        for name, files in self._files.items():
            for file in files:
                file.close()
            table, names = self._table(name), tuple(file.name for file in files)
            table.refresh()
            rows = sum(file.rows for file in files)
            intents.append(Intent(name, self._app, table.transaction(self._app) + 1, record, names, rows=rows))
        return intents

    def note_named(self) -> None:
        """See `Stage.note_named`."""
        for file in (file for files in self._files.values() for file in files):
            file.may_be_named = True

    def discard(self) -> None:
        """Removes what is staged, but for files that the ledger may name."""
        for files in self._files.values():
            for file in files:
                with suppress(OSError):
                    file.discard()

    def clear(self) -> None:
        """The ledger has taken over what was staged."""
        self._files.clear()
