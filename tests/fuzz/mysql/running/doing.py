"""One history on a server: its steps are done, and at each `sync` the datasets are compared with what the server says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from pathlib import Path

import pymysql

from tests.fuzz.mysql import oracle
from tests.fuzz.mysql.running.connector import TABLE, Connector
from tests.fuzz.mysql.running.files import TableFiles
from tests.fuzz.mysql.running.once import await_table
from tests.fuzz.mysql.running.process import ProcessConnector
from tests.fuzz.mysql.running.sessions import Sessions, nearby
from tests.fuzz.mysql.running.verdict import Said, Verdict, judge_error, needless_gap, repeated_loss
from tests.fuzz.mysql.shapes import read_shape
from tests.fuzz.mysql.steps import FAIL_IN_PART, CopyOnce, History, Step
from tests.servers.mysqld import DatabaseServer

DISCARDED = 1814  # the table is there, its rows are not
CHANGES = "INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD"
NO_KEY = "neither a primary key nor a unique index"
GENERATIONS = 4
"""Of datasets, one after the other, each after somebody was told."""


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
        self._files = TableFiles(server.data, self.database, folder)
        self._server, self._folder = server, folder
        self.connectors: list[Connector] = []
        self.verdict = Verdict()
        self.is_over = False
        self.where = ""  # what is being done
        self._said: list[Said] = []
        self._ends: list[tuple[str, str]] = []
        self._generation = self._compared = 0  # datasets so far; statements up to the last comparison
        self._start = time.monotonic()

    async def open(self) -> None:
        await asyncio.to_thread(
            partial(self._server.execute, **nearby(self._server)),
            *(f"CREATE DATABASE `{name}`" for name in (self.database, f"{self.database}x")),
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
            case "kill in copy":
                for connector in self.connectors:
                    await self._wait_for_copy(connector)
                    await connector.kill(keeps_error=True)
            case "sync":
                await self._sync()
            case "copy once" | "polled":
                await self._copy_once(CopyOnce.from_text(step.sql))
            case "pause":
                await asyncio.sleep(float(step.sql))
            case "kill server":
                await asyncio.to_thread(self._restart)
            case "keep the file" | "put the file back":
                return await asyncio.to_thread(self._files.move, step, self.sessions)
            case _:
                return await self._say(step)
        return True

    async def _wait_for_copy(self, connector: Connector) -> None:
        """Until a part of the copy is in the dataset, and not all of it."""
        deadline = time.monotonic() + self.patience
        while connector.is_running and time.monotonic() < deadline:
            position = connector.position()
            if (position.get("copy") or {}).get("last") or ("copy" not in position and position.get("log")):
                return
            await asyncio.sleep(0.002)

    def _build(self) -> None:
        self._generation += 1
        build = ProcessConnector if self.history.runs_as_processes else Connector
        config = self.history.config
        if self._generation > 1:  # the table has rows by now, which such a connector would never have
            config = {key: value for key, value in config.items() if key != "snapshot"}
        self.connectors = [
            build(
                self._server,
                f"{self.database}.{self.history.table}",
                f"{self.name}-{mode}-{self._generation}",
                mode,
                self._folder,
                config,
            )
            for mode in self.history.modes
        ]

    def _restart(self) -> None:
        self.sessions.close()
        self._server.kill()
        self._server.start()

    async def _say(self, step: Step) -> bool:
        objection = await asyncio.to_thread(self.sessions.run, step)
        if objection is not None and step.kind not in FAIL_IN_PART:
            self.verdict.refused += 1
            if step.sql.startswith(CHANGES):  # without transactions its first rows are there, and it is logged
                self._said.append(Said(step.kind, self.sessions.text(step.sql).strip()))
            return False
        self.verdict.statements += 1
        self._said.append(Said(step.kind, self.sessions.text(step.sql).strip(), has_failed=objection is not None))
        return True

    async def _copy_once(self, copy: CopyOnce) -> None:
        """A run of its own; what it leaves is the table."""
        self._generation += 1
        stream, name = copy.table or self.history.table, f"{self.name}-once-{self._generation}"
        config = {key: value for key, value in self.history.config.items() if key != "snapshot"} | copy.config
        connector = Connector(self._server, f"{self.database}.{stream}", name, copy.write, self._folder, config)
        connector.start()
        try:
            truth = partial(self._truth, stream)
            problem = await await_table(connector, truth, self.patience)
            if copy.then and not problem and connector.is_running:
                for statement in copy.then:
                    await self._say(Step("insert", statement))
                problem = await await_table(connector, truth, self.patience)
            if connector.error is not None:
                self._ended(connector)
            elif not copy.goes_on and await connector.is_running_after(self.patience):
                self._over("stuck", f"{copy}: not at its end after {self.patience:.0f} s; {connector.lines[-2:]}")
            elif problem:
                self._over("mismatch", f"{copy}: {problem}")
        finally:
            await connector.kill()
            self._remove(connector)

    def _truth(self, table: str) -> oracle.Truth | None:
        return oracle.read_truth(self.sessions.oracle(), self.database, table)

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
        ended = [
            await self._judge(connector, is_stuck=connector in waiting)
            for connector in self.connectors
            if not self.is_over
        ]
        if any(ended) and not self.is_over:
            await self._start_over()
        self._compared = len(self._said)

    async def _start_over(self) -> None:
        """A person was told and does what the message says: another dataset, into which the table is copied; the history goes on."""
        for connector in self.connectors:
            await connector.kill()
            self._remove(connector)
        self.connectors = []

    async def _wait_for(self, connectors: list[Connector], end: tuple[str, int]) -> list[Connector]:
        """Until all have come there, or ended; returns those that have not, and get on no more."""
        deadline = time.monotonic() + self.patience
        waiting, known = [*connectors], [connector.progress(*end) for connector in connectors]
        while waiting and time.monotonic() < deadline:
            waiting = [connector for connector in waiting if connector.is_running and not connector.has_reached(*end)]
            await asyncio.sleep(0.04)
            if time.monotonic() > deadline - self.patience / 2:  # a busy machine is slow, which is no defect
                now = [connector.progress(*end) for connector in connectors]
                if now != known:
                    known, deadline = now, time.monotonic() + self.patience
        return waiting

    async def _judge(self, connector: Connector, *, is_stuck: bool) -> bool:
        """Whether it has ended in a way that is right, and another may begin."""
        if connector.error is not None and connector.message().startswith(("PreparedTransactions", "UnknownStream")):
            # Prepared by another history, or by this one a moment ago; or the table was there again a moment later.
            connector.start()
            await self._wait_for([connector], await asyncio.to_thread(self.sessions.log_end))
        if NO_KEY in connector.message() and await self._has_primary_key():  # it may have got one since
            connector.start()
            await self._wait_for([connector], await asyncio.to_thread(self.sessions.log_end))
            if NO_KEY in connector.message() and await self._has_primary_key():
                self._over("needless", f"{connector.mode}: the table has a primary key: {connector.message()}")
                return False
        if connector.error is not None and not connector.message().startswith("UnknownStream"):
            return self._ended(connector)
        try:
            truth = await asyncio.to_thread(self._truth, self.history.table)
        except pymysql.MySQLError as trouble:
            if trouble.args[0] == DISCARDED:
                return await self._await_end(connector)
            self._over("lost", f"the server can't be asked: {trouble}")
            return False
        if truth is None:
            return await self._await_end(connector)
        if connector.message().startswith("UnknownStream"):
            self._over("mismatch", f"{connector.mode}: the table is there: {connector.message()}")
            return False
        letters, incidents = oracle.read_side_tables(connector.path, TABLE)
        if connector.is_not_refreshed and any(text.startswith("refresh") for text in incidents):
            truth = oracle.only_keys(truth)  # it was told that old rows keep their values
        stored = oracle.read_dataset(connector.path, TABLE, truth.shape, connector.mode)
        self.verdict.told = [*self.verdict.told, *incidents][:30]
        recent, new = self._said[self._compared :], incidents[connector.judged :]
        connector.judged = len(incidents)
        needless = next(filter(None, (needless_gap(text, self._said, recent) for text in new)), "")
        needless = needless or repeated_loss(incidents, self._said)
        problem = stored if isinstance(stored, str) else oracle.differences(truth, stored)
        if isinstance(stored, str) and not truth.rows:
            problem = ""
        if connector.error is not None:
            return self._ended(connector)
        if is_stuck:
            self._over(
                "stuck",
                f"{connector.mode}: not at the log's end after {self.patience:.0f} s; {problem}; {connector.lines[-2:]}",
            )
        elif needless:
            self._over("needless", f"{connector.mode}: {needless}")
        elif (
            letters and all("surrogates not allowed" in text for text in letters) and await self._has_stray_bytes(truth)
        ):
            # Told, as docs/mysql.md says: no dataset can hold such a text.
            return self._may_go_on("told", f"dead letters: {letters[:2]}"[:1200])
        elif letters:
            self._over("letters", f"{connector.mode}: {letters[:2]}"[:1200])
        elif problem:
            self._over("mismatch", f"{connector.mode}: {problem}")
        return False

    async def _has_primary_key(self) -> bool:
        """Whether the table has a primary key, also one that the server made and hides."""
        cursor = self.sessions.oracle()
        shape = await asyncio.to_thread(read_shape, cursor, self.database, self.history.table)
        return any(index.name == "PRIMARY" and index.is_usable for index in shape.indexes)

    async def _has_stray_bytes(self, truth: oracle.Truth) -> bool:
        cursor = self.sessions.oracle()
        return await asyncio.to_thread(oracle.has_stray_bytes, cursor, self.database, self.history.table, truth.shape)

    async def _await_end(self, connector: Connector) -> bool:
        """The table is gone: that must be told."""
        await connector.wait(min(self.patience, 15))
        if connector.error is None:
            self._over("mismatch", f"{connector.mode}: the table is gone, and nothing is told")
            return False
        return self._ended(connector)

    def _ended(self, connector: Connector) -> bool:
        message = connector.message()
        outcome = judge_error(message, self._said, is_told=connector.is_told, has_begun=bool(connector.position()))
        if outcome in {"told", "conflict"}:
            return self._may_go_on(outcome, message)
        self._over(outcome, f"{connector.mode}: {message} {connector.lines[-1:]}")
        return False

    def _may_go_on(self, outcome: str, detail: str) -> bool:
        """The history ends so, but not necessarily now."""
        if self._generation >= GENERATIONS:
            self._over(outcome, detail)
            return False
        self._ends.append((outcome, detail))
        return True

    def _over(self, outcome: str, detail: str) -> None:
        self.verdict.outcome, self.verdict.detail = outcome, detail
        self.is_over = True

    async def close(self) -> Verdict:
        for connector in self.connectors:
            await connector.kill()
            self._remove(connector)
        if self._ends and self.verdict.outcome in {"exact", "refused"}:
            self.verdict.outcome, self.verdict.detail = self._ends[0]
        self.verdict.seconds = time.monotonic() - self._start
        await asyncio.to_thread(self._clear)
        return self.verdict

    def _remove(self, connector: Connector) -> None:
        for path in self._folder.glob(f"{connector.path.name}*"):
            path.unlink(missing_ok=True)

    def _clear(self) -> None:
        self.sessions.close()
        with contextlib.suppress(pymysql.MySQLError):  # something of it is locked: the group's server goes away with it
            self._server.execute(
                *(f"DROP DATABASE IF EXISTS `{name}`" for name in (self.database, f"{self.database}x")),
                init_command="SET SESSION lock_wait_timeout = 5",
                **nearby(self._server),
            )
