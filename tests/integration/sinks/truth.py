"""Comparing a dataset with the script at whatever position its checkpoint has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from connector_runner.protocols.batch import Operation, Row
from tests.kit.datasets import Dataset
from tests.scripted.script import SCHEMA, Script, apply


class Truth:
    """The script's state at rising positions, computed once."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.next = 0
        self._state: dict[Any, Any] = {}

    def at(self, position: int) -> dict[Any, Any]:
        self._state = apply(self._operations(position), self._state)
        return self._state

    def _operations(self, position: int) -> Iterator[tuple[Operation, Row]]:
        """Those from the last position to this one."""
        assert position >= self.next, f"the checkpoint went back from {self.next} to {position}"
        for number in range(self.next, position):
            batch = self.script.batch(number)
            codes = batch.operations or bytes(len(batch.rows))
            for code, row in zip(codes, batch.rows, strict=True):
                yield Operation(code), row
        self.next = position


class HistoryTruth(Truth):
    """What append mode adds from one position to the next: the operations as they came, a retraction for each row replaced."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.entries = 0
        # By key, in the order of the latest entries.
        self._live: dict[Any, Row] = {}

    def since(self, position: int) -> list[tuple[Row, str]]:
        added: list[tuple[Row, str]] = []
        for operation, row in self._operations(position):
            if operation is Operation.REPLACE:
                replaced = [key for key in self._live if key[: len(row)] == row]
                added += [(self._live.pop(key), "delete") for key in replaced]
                continue
            self._live.pop(row[:2], None)
            if operation is not Operation.DELETE:
                self._live[row[:2]] = row
            added.append((row, operation.name.lower()))
        self.entries += len(added)
        return added


def committed_position(dataset: Dataset) -> int:
    """`next` of the checkpoint; 0 when nothing was committed."""
    try:
        rows = dataset.query("SELECT position FROM _connector_checkpoints")
    except Exception:  # not made yet
        return 0
    return int(json.loads(rows[0][0])["next"]) if rows and rows[0][0] else 0


def assert_true(dataset: Dataset, truth: Truth) -> int:
    """The rows are exactly what the script says at the committed position; of a history those added since the last look."""
    dataset.settle()
    position = committed_position(dataset)
    if isinstance(truth, HistoryTruth):
        seen = truth.entries
        added = truth.since(position)
        if position:
            found = dataset.read(SCHEMA, "rows", ["_op"], order=f"_id LIMIT 1000000 OFFSET {seen}")
            assert [(row[:-1], row[-1]) for row in found] == added
    else:
        expected = truth.at(position)
        found = dataset.read(SCHEMA, "rows") if position else []
        assert len(found) == len(expected)
        assert {row[:2]: row for row in found} == expected
    if position:
        assert dataset.query("SELECT count(*) FROM rows_incidents") == [(truth.script.incidents(position),)]
    return position
