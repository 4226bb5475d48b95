"""A connector as a process of its own, which can be killed at any moment: `python -m tests.fuzz.mysql.running.process`.

The process reads its `Run` from its input, and says at its end how it ended: one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.schemas.outcome import ExitCode
from tests.fuzz.mysql.running.connector import Connector, Run, build_engine
from tests.fuzz.mysql.running.pace import hasten

ROOT = Path(__file__).parents[4]


class ProcessConnector(Connector):
    """As `Connector`; `kill` is SIGKILL, `stop` SIGTERM."""

    _process: asyncio.subprocess.Process | None = None

    def start(self) -> None:
        self._runs += 1
        self._has_begun = asyncio.Event()
        self._task = asyncio.create_task(self._follow())
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _follow(self) -> ExitCode:
        """Until the process has ended.

        Raises:
            ActionRequiredError: The same as in the process.
            RuntimeError: It ended in another way, and not by `kill`.
        """
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fuzz.mysql.running.process", cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._has_begun.set()
        output, errors = await process.communicate(json.dumps(asdict(self._run())).encode())
        if process.returncode == -signal.SIGKILL:
            return ExitCode.TERMINATED
        if not output:
            raise RuntimeError(
                f"the process ended with {process.returncode}: {errors.decode(errors='replace')[-1000:]}"
            )
        said: dict[str, Any] = json.loads(output)
        if said["isTold"]:
            raise ActionRequiredError(said["message"], reason=said["reason"])
        if said["message"]:
            raise RuntimeError(said["message"])
        return ExitCode(said["code"])

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def kill(self, *, keeps_error: bool = False) -> None:
        await self._end(signal.SIGKILL)
        if not keeps_error or self.error is None:
            self._task = None

    async def _end(self, number: signal.Signals) -> None:
        task = self._task
        if task is None or task.done():
            return
        waiting = asyncio.create_task(self._has_begun.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        with suppress(ProcessLookupError):
            if self._process is not None:
                self._process.send_signal(number)
        await asyncio.wait({task}, timeout=30)
        if not task.done() and self._process is not None:
            self._process.kill()
            await asyncio.wait({task})


async def _run(run: Run) -> dict[str, Any]:
    hasten()
    engine = build_engine(run, lambda *_, **__: None)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, engine.stop)
    try:
        return {"isTold": False, "message": "", "code": int(await engine.run())}
    except ActionRequiredError as error:
        return {"isTold": True, "message": error.message, "reason": error.reason}
    except Exception as error:
        return {"isTold": False, "message": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_run(Run(**json.load(sys.stdin))))))
