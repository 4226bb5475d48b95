"""Makes a history that fails as short as it can be: `python -m tests.fuzz.mysql.shrinking FILE …`."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.fuzz.mysql.running.once_more import replay
from tests.fuzz.mysql.running.pace import hasten
from tests.fuzz.mysql.running.verdict import Verdict
from tests.fuzz.mysql.steps import History, Step
from tests.fuzz.mysql.versions import build_server, fast_folder

Fails = Callable[[list[Step]], Awaitable[bool]]


async def shrink_steps(steps: list[Step], fails: Fails) -> list[Step]:
    """Fewer steps that still fail: first large parts are left out, then small ones, until no single one can be."""
    size = max(1, len(steps) // 2)
    while True:
        at, is_shorter = 0, False
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fewer and await fails(fewer):
                steps, is_shorter = fewer, True
            else:
                at += size
        if size > 1:
            size = max(1, size // 2)
        elif not is_shorter:
            return steps


async def shrink(history: History, patience: float = 10.0, tries: int = 250) -> tuple[History, Verdict]:
    """The history with as few steps as show the same outcome, and what it then says."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(100))
    hasten()
    with (
        tempfile.TemporaryDirectory(prefix="shrink-", dir=fast_folder()) as folder,
        build_server(history.version, history.options) as server,
    ):
        number = 0

        async def outcome(steps: list[Step], modes: list[str]) -> Verdict:
            nonlocal number
            number += 1
            return await replay(
                server, replace(history, steps=steps, modes=modes), f"s{number}", Path(folder), patience
            )

        first = await outcome(history.steps, history.modes)
        if not first.is_defect:
            return history, first
        modes = history.modes
        for mode in history.modes:
            if len(history.modes) > 1 and (await outcome(history.steps, [mode])).outcome == first.outcome:
                modes = [mode]
                break

        async def fails(steps: list[Step]) -> bool:
            return number < tries and (await outcome(steps, modes)).outcome == first.outcome

        steps = await shrink_steps(history.steps, fails)
        shorter = replace(history, steps=steps, modes=modes)
        return shorter, await outcome(steps, modes)


def main() -> None:
    for name in sys.argv[1:]:
        history = History.from_json(json.loads(Path(name).read_text()))
        shorter, verdict = asyncio.run(shrink(history))
        print(
            f"\n{name} {history.version} {history.seed} {history.options} {history.config} {shorter.modes} {history.suffix}.{history.table}\n  -> {verdict.outcome}: {verdict.detail[:500]}",
            flush=True,
        )
        if verdict.is_defect:
            for step in shorter.steps:
                print(f"    {step.session}: {step.sql[:300] or step.kind}", flush=True)
            shorter.save(Path(name).with_suffix(".short"))


if __name__ == "__main__":
    main()
