"""SIGKILL at each statement and each POST of many streams that go out by HTTP: nothing is lost, and what is committed is not posted again."""

from __future__ import annotations

import json
import signal
from collections.abc import Collection, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from connector_runner.registry import build_inspector
from connector_runner.schemas.outcome import ExitCode
from tests.kit.datasets import HttpDataset
from tests.kit.pipeline import Run, context
from tests.scripted.bank import BankSource, NumberedBank
from tests.scripted.carrying import carry_bank, change_bank
from tests.scripted.killing import KillAtStatement
from tests.scripted.process import fork

BANK = NumberedBank(seed=41, moves=3000)
STREAMS = BANK.streams
CHANGES = (("t0", "t1"), ("t0", "t1", "t2"), ("t1", "t2"), ("t0",))
SELECTIONS = ("t0 t1 t2", "t1 t2", "t0 t1 t2", "t0", "t2 t0")


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[HttpDataset]:
    made = HttpDataset(tmp_path)
    yield made
    made.close()


def committed(dataset: HttpDataset) -> dict[str, int]:
    """Of each stream with a position, how many moves are before it."""
    tables = {stream: f"{stream}_rows" for stream in STREAMS}
    inspector = build_inspector(context(dataset, tables=tables, is_selection=True), create=True)
    try:
        found = {one.stream: one.position for one in inspector.checkpoints() if one.position is not None}
    finally:
        inspector.close()
    return {
        stream: at["next"] + (1 if at["part"] and BANK.sides(at["next"])[0] == stream else 0)
        for stream, at in found.items()
    }


def posted(dataset: HttpDataset, stream: str, since: int = 0) -> list[tuple[int, int, int]]:
    """The records of a stream in the order of their arrival: account, balance, and the move that made it so."""
    own = BANK.state(stream, 0)
    records = [json.loads(f"[{record['id']}, {record['balance']}, {record['moved']}]") for _, record in dataset.server.received[since:]]  # fmt: skip
    return [(account, balance, move) for account, balance, move in records if account in own]


def assert_nothing_is_missing(dataset: HttpDataset, reached: dict[str, int]) -> None:
    """The server has each stream up to its position, and perhaps what is behind it, each account at one of its states."""
    for stream, moves in reached.items():
        latest = {account: (balance, move) for account, balance, move in posted(dataset, stream)}
        for account, balance in BANK.state(stream, moves).items():
            found, move = latest[account]
            assert found == (balance if move < moves else BANK.state(stream, move + 1)[account]), (stream, account)


class Kills:
    """What the server and the ledger have after each kill, checked against the kill before it."""

    def __init__(self, dataset: HttpDataset) -> None:
        self.dataset = dataset
        self.reached: dict[str, int] = {}
        self.twice = 0
        self._posted = 0

    def check(self, process: ForkServerProcess, streams: Collection[str]) -> None:
        """Waits for the killed run that carried these streams."""
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
        reached = committed(self.dataset)
        assert_nothing_is_missing(self.dataset, reached)
        for stream in STREAMS:
            new = posted(self.dataset, stream, self._posted)
            assert not new or stream in streams, f"{stream} is not carried"
            assert all(move >= self.reached.get(stream, -1) for _, _, move in new), f"{stream} is posted again"
            known = posted(self.dataset, stream)
            self.twice += len({*new} & {*known[: len(known) - len(new)]})
        self.reached, self._posted = reached, len(self.dataset.server.received)

    async def end(self, run: int) -> None:
        """Carries everything to its end."""
        assert self.twice, "a run was killed between an answer and its commit"
        assert 0 < max(self.reached.values()) < BANK.moves
        sink = context(
            self.dataset, tables={stream: f"{stream}_rows" for stream in STREAMS}, is_selection=True, run=run
        )
        assert await Run(lambda: BankSource(BANK), sink).start().end() is ExitCode.END_OF_STREAM
        for stream in STREAMS:
            state = {account: balance for account, balance, _ in posted(self.dataset, stream)}
            assert state == BANK.state(stream, BANK.moves)


@pytest.mark.fault
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_kill_at_every_statement_and_post(dataset: HttpDataset, tmp_path: Path, after: bool) -> None:
    kills = Kills(dataset)
    for number in range(1, 61):
        streams = SELECTIONS[number % len(SELECTIONS)].split()
        arguments = (dataset.url, str(tmp_path), streams, number, KillAtStatement(number, after), BANK)
        kills.check(fork(carry_bank, arguments), streams)
    await kills.end(61)


@pytest.mark.fault
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_kill_at_every_statement_and_post_while_the_selection_changes(
    dataset: HttpDataset, tmp_path: Path, after: bool
) -> None:
    kills = Kills(dataset)
    for number in range(1, 41):
        turned = [CHANGES[(number + step) % len(CHANGES)] for step in range(len(CHANGES))]
        arguments = (dataset.url, str(tmp_path), turned, number, KillAtStatement(number, after), BANK)
        kills.check(fork(change_bank, arguments), STREAMS)
    await kills.end(41)
