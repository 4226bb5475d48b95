"""The net effect of many operations on a table with keys, for one merge. Pure.

A merge takes each key once. So operations are folded into one change a key, and the prefixes that are removed before any change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connector_runner.datasets.write_plan import key_of
from connector_runner.protocols.batch import Operation, Row
from connector_runner.protocols.schema import StreamSchema

UPSERT, DELETE, INSERT, REPLACE = Operation


class Changes:
    """The changes that are collected for one schema of one stream.

    Attributes:
        prefixes: Prefixes of keys whose rows are removed, each once.
        rows: Key → what becomes of it (UPSERT, DELETE or INSERT), and the row.
    """

    def __init__(self, schema: StreamSchema) -> None:
        self.schema = schema
        self.prefixes: dict[Row, None] = {}
        self.rows: dict[Any, tuple[int, Row]] = {}
        self._key = key_of(schema)
        self._is_single = len(schema.key) == 1

    def __bool__(self) -> bool:
        return bool(self.rows or self.prefixes)

    def add(self, operations: Iterable[tuple[int, Row]]) -> None:
        """Applies operations, in order."""
        for operation, row in operations:
            if operation == REPLACE:
                self._replace(row)
                continue
            key = self._key(row)
            if operation == INSERT:
                before = self.rows.get(key)
                if before is not None and before[0] != DELETE:
                    continue
                if before is not None or self._is_replaced(key):
                    operation = UPSERT
            self.rows[key] = (operation, row)

    def _replace(self, prefix: Row) -> None:
        count = len(prefix)
        if not count:
            self.rows.clear()
            self.prefixes = {(): None}
            return
        if self._is_single:
            self.rows.pop(prefix[0], None)
        else:
            for key in [key for key in self.rows if key[:count] == prefix]:
                del self.rows[key]
        if () not in self.prefixes:
            self.prefixes[prefix] = None

    def _is_replaced(self, key: Any) -> bool:
        whole = (key,) if self._is_single else key
        return any(whole[: len(prefix)] == prefix for prefix in self.prefixes)
