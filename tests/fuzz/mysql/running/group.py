"""Many histories side by side on one server."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from connector_runner.sources.mysql import follower
from tests.fuzz.mysql.running.doing import Verdict
from tests.fuzz.mysql.running.drawing import Drawing
from tests.fuzz.mysql.steps import History
from tests.fuzz.mysql.versions import build_server, options_of, read_dialect

GROUP = 40
"""Histories that share a server."""
AT_ONCE = 10
LONGEST = 300.0


@dataclass
class Result:
    """One history, and what came of it."""

    number: int
    history: History
    verdict: Verdict
    drawn: dict[str, int]


async def run_group(
    seed: str,
    version: str,
    numbers: list[int],
    tell: Callable[[Result], None],
    at_once: int = AT_ONCE,
    patience: float = 60.0,
    without: Sequence[str] = (),
) -> None:
    """Histories of one group (`numbers` // GROUP is the same), on a server of their own."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(400))
    follower.QUIET_SECONDS = 0.1  # positions of quiet streams come sooner, so that a history takes less time
    group = numbers[0] // GROUP
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-", dir=_fast_folder()) as name,
        build_server(version, options_of(version, group)) as server,
    ):
        dialect = read_dialect(server)
        free = asyncio.Semaphore(at_once)

        async def one(number: int, *, may_kill: bool = False) -> None:
            async with free:
                drawing = Drawing(
                    server,
                    dialect,
                    f"{seed}/{version}/{number}",
                    version,
                    group,
                    f"h{number}",
                    Path(name),
                    patience=patience,
                    may_kill=may_kill,
                    without=without,
                )
                started = time.monotonic()
                verdict = drawing.doing.verdict
                try:
                    await asyncio.wait_for(drawing.run(), LONGEST)
                except TimeoutError:
                    verdict.outcome, verdict.detail = "stuck", f"the history took more than {LONGEST:.0f} s"
                except Exception as error:
                    verdict.outcome, verdict.detail = "broken", f"{type(error).__name__}: {error}"
                verdict.seconds = time.monotonic() - started
                tell(Result(number, drawing.history, verdict, dict(drawing.drawn)))

        *many, last = numbers
        await asyncio.gather(*(one(number) for number in many))
        with suppress(Exception):
            await one(last, may_kill=len(numbers) == 1 or group % 4 == 1)


def group_results(
    seed: str, version: str, numbers: list[int], at_once: int, patience: float, without: list[str]
) -> list[Result]:
    """In a process of its own."""
    results: list[Result] = []
    asyncio.run(run_group(seed, version, numbers, results.append, at_once, patience, without))
    return results


def _fast_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
