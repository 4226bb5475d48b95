"""Kept histories done again, those of one kind of server side by side on one: `python -m tests.fuzz.mysql.replaying FILE …`."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mysql.running.once_more import replay
from tests.fuzz.mysql.running.pace import hasten
from tests.fuzz.mysql.running.verdict import Verdict
from tests.fuzz.mysql.steps import History
from tests.fuzz.mysql.versions import build_server, fast_folder

AT_ONCE = 6
KEPT = sorted((Path(__file__).parent / "histories").glob("*.json"))


@dataclass(frozen=True)
class Replayed:
    """A kept history, how it had to end, and how it did."""

    name: str
    row: str
    expected: str
    verdict: Verdict

    @property
    def objection(self) -> str:
        """What is wrong; "" for nothing. A statement that the server refuses would make it another history."""
        verdict = self.verdict
        if verdict.outcome == self.expected and not verdict.refused:
            return ""
        return f"{verdict.outcome}, not {self.expected}; {verdict.refused} statements refused; {verdict.detail}"


def read_history(path: Path) -> History:
    return History.from_json(json.loads(path.read_text()))


async def _replay_on_one(paths: list[Path], patience: float) -> list[Replayed]:
    """All have the same server."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(100))
    hasten()
    free = asyncio.Semaphore(AT_ONCE)
    first = read_history(paths[0])
    with (
        tempfile.TemporaryDirectory(prefix="kept-", dir=fast_folder()) as folder,
        build_server(first.version, first.options) as server,
    ):

        async def one(number: int, path: Path) -> Replayed:
            async with free:
                history = read_history(path)
                verdict = await replay(server, history, f"k{number}", Path(folder), patience)
                return Replayed(path.stem, history.row, history.outcome, verdict)

        return [*await asyncio.gather(*(one(number, path) for number, path in enumerate(paths)))]


def replay_all(paths: list[Path], patience: float = 60.0) -> list[Replayed]:
    """In a process of its own."""
    servers: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in paths:
        history = read_history(path)
        servers[history.version, *history.options].append(path)
    return [found for group in servers.values() for found in asyncio.run(_replay_on_one(group, patience))]


def main() -> int:
    found = replay_all([*map(Path, sys.argv[1:])] or KEPT, patience=15.0)
    for replayed in found:
        print(f"{replayed.name}: {replayed.objection or 'as expected'}"[:1000], flush=True)
    return 1 if any(replayed.objection for replayed in found) else 0


if __name__ == "__main__":
    sys.exit(main())
