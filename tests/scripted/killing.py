"""Hooks for a runner's process."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from connector_runner.datasets.procedure import Statement
from connector_runner.protocols.sink import SinkContext
from connector_runner.registry import build_sink
from connector_runner.sinks.http.client import Client
from connector_runner.sinks.postgresql.session import Session


@dataclass
class KillAtStatement:
    """Runs in the runner's process: SIGKILL before or after its n-th statement on the database, or POST.

    For PostgreSQL, a transaction that is sent as one unit counts as one statement; after means that it is sent but not answered.
    After a POST means that its answer has arrived.
    """

    number: int
    after: bool

    def __call__(self) -> None:
        self._hook_sqlite()
        self._hook_postgresql()
        self._hook_http()

    def _before(self) -> None:
        self.number -= 1
        if self.number == 0 and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)

    def _after(self) -> None:
        if self.number == 0 and self.after:
            os.kill(os.getpid(), signal.SIGKILL)

    def _hook_sqlite(self) -> None:
        connect = sqlite3.connect

        def count(run: Any) -> Any:
            def counted(*arguments: Any) -> Any:
                self._before()
                result = run(*arguments)
                self._after()
                return result

            return counted

        class Counting(sqlite3.Connection):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                self.execute = count(super().execute)  # type: ignore[method-assign]
                self.executemany = count(super().executemany)  # type: ignore[method-assign]

        def patched(*arguments: Any, **options: Any) -> sqlite3.Connection:
            return connect(*arguments, **options, factory=Counting)

        sqlite3.connect = patched  # type: ignore[assignment]

    def _hook_http(self) -> None:
        post = Client.post

        def posted(*arguments: Any, **options: Any) -> None:
            self._before()
            post(*arguments, **options)
            self._after()

        Client.post = posted  # type: ignore[method-assign]

    def _hook_postgresql(self) -> None:
        execute, send = psycopg.AsyncConnection.execute, Session.send

        async def executed(*arguments: Any, **options: Any) -> Any:
            self._before()
            result = await execute(*arguments, **options)
            self._after()
            return result

        def sent(session: Session, commands: Sequence[Statement]) -> Any:
            self._before()
            answer = send(session, commands)
            self._after()
            return answer

        psycopg.AsyncConnection.execute = executed  # type: ignore[method-assign]
        Session.send = sent  # type: ignore[method-assign, assignment]


@dataclass
class LargestFile:
    """Limits the files of the process to this many bytes, until the limit is removed from outside (`prlimit`)."""

    size: int

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))


@dataclass
class Environment:
    """The environment that a pod has, and another hook."""

    variables: dict[str, str]
    then: Callable[[], None] | None = None

    def __call__(self) -> None:
        os.environ.update(self.variables)
        if self.then is not None:
            self.then()


@dataclass
class DataDirectory:
    """The folder for the runner's files."""

    folder: str

    def __call__(self) -> None:
        os.environ["CONNECTOR_DATA_DIR"] = self.folder


def claim_once(url: str, folder: str, streams: Sequence[str], run: int, hook: KillAtStatement) -> None:
    """Claims a selection of `default/test` and ends; for a process of its own."""
    hook()
    tables = {stream: f"{stream}_rows" for stream in streams}
    sink = build_sink(
        SinkContext(
            lambda: url, tables, "default/test", is_selection=True, uid="uid-1", run=run, directory=Path(folder)
        )
    )
    asyncio.run(sink.claim())
    os._exit(0)
