"""Looks at an SQLite dataset without claiming it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector_runner.datasets.fencing import COLUMNS, decode_position
from connector_runner.datasets.names import CHECKPOINTS, parse_table
from connector_runner.protocols.sink import SinkContext, StoredCheckpoint
from connector_runner.sinks.sqlite.connection import connect, explained
from connector_runner.sinks.sqlite.statements import build_fence_sql, table_key
from connector_runner.sinks.sqlite.tables import read_table


class SqliteInspector:
    """See `Inspector`."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._names = parse_table(context.table, schemas=False)
        self._key = (context.connector, context.stream, table_key(self._names))
        self._connection, self._path = connect(context, create=False)

    def newest_rows(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """See `Inspector.newest_rows`."""
        with explained(self._path):
            if (table := read_table(self._connection, self._names)) is None:
                return (), ()
            rows = self._connection.execute(f"SELECT * FROM {self._names.rows} ORDER BY rowid DESC LIMIT ?", (limit,))
            return tuple(table.columns), rows.fetchall()[::-1]

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """See `Inspector.checkpoints`."""
        with explained(self._path):
            sql = build_fence_sql(self._names)
            rows = self._connection.execute(sql.read, self._key).fetchall() if self._has_checkpoints() else []
        found = []
        for row in rows:
            stored = dict(zip(COLUMNS, row, strict=True))
            stored["table"] = stored.pop("table_name")
            stored["position"] = stored["position"] and decode_position(stored["position"])
            found.append(StoredCheckpoint(**stored))
        return found

    def _has_checkpoints(self) -> bool:
        """Whether a runner has ever claimed anything here; looking makes no table."""
        found = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._connection.execute(found, (CHECKPOINTS,)).fetchone() is not None

    def reset_checkpoints(self) -> int:
        """See `Inspector.reset_checkpoints`."""
        with explained(self._path):
            if not self._has_checkpoints():
                return 0
            return self._connection.execute(build_fence_sql(self._names).release, self._key).rowcount

    def close(self) -> None:
        """See `Inspector.close`."""
        self._connection.close()
