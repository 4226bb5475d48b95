"""What goes out by HTTP, between one stream and many: the ledgers of single streams become one, and nothing is posted twice."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.errors import FenceLostError
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.registry import build_inspector, build_sink
from connector_runner.schemas.outcome import ExitCode
from tests.kit.datasets import HttpDataset
from tests.kit.pipeline import Run, context
from tests.scripted.bank import BankSource, NumberedBank
from tests.scripted.killing import KillAtStatement, claim_once
from tests.scripted.process import fork


@pytest.fixture
def dataset(tmp_path: Path) -> Any:
    made = HttpDataset(tmp_path)
    yield made
    made.close()


def sink_of(dataset: HttpDataset, names: list[str], run: int) -> SinkContext:
    if len(names) == 1:
        return context(dataset, f"{names[0]}_rows", stream=names[0], run=run)
    return context(dataset, tables={name: f"{name}_rows" for name in names}, is_selection=True, run=run)


def posted(dataset: HttpDataset) -> list[tuple[int, int, int]]:
    records = [record for _, record in dataset.server.received]
    return [tuple(int(record[name]) for name in ("id", "balance", "moved")) for record in records]  # type: ignore[misc]


def state(dataset: HttpDataset, bank: NumberedBank, stream: str) -> dict[int, int]:
    wanted = bank.state(stream, 0)
    return {number: balance for number, balance, _ in posted(dataset) if number in wanted}


STEPS = [
    ("t0", 40), ("t1", 60), ("t0 t1", 90), ("t2", 110), ("t1", 120), ("t0 t1 t2", 150), ("t0", 180), ("t2 t0", 210),
    ("t0 t1 t2", 240),
]  # fmt: skip


async def test_streams_change_between_one_and_many_and_nothing_is_posted_twice(dataset: HttpDataset) -> None:
    bank = NumberedBank(seed=16, moves=240)
    reached: dict[str, int] = {}
    for number, (streams, moves) in enumerate(STEPS, 1):
        names = streams.split()
        run = Run(lambda: BankSource(bank, until=moves), sink_of(dataset, names, number)).start()  # noqa: B023
        assert await run.end() is ExitCode.END_OF_STREAM
        reached.update(dict.fromkeys(names, moves))
        for name, at in reached.items():
            assert state(dataset, bank, name) == bank.state(name, at), f"{name} after {streams} until {moves}"
    twice = [row for row, count in Counter(posted(dataset)).items() if count > 1]
    assert twice == []


async def test_who_held_a_stream_alone_posts_no_more_and_no_other_run_starts_there(dataset: HttpDataset) -> None:
    alone = build_sink(sink_of(dataset, ["t0"], 1))
    claim = await alone.claim()
    many = build_sink(sink_of(dataset, ["t0", "t1"], 2))
    await many.claim()
    with pytest.raises(FenceLostError):
        await alone.write(Transaction(claim.number + 1))
    late = build_sink(sink_of(dataset, ["t0"], 1))
    with pytest.raises(FenceLostError, match="run 2 has already claimed"):
        await late.claim()
    for sink in (alone, many, late):
        await sink.close()


async def test_a_run_of_one_stream_that_is_too_late_is_found_in_its_own_file(dataset: HttpDataset) -> None:
    alone = build_sink(sink_of(dataset, ["t0"], 7))
    claim = await alone.claim()
    await alone.close()
    with contextlib.closing(sqlite3.connect(next(dataset.directory.glob("*.checkpoint.db")))) as file, file:
        file.execute('UPDATE _connector_checkpoints SET position = \'{"next":3,"part":0}\'')
    assert claim.epoch == 1
    older = build_sink(sink_of(dataset, ["t0", "t1"], 6))
    with pytest.raises(FenceLostError, match="run 7 has already claimed"):
        await older.claim()
    await older.close()


async def test_what_a_single_stream_had_is_seen_and_reset_through_the_selection(dataset: HttpDataset) -> None:
    bank = NumberedBank(seed=18, moves=40)
    for number, names in enumerate((["t0"], ["t1", "t2"]), 1):
        await Run(lambda: BankSource(bank), sink_of(dataset, names, number)).start().end()
    inspector = build_inspector(sink_of(dataset, ["t0", "t1"], 3))
    stored = {(one.stream, one.table): (one.has_position, one.is_member) for one in inspector.stored_streams().streams}
    inspector.close()
    assert stored == {
        ("t0", "t0_rows"): (True, False),
        ("t1", "t1_rows"): (True, True),
        ("t2", "t2_rows"): (True, True),
    }
    single = build_inspector(sink_of(dataset, ["t0"], 3))
    assert [one.stream for one in single.checkpoints()] == ["t0"]
    assert single.reset_checkpoints() == 1
    assert [one.position for one in single.checkpoints()] == [None]
    single.close()
    again = build_sink(sink_of(dataset, ["t0", "t1"], 4))
    claim = await again.claim()
    await again.close()
    assert claim.checkpoints["t0"] is None


def copied(folder: Path, step: int) -> Path:
    """The ledgers in a folder of their own."""
    target = folder / f"step {step}"
    target.mkdir()
    for file in folder.glob("*.checkpoint.db*"):
        shutil.copy(file, target)
    return target


@pytest.mark.fault
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_kill_at_each_step_of_the_move_loses_no_position(
    dataset: HttpDataset, tmp_path: Path, after: bool
) -> None:
    bank, wanted = NumberedBank(seed=19, moves=30), {}
    for number, name in enumerate(("t0", "t1"), 1):
        run = Run(lambda: BankSource(bank), sink_of(dataset, [name], number)).start()
        assert await run.end() is ExitCode.END_OF_STREAM
        inspector = build_inspector(sink_of(dataset, [name], number))
        wanted[name] = inspector.checkpoints()[0].position
        inspector.close()
    for step in range(1, 80):
        folder = copied(tmp_path, step)
        process = fork(claim_once, (dataset.url, str(folder), ["t0", "t1"], 3, KillAtStatement(step, after)))
        process.join(60)
        sink = build_sink(replace(sink_of(dataset, ["t0", "t1"], 4), directory=folder))
        claim = await sink.claim()
        await sink.close()
        assert {name: at and at.position for name, at in claim.checkpoints.items()} == wanted, f"step {step}"
        if process.exitcode == 0:
            assert step > 15
            return
        assert process.exitcode == -signal.SIGKILL
    raise AssertionError("the claim has more steps than were tried")
