"""Many histories side by side on one server."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.mysql.draw import Draw
from tests.fuzz.mysql.running.drawing import Drawing, draw_head
from tests.fuzz.mysql.running.pace import hasten
from tests.fuzz.mysql.running.verdict import Verdict
from tests.fuzz.mysql.steps import History
from tests.fuzz.mysql.versions import build_server, fast_folder, options_of, read_dialect

GROUP = 40
"""Histories that share a server."""
AT_ONCE = 10
LONGEST = 600.0
"""Seconds of a history: many times what one takes, also where others use the machine."""


@dataclass(frozen=True)
class Plan:
    """How histories are drawn and done.

    Attributes:
        seed, version: Of all of them.
        at_once: How many side by side.
        patience: Seconds until a connector that goes on no more counts as stuck.
        without: Kinds of statements and settings that are not drawn.
        known: Numbers of histories that fail anyway; after another failure nothing more is begun. None: all are done.
    """

    seed: str
    version: str
    at_once: int = AT_ONCE
    patience: float = 60.0
    without: tuple[str, ...] = ()
    known: frozenset[int] | None = None


@dataclass
class Result:
    """One history, and what came of it."""

    number: int
    history: History
    verdict: Verdict
    drawn: dict[str, int]


async def run_group(plan: Plan, numbers: list[int], tell: Callable[[Result], None]) -> None:
    """Histories of one group (`numbers` // GROUP is the same), on a server of their own."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(400))
    hasten()
    version, group = plan.version, numbers[0] // GROUP
    options = options_of(version, group)
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-", dir=fast_folder()) as name,
        build_server(version, options) as server,
    ):
        dialect = read_dialect(server)
        free = asyncio.Semaphore(plan.at_once)
        is_enough = False

        async def one(number: int) -> None:
            nonlocal is_enough
            async with free:
                if is_enough:
                    return
                if server.last_words():  # it crashed: only those that it did then are lost
                    server.start()
                seed = f"{plan.seed}/{version}/{number}"
                drawing = Drawing(
                    server, Draw(seed, dialect, plan.without), draw_head(seed, version, options), f"h{number}", Path(name),
                    patience=plan.patience, may_kill=kills_server(number), is_alone=loses_events(number),
                )  # fmt: skip
                result = await _finish(drawing, number)
                if result.verdict.outcome in {"broken", "lost"}:
                    result.verdict.detail += server.last_words()
                is_enough = is_enough or (
                    plan.known is not None and result.verdict.is_defect and number not in plan.known
                )
                tell(result)

        alone = [number for number in numbers if kills_server(number) or loses_events(number)]
        await asyncio.gather(*(one(number) for number in numbers if number not in alone))
        for number in alone:  # it has the server for itself
            await one(number)


def kills_server(number: int) -> bool:
    """The last history of one group in four may kill the server."""
    return number % (4 * GROUP) == 2 * GROUP - 1


def loses_events(number: int) -> bool:
    """In the last histories of a group the server loses a part of its log, unless they kill it."""
    return number % GROUP >= GROUP - 2 and not kills_server(number)


async def _finish(drawing: Drawing, number: int) -> Result:
    started = time.monotonic()
    verdict = drawing.doing.verdict
    task = asyncio.create_task(drawing.run())
    await asyncio.wait({task}, timeout=LONGEST)
    if not task.done():
        verdict.outcome = "stuck"
        verdict.detail = f"the history took more than {LONGEST:.0f} s, in: {drawing.doing.where}; {_where(task)}"
        task.cancel()
        await asyncio.wait({task}, timeout=30)
    elif error := task.exception():
        verdict.outcome, verdict.detail = "broken", f"{type(error).__name__}: {error}"
    verdict.seconds = time.monotonic() - started
    return Result(number, drawing.history, verdict, dict(drawing.drawn))


def _where(task: asyncio.Task[Verdict]) -> str:
    """What a task waits for, from its outermost call to its innermost."""
    names: list[str] = []
    inner: Any = task.get_coro()
    while inner is not None:
        names.append(getattr(inner, "__qualname__", repr(inner)[:80]))
        inner = getattr(inner, "cr_await", None)
    return " > ".join(names)


def group_results(plan: Plan, numbers: list[int]) -> list[Result]:
    """In a process of its own."""
    results: list[Result] = []

    def tell(result: Result) -> None:
        results.append(result)
        verdict = result.verdict
        print(
            f"{plan.version} {result.number} ({len(results)} of {len(numbers)}): {verdict.outcome}, {verdict.statements} statements, "
            f"{verdict.seconds:.0f} s. {verdict.detail[:300]}",
            flush=True,
        )

    asyncio.run(run_group(plan, numbers, tell))
    return results
