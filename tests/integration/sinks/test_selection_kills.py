"""SIGKILL at each statement of a selection's claims, changes and commits: afterwards each table is exactly what its position says."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from connector_runner.protocols.sink import StoredCheckpoint
from connector_runner.registry import build_inspector
from tests.kit.datasets import Dataset
from tests.kit.pipeline import context
from tests.scripted.bank import Bank
from tests.scripted.carrying import carry_bank, change_bank
from tests.scripted.killing import KillAtStatement
from tests.scripted.process import fork

SELECTIONS = ("t0 t1 t2", "t0", "t1 t2", "t0 t1 t2", "t2")
BANK = Bank(seed=31, moves=4000)


def stored(dataset: Dataset) -> list[StoredCheckpoint]:
    tables = {stream: f"{stream}_rows" for stream in BANK.streams}
    inspector = build_inspector(context(dataset, tables=tables, is_selection=True), create=True)
    try:
        return list(inspector.checkpoints())
    finally:
        inspector.close()


def assert_exact(dataset: Dataset) -> dict[str, int]:
    """Each table is as it was after the moves that its stream's position names; returns how many."""
    reached = {}
    for one in stored(dataset):
        if one.position is None:
            continue
        at, part = one.position["next"], one.position["part"]
        moves = at + (1 if part and BANK.sides(at)[0] == one.stream else 0)
        found = dataset.query(f"SELECT id, balance FROM {one.table} ORDER BY id")
        assert [tuple(row) for row in found] == BANK.balances(one.stream, moves), f"{one.stream} at {one.position}"
        reached[one.stream] = moves
    return reached


@pytest.mark.fault
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_every_statement_of_a_selection(dataset: Dataset, tmp_path: Path, after: bool) -> None:
    for number in range(1, 61):
        streams = SELECTIONS[number % len(SELECTIONS)].split()
        arguments = (dataset.url, str(tmp_path), streams, number, KillAtStatement(number, after), BANK)
        process = fork(carry_bank, arguments)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, f"run {number}"
        dataset.settle()
        reached = assert_exact(dataset)
    assert set(reached) == set(BANK.streams)
    assert 0 < max(reached.values()) < BANK.moves


CHANGES = (("t0", "t1"), ("t0", "t1", "t2"), ("t1", "t2"), ("t0",))


@pytest.mark.fault
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_every_statement_of_a_change_while_it_runs(dataset: Dataset, tmp_path: Path, after: bool) -> None:
    """Each run begins with what the one before it was about to select."""
    for number in range(1, 61):
        turned = [CHANGES[(number + step) % len(CHANGES)] for step in range(len(CHANGES))]
        arguments = (dataset.url, str(tmp_path), turned, number, KillAtStatement(number, after), BANK)
        process = fork(change_bank, arguments)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, f"run {number}"
        dataset.settle()
        reached = assert_exact(dataset)
    assert set(reached) == set(BANK.streams)
    assert 0 < max(reached.values()) < BANK.moves
