"""A run of the bank's streams in a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from connector_runner.pipeline.queue import Limits
from connector_runner.protocols.sink import SinkContext
from tests.kit.pipeline import Run
from tests.scripted.bank import Bank, BankSource

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
