"""The net effect of many operations on a table with keys, for one merge. Pure.

A merge takes each key once. So operations are folded into one change a key, and the prefixes that are removed before any change.
"""

from __future__ import annotations

from collections.abc import Iterable
from sys import getsizeof
from typing import Any

from connector_runner.datasets.write_plan import key_of
from connector_runner.protocols.batch import Operation, Row
from connector_runner.protocols.schema import StreamSchema

UPSERT, DELETE, INSERT, REPLACE = Operation
CHANGE_BYTES = 160
"""What a change takes in memory beside its row, about: its place in a dictionary, and the pair of operation and row."""


def row_bytes(row: Row) -> int:
    """What a row takes in memory: its values with all their text, and the tuple that holds them."""
    return getsizeof(row) + sum(map(getsizeof, row))


class Changes:
    """The changes that are collected for one schema of one stream.

    Attributes:
        prefixes: Prefixes of keys whose rows are removed, each once.
        rows: Key → what becomes of it (UPSERT, DELETE or INSERT), and the row.
        size: What they take in memory, in bytes.
    """

    def __init__(self, schema: StreamSchema) -> None:
        self.schema = schema
        self.prefixes: dict[Row, None] = {}
        self.rows: dict[Any, tuple[int, Row]] = {}
        self.size = 0
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
            before = self.rows.get(key)
            if operation == INSERT:
                if before is not None and before[0] != DELETE:
                    continue
                if before is not None or self._is_replaced(key):
                    operation = UPSERT
            self.size += row_bytes(row) - (row_bytes(before[1]) if before is not None else -self._added(key))
            self.rows[key] = (operation, row)

    def _added(self, key: Any) -> int:
        return CHANGE_BYTES if self._is_single else CHANGE_BYTES + getsizeof(key)

    def _remove(self, key: Any) -> None:
        removed = self.rows.pop(key, None)
        if removed is not None:
            self.size -= row_bytes(removed[1]) + self._added(key)

    def _replace(self, prefix: Row) -> None:
        count = len(prefix)
        if not count:
            self.rows.clear()
            self.prefixes = {(): None}
            self.size = CHANGE_BYTES
            return
        if self._is_single:
            self._remove(prefix[0])
        else:
            for key in [key for key in self.rows if key[:count] == prefix]:
                self._remove(key)
        if () not in self.prefixes and prefix not in self.prefixes:
            self.prefixes[prefix] = None
            self.size += CHANGE_BYTES + row_bytes(prefix)

    def _is_replaced(self, key: Any) -> bool:
        whole = (key,) if self._is_single else key
        return any(whole[: len(prefix)] == prefix for prefix in self.prefixes)
