"""A run of the bank's streams in a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from connector_runner.pipeline.queue import Limits
from connector_runner.protocols.sink import SinkContext
from tests.kit.pipeline import Run
from tests.kit.waiting import until
from tests.scripted.bank import Bank, BankSource
from tests.scripted.killing import KillAtStatement

# A commit holds a few moves only, so that there are many.
LIMITS = Limits(queue_rows=12, group_rows=6)


def carry_bank(url: str, folder: str, streams: Sequence[str], run: int, hook: Callable[[], None], bank: Bank) -> None:
    """Carries these streams of the bank into a dataset: one alone, or a selection of several."""
    hook()
    tables = {stream: f"{stream}_rows" for stream in streams}
    sink = SinkContext(
        lambda: url, tables, "default/test", is_selection=len(tables) > 1, uid="uid-1", run=run, directory=Path(folder),
        wait=run % 2 == 0,
    )  # fmt: skip

    async def carry() -> None:
        await Run(lambda: BankSource(bank), sink, wait=sink.wait, limits=LIMITS).start().end()

    asyncio.run(carry())
    os._exit(0)


def change_bank(
    url: str, folder: str, selections: Sequence[Sequence[str]], run: int, kill: KillAtStatement, bank: Bank
) -> None:
    """Carries the bank with the first selection, and changes it to the others in turn; it is killed at the n-th statement after that began."""
    number, kill.number = kill.number, 1 << 60
    kill()
    tables = [{stream: f"{stream}_rows" for stream in streams} for streams in selections]
    sink = SinkContext(
        lambda: url, tables[0], "default/test", is_selection=True, uid="uid-1", run=run, directory=Path(folder),
        wait=run % 2 == 0,
    )  # fmt: skip

    async def carry() -> None:
        carried = Run(lambda: BankSource(bank), sink, wait=sink.wait, limits=LIMITS).start()
        await until(lambda: carried.telemetry.totals.rows > 0, "the first rows")
        kill.number = number
        for wanted in itertools.cycle(tables[1:]):
            await carried.engine.select(wanted)

    asyncio.run(carry())
