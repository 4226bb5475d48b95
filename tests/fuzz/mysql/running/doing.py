"""One history on a server: its steps are done, and at each `sync` the datasets are compared with what the server says."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import pymysql

from tests.fuzz.mysql.oracle import differences, read_dataset, read_side_tables, read_truth
from tests.fuzz.mysql.running.connector import TABLE, Connector
from tests.fuzz.mysql.running.sessions import Sessions
from tests.fuzz.mysql.steps import History, Step
from tests.servers.mysqld import DatabaseServer

# Errors that tell a state of the table or the server rather than one statement.
STATES = ("Preflight", "PreparedTransactions", "UnknownStream", "IncompleteRows", "AmbiguousKey", "UnreadableLabel")
NAMED = 16  # characters of a statement that a message must have to name it


@dataclass
class Verdict:
    """How a history ended.

    Attributes:
        outcome: `exact`, `told`, `vague` (an error that names no statement), `refused` (at a start), `conflict` (types that the
            dataset's table can't take, as docs/guarantees.md says), or a defect: `mismatch`, `stuck`,
            `crash`, `letters`.
        detail: For people.
        told: Errors and incidents on the way.
        statements: How many the server took.
    """

    outcome: str = "exact"
    detail: str = ""
    told: list[str] = field(default_factory=list)
    statements: int = 0
    refused: int = 0
    seconds: float = 0.0

    @property
    def is_defect(self) -> bool:
        return self.outcome in {"mismatch", "stuck", "crash", "letters", "vague"}


class Doing:
    """Does steps one by one.

    Args:
        server: A running one.
        history: Its head; steps are given to `do`.
        name: Unique on the server.
        folder: For datasets.
        patience: Seconds until a connector that doesn't come to the log's end counts as stuck.
    """

    def __init__(
        self, server: DatabaseServer, history: History, name: str, folder: Path, patience: float = 60.0
    ) -> None:
        self.history, self.name, self.patience = history, name, patience
        self.database = f"{name}{history.suffix}"
        self.sessions = Sessions(server, self.database)
        self._server, self._folder = server, folder
        self.connectors: list[Connector] = []
        self.verdict = Verdict()
        self.is_over = False
        self.where = ""  # what is being done
        self._said: list[str] = []
        self._generation = 0
        self._start = time.monotonic()

    async def open(self) -> None:
        await asyncio.to_thread(
            self._server.execute, *(f"CREATE DATABASE `{name}`" for name in (self.database, f"{self.database}x"))
        )

    async def do(self, step: Step) -> bool:
        """Whether it was done: False when the server refused it."""
        self.where = f"{step.kind} {step.sql[:200]}"
        match step.kind:
            case "start":
                if not self.connectors:
                    self._build()
                for connector in self.connectors:
                    if not connector.is_running:
                        connector.start()
            case "stop":
                for connector in self.connectors:
                    await connector.stop()
            case "kill":
                for connector in self.connectors:
                    await connector.kill(keeps_error=True)
            case "sync":
                await self._sync()
            case "kill server":
                await asyncio.to_thread(self._restart)
            case _:
                return await self._say(step)
        return True

    def _build(self) -> None:
        self._generation += 1
        self.connectors = [
            Connector(
                self._server,
                f"{self.database}.{self.history.table}",
                f"{self.name}-{mode}-{self._generation}",
                mode,
                self._folder,
                self.history.config,
            )
            for mode in self.history.modes
        ]

    def _restart(self) -> None:
        self.sessions.close()
        self._server.kill()
        self._server.start()

    async def _say(self, step: Step) -> bool:
        objection = await asyncio.to_thread(self.sessions.run, step)
        if objection is not None:
            self.verdict.refused += 1
            return False
        self.verdict.statements += 1
        self._said.append(self.sessions.text(step.sql).strip())
        return True

    # --- comparing

    async def _sync(self) -> None:
        if not self.connectors:
            return
        try:
            end = await asyncio.to_thread(self.sessions.log_end)
        except pymysql.MySQLError as error:
            self._over("lost", f"the server can't be asked: {error}")
            return
        waiting = await self._wait_for(self.connectors, end)
        for connector in self.connectors:
            await self._judge(connector, is_stuck=connector in waiting)
            if self.is_over:
                return

    async def _wait_for(self, connectors: list[Connector], end: tuple[str, int]) -> list[Connector]:
        """Until all have come there, or ended; returns those that have not."""
        deadline = time.monotonic() + self.patience
        waiting = [*connectors]
        while waiting and time.monotonic() < deadline:
            waiting = [connector for connector in waiting if connector.is_running and not connector.has_reached(*end)]
            await asyncio.sleep(0.04)
        return waiting

    async def _judge(self, connector: Connector, *, is_stuck: bool) -> None:
        if connector.error is not None and connector.message().startswith("PreparedTransactions"):
            connector.start()  # another history's, or of this one a moment ago: they are finished meanwhile
            await self._wait_for([connector], await asyncio.to_thread(self.sessions.log_end))
        if connector.error is not None:
            self._ended(connector)
            return
        try:
            truth = await asyncio.to_thread(
                lambda: read_truth(self.sessions.oracle(), self.database, self.history.table)
            )
        except pymysql.MySQLError as trouble:
            self._over("lost", f"the server can't be asked: {trouble}")
            return
        if truth is None:
            await self._await_end(connector)
            return
        stored = read_dataset(connector.path, TABLE, truth.shape, connector.mode)
        letters, incidents = read_side_tables(connector.path, TABLE)
        self.verdict.told = [*self.verdict.told, *incidents][:30]
        problem = stored if isinstance(stored, str) else differences(truth, stored)
        if isinstance(stored, str) and not truth.rows:
            problem = ""
        if connector.error is not None:
            self._ended(connector)
        elif is_stuck:
            self._over(
                "stuck",
                f"{connector.mode}: not at the log's end after {self.patience:.0f} s; {problem}; {connector.lines[-2:]}",
            )
        elif letters:
            self._over("letters", f"{connector.mode}: {letters[:2]}"[:1200])
        elif problem:
            self._over("mismatch", f"{connector.mode}: {problem}")

    async def _await_end(self, connector: Connector) -> None:
        """The table is gone: that must be told."""
        await connector.wait(min(self.patience, 15))
        if connector.error is None:
            self._over("mismatch", f"{connector.mode}: the table is gone, and nothing is told")
        else:
            self._ended(connector)

    def _ended(self, connector: Connector) -> None:
        message = connector.message()
        if not connector.is_told:
            self._over("crash", f"{connector.mode}: {message} {connector.lines[-1:]}")
        elif message.startswith(STATES) and not connector.position():
            self._over("refused", message)
        elif message.startswith("SchemaConflict") and "can't hold stream" in message:
            self._over("conflict", message)
        elif message.startswith(STATES) or _names_one_of(message, self._said):
            self._over("told", message)
        else:
            self._over("vague", f"{connector.mode}: {message}")

    def _over(self, outcome: str, detail: str) -> None:
        self.verdict.outcome, self.verdict.detail = outcome, detail
        self.is_over = True

    async def close(self) -> Verdict:
        for connector in self.connectors:
            await connector.kill()
            for path in self._folder.glob(f"{connector.path.name}*"):
                path.unlink(missing_ok=True)
        self.verdict.seconds = time.monotonic() - self._start
        await asyncio.to_thread(self._clear)
        return self.verdict

    def _clear(self) -> None:
        self.sessions.close()
        with contextlib.suppress(pymysql.MySQLError):  # something of it is locked: the group's server goes away with it
            self._server.execute(
                *(f"DROP DATABASE IF EXISTS `{name}`" for name in (self.database, f"{self.database}x")),
                init_command="SET SESSION lock_wait_timeout = 5",
            )


_LEFT_OUT_BUT_COMMENTS = re.compile(r"\s")
_OPENED = re.compile(r"/\*M?!\d*(.*?)\*/", re.DOTALL)
_LEFT_OUT = re.compile(r"/\*.*?\*/|[\s`\"]", re.DOTALL)


def _names_one_of(message: str, statements: list[str]) -> bool:
    """Whether the message has the beginning of a statement; servers write DROP anew, one table a statement, with other quotes."""
    squeezed = _squeeze(message)
    if any((start := _squeeze(text)[:NAMED]) and start in squeezed for text in statements):
        return True
    # XA COMMIT is logged with its id in hexadecimal digits.
    ids = [text.split("'")[1].encode().hex() for text in statements if text.startswith("XA COMMIT '")]
    if any(f"xacommitx'{digits}'" in squeezed for digits in ids):
        return True
    return "generatedbyserver" in _LEFT_OUT_BUT_COMMENTS.sub("", message).lower() and any(
        "drop" in _squeeze(text) for text in statements
    )


def _squeeze(text: str) -> str:
    return _LEFT_OUT.sub("", _OPENED.sub(r"\1", text)).lower()


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
