"""A connector in this process: the real pipeline, into an SQLite file; killed as far as a task can be."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.pace import Pace
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.registry import build_sink
from connector_runner.schemas.config import config_problems, config_schema, fill_defaults
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sources.mysql import build_source
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer

TABLE = "rows"
KEPT_LINES = 40


@dataclass(frozen=True)
class Run:
    """One run of a connector, so that another process can do it: its configuration, stream, name, write mode, file and number."""

    config: dict[str, Any]
    stream: str
    name: str
    mode: str
    path: str
    number: int


def build_engine(run: Run, log: Callable[..., None]) -> Engine:
    """The real pipeline, not yet running."""
    schema = config_schema("MYSQL")
    config = fill_defaults(run.config, schema)
    assert not config_problems(config, schema)
    telemetry = Telemetry(log, NoMeters())
    path, connector = Path(run.path), f"fuzz/{run.name}"
    context = SourceContext(config, connector, WriteMode(run.mode), telemetry)
    sink = build_sink(
        SinkContext(
            read_url=lambda: f"sqlite:///{path.name}?synchronous=NORMAL", tables={run.stream: TABLE}, connector=connector, uid="uid",
            run=run.number, write_mode=WriteMode(run.mode), directory=path.parent,
        )
    )  # fmt: skip
    return Engine(lambda: build_source(context), sink, telemetry, wait=True, pace=Pace(heartbeat=0.1, idle=15.0))


class Connector:
    """One stream into one dataset.

    Args:
        server: Whose table it is.
        stream: Its id.
        name: Of the connector, for its number as a replica; unique on the server.
        mode: The dataset's write mode.
        folder: For the dataset.
        config: Besides address and account.
    """

    def __init__(
        self, server: DatabaseServer, stream: str, name: str, mode: str, folder: Path, config: dict[str, Any]
    ) -> None:
        self.mode, self.name, self.stream = mode, name, stream
        self.judged = 0  # how many of the dataset's incidents have been looked at
        self.path = folder / f"{name}.db"
        self.lines: list[str] = []
        self._server, self._config = server, config
        self._task: asyncio.Task[ExitCode] | None = None
        self._engine: Engine | None = None
        self._runs = 0

    def start(self) -> None:
        self._runs += 1
        self._engine = build_engine(self._run(), self._log)
        self._task = asyncio.create_task(self._engine.run())
        self._task.add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )  # it is looked at when it matters

    def _run(self) -> Run:
        server = self._server
        login = {
            "host": server.host, "port": server.port, "user": ADMIN_USER, "password": ADMIN_PASSWORD,
            "ssl": {"mode": "DISABLED"},  # keys for each connection would be a sixth of the work
        }  # fmt: skip
        return Run(login | self._config, self.stream, self.name, self.mode, str(self.path), self._runs)

    def _log(self, level: str, message: str, /, **fields: Any) -> None:
        if level != "info":
            self.lines.append(f"{level}: {message} {fields or ''}"[:1000])
            del self.lines[:-KEPT_LINES]

    @property
    def is_not_refreshed(self) -> bool:
        """Whether rows that a statement changed keep their values, as config.snapshot: never says."""
        return self._config.get("snapshot") == "never"

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def error(self) -> BaseException | None:
        """Why it ended by itself."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    @property
    def is_told(self) -> bool:
        return isinstance(self.error, ActionRequiredError)

    def message(self) -> str:
        error = self.error
        return (
            f"{error.reason}: {error.message}"
            if isinstance(error, ConnectorError)
            else f"{type(error).__name__}: {error}"
        )

    async def wait(self, seconds: float) -> None:
        """Until it has ended by itself, or for so long."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)

    async def is_running_after(self, seconds: float) -> bool:
        """Whether it has not ended by itself by then."""
        await self.wait(seconds)
        return self.is_running

    async def stop(self) -> None:
        """Commits, and ends."""
        if self._engine is not None and self._task is not None:
            self._engine.stop()
            with suppress(TimeoutError, Exception):
                await asyncio.wait_for(asyncio.shield(self._task), 30)
            await self.kill(keeps_error=True)

    async def kill(self, *, keeps_error: bool = False) -> None:
        task = self._task
        if task is None:
            return
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
        if not keeps_error or self.error is None:
            self._task = None

    def position(self) -> dict[str, Any]:
        """The checkpoint's, as it lies in the dataset."""
        try:
            connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=20)
        except sqlite3.OperationalError:
            return {}
        try:
            found = connection.execute("SELECT position FROM _connector_checkpoints").fetchall()
        except sqlite3.OperationalError:
            return {}
        finally:
            connection.close()
        value: dict[str, Any] = json.loads(found[0][0]) if found and found[0][0] else {}
        return value

    def has_reached(self, file: str, offset: int) -> bool:
        """Whether the log's end of a moment ago is behind it, and no copy goes on."""
        position = self.position()
        log = position.get("log") or {}
        if not log or "copy" in position or not log.get("file"):
            return False
        known = int(log["file"].rpartition(".")[2]), log["offset"]
        return known >= (int(file.rpartition(".")[2]), offset)

    def progress(self, file: str, offset: int) -> object:
        """How far it is on its way to that end; what the log has behind it is of others."""
        position = self.position()
        log = position.get("log") or {}
        known = (int(log["file"].rpartition(".")[2]), log["offset"]) if log.get("file") else (0, 0)
        return position.get("copy"), min(known, (int(file.rpartition(".")[2]), offset))
