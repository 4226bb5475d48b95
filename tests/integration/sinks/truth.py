"""Comparing a dataset with the script at whatever position its checkpoint has."""

from __future__ import annotations

import json
from typing import Any

from connector_runner.protocols.batch import Operation
from tests.contract.datasets import Dataset
from tests.scripted.script import SCHEMA, Script, apply


class Truth:
    """The script's state at rising positions, computed once."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._next = 0
        self._state: dict[Any, Any] = {}

    def at(self, position: int) -> dict[Any, Any]:
        assert position >= self._next, f"the checkpoint went back from {self._next} to {position}"
        for number in range(self._next, position):
            batch = self.script.batch(number)
            codes = batch.operations or bytes(len(batch.rows))
            operations = ((Operation(code), row) for code, row in zip(codes, batch.rows, strict=True))
            self._state = apply(operations, self._state)
        self._next = position
        return self._state


def committed_position(dataset: Dataset) -> int:
    """`next` of the checkpoint; 0 when nothing was committed."""
    try:
        rows = dataset.query("SELECT position FROM _connector_checkpoints")
    except Exception:  # not made yet
        return 0
    return int(json.loads(rows[0][0])["next"]) if rows and rows[0][0] else 0


def assert_true(dataset: Dataset, truth: Truth) -> int:
    """The rows are exactly what the script says at the committed position."""
    dataset.settle()
    position = committed_position(dataset)
    expected = truth.at(position)
    found = dataset.read(SCHEMA, "rows") if position else []
    assert len(found) == len(expected)
    assert {row[:2]: row for row in found} == expected
    if position:
        assert dataset.query("SELECT count(*) FROM rows_incidents") == [(truth.script.incidents(position),)]
    return position
