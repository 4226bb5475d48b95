"""The source through the real pipeline into a real dataset, inside the test's event loop."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from connector_runner.pipeline.engine import Engine
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.registry import build_sink
from connector_runner.schemas.config import config_problems, config_schema, fill_defaults
from connector_runner.sources.ethereum import build_source
from tests.kit import waiting
from tests.servers.anvil import RpcNode

_runs = count(1)
"""Each runner is an execution of its own, as the operator numbers them."""


@dataclass
class Dataset:
    """A table in SQLite or PostgreSQL."""

    url: str
    table: str = "chain"

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows; none while the table is not there."""
        if self.url.startswith("sqlite"):
            path = urlsplit(self.url).path.replace("//", "/")
            if not Path(path).exists():
                return []
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
            try:
                return connection.execute(statement).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise
            finally:
                connection.close()
        with psycopg.connect(self.url, autocommit=True) as database, suppress(psycopg.errors.UndefinedTable):
            return database.execute(statement.encode()).fetchall()
        return []

    def execute(self, statement: str) -> None:
        """As a person would do it in a terminal."""
        if self.url.startswith("sqlite"):
            with sqlite3.connect(urlsplit(self.url).path.replace("//", "/"), timeout=30) as connection:
                connection.execute(statement)
            connection.close()
        else:
            with psycopg.connect(self.url, autocommit=True) as database:
                database.execute(statement.encode())

    def position(self) -> dict[str, Any]:
        """Of the checkpoint; empty when there is none."""
        rows = self.query(f"SELECT position FROM _connector_checkpoints WHERE table_name = '{self.table}'")
        found = rows[0][0] if rows else None
        return (json.loads(found) if isinstance(found, str) else found) or {}


def sqlite_dataset(folder: Path, table: str = "chain") -> Dataset:
    return Dataset(f"sqlite:///{folder}/data.db", table)


@dataclass
class Lines:
    """The log, kept for asserting on it."""

    lines: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def __call__(self, level: str, message: str, /, **fields: Any) -> None:
        self.lines.append(f"{level} {message} {fields}")


class Counters(NoMeters):
    """Counts by name, for asserting on them."""

    def __init__(self, log: Lines) -> None:
        self._log = log

    def count(self, name: str, amount: int) -> None:
        self._log.counts[name] = self._log.counts.get(name, 0) + amount


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as a runner would pass it on."""
    schema = config_schema("ETHEREUM")
    filled = fill_defaults(config, schema)
    assert config_problems(filled, schema) == ()
    return filled


@asynccontextmanager
async def running(
    config: dict[str, Any], stream: str, dataset: Dataset, *, mode: WriteMode = WriteMode.UPSERT, wait: bool = True,
    log: Lines | None = None, run: int = 0,
) -> AsyncIterator[asyncio.Task[Any]]:  # fmt: skip
    """A runner; at the end it is stopped as SIGTERM does it."""
    log = log or Lines()
    telemetry = Telemetry(log, Counters(log))
    context = SourceContext(checked(config), "tests/chain", mode, telemetry)
    sink = build_sink(
        SinkContext(
            lambda: dataset.url,
            {stream: dataset.table},
            "tests/chain",
            uid="uid",
            run=run or next(_runs),
            write_mode=mode,
            wait=wait,
        )
    )
    engine = Engine(lambda: build_source(context), sink, telemetry, wait=wait)
    task = asyncio.create_task(engine.run())
    try:
        yield task
        if not task.done() and not task.cancelling():  # a cancelled one is a killed one
            engine.stop()
            await asyncio.wait_for(task, 60)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], what: str, task: asyncio.Task[Any] | None = None) -> None:
    """Polls, in a thread; fails with what the runner died of, or after the deadline."""
    await waiting.until(condition, what, task=task, pause=0.05, blocks=True)


async def until_head(dataset: Dataset, node: RpcNode, task: asyncio.Task[Any]) -> None:
    """Until the dataset's last block is the node's."""

    def is_there() -> bool:
        return bool(dataset.position().get("hash") == node.block("latest")["hash"])

    await until(is_there, "the dataset is at the node's head", task)
