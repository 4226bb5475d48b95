"""A kept history, done once more."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.mysql.running.doing import Doing
from tests.fuzz.mysql.running.verdict import Verdict
from tests.fuzz.mysql.steps import History, Step
from tests.servers.mysqld import DatabaseServer


async def replay(server: DatabaseServer, history: History, name: str, folder: Path, patience: float = 60.0) -> Verdict:
    """Does all steps of a kept history."""
    doing = Doing(server, history, name, folder, patience)
    await doing.open()
    try:
        for step in history.steps:
            await doing.do(step)
            if doing.is_over:
                break
        else:
            await doing.do(Step("start"))
            await doing.do(Step("sync"))
    finally:
        verdict = await doing.close()
    return verdict
