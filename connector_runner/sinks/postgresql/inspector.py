"""Looks at a PostgreSQL dataset without claiming it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg

from connector_runner.datasets.fencing import COLUMNS, decode_position
from connector_runner.datasets.names import parse_table
from connector_runner.protocols.sink import SinkContext, StoredCheckpoint
from connector_runner.sinks.postgresql.errors import connection_failure, statement_failure
from connector_runner.sinks.postgresql.session import connection_info, describe
from connector_runner.sinks.postgresql.statements import FIND_SCHEMA, FenceSql

PAGE_BYTES = 8192


class PostgresInspector:
    """See `Inspector`."""

    def __init__(self, context: SinkContext) -> None:
        self._names = parse_table(context.table)
        self._key = (context.connector, context.stream, self._names.table)
        url = context.read_url()
        self._where = describe(url)
        try:
            self._connection = psycopg.connect(connection_info(url, "connector-runner inspector"), autocommit=True)
        except psycopg.OperationalError as error:
            raise connection_failure(str(error), self._where) from None
        with self._explained():
            found = self._connection.execute(FIND_SCHEMA, [self._names.rows]).fetchone()
        self._names = replace(self._names, schema=self._names.schema or (found and found[0]) or "")

    def newest_rows(self, limit: int) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """See `Inspector.newest_rows`; the table's last pages are read, which hold what was written last."""
        with self._explained():
            size = self._connection.execute("SELECT pg_relation_size(to_regclass(%s))", [self._names.rows]).fetchone()
            if size is None or size[0] is None:
                return (), ()
            pages, back = size[0] // PAGE_BYTES, 8
            while True:
                first = max(0, pages - back)
                sql = f"SELECT * FROM {self._names.rows} WHERE ctid >= '({first},0)' ORDER BY ctid DESC LIMIT %s"
                cursor = self._connection.execute(sql.encode(), [limit])
                rows = cursor.fetchall()
                if len(rows) >= limit or first == 0:
                    return [column.name for column in cursor.description or ()], rows[::-1]
                back *= 8

    def checkpoints(self) -> Sequence[StoredCheckpoint]:
        """See `Inspector.checkpoints`."""
        with self._explained():
            if not self._has_checkpoints():
                return []
            rows = self._connection.execute(FenceSql(self._names, self._key).read.encode(), self._key).fetchall()
        found = []
        for row in rows:
            stored = dict(zip(COLUMNS, row, strict=True))
            stored["table"] = stored.pop("table_name")
            stored["updated"] = stored["updated"].isoformat()
            stored["position"] = stored["position"] and decode_position(stored["position"])
            found.append(StoredCheckpoint(**stored))
        return found

    def _has_checkpoints(self) -> bool:
        row = self._connection.execute("SELECT to_regclass(%s)", [self._names.checkpoints]).fetchone()
        return row is not None and row[0] is not None

    def reset_checkpoints(self) -> int:
        """See `Inspector.reset_checkpoints`."""
        with self._explained():
            if not self._has_checkpoints():
                return 0
            sql = FenceSql(self._names, self._key).release
            return self._connection.execute(sql.encode(), self._key).rowcount

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise connection_failure(str(error), self._where) from None
            grant = f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA {self._names.schema or 'public'} TO this user"
            raise statement_failure(
                error.sqlstate, error.diag.message_primary or str(error), self._where, grant
            ) from None

    def close(self) -> None:
        """See `Inspector.close`."""
        self._connection.close()
