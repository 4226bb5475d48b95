"""What runs beside the reader and the writer of a run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from connector_runner.commands.run import background
from connector_runner.pipeline.rotation import fingerprint


def test_a_folder_of_secrets_that_is_replaced_while_it_is_read_counts_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = fingerprint([])

    def gone(path: Path) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "iterdir", gone)
    assert fingerprint([tmp_path]) == absent


async def test_an_error_beside_the_run_ends_it_at_once() -> None:
    """Without it the run would not notice any more that a Secret was rotated, and say so when it ends."""

    async def fail() -> None:
        raise ValueError("beside")

    for _ in range(2):
        with pytest.raises(ValueError, match="beside"):
            async with background(asyncio.Event().wait()), background(fail()):
                await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_what_runs_beside_the_run_ends_with_it() -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(wait()):
        await asyncio.sleep(0)
    assert ended.is_set()
