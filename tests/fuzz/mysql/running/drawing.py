"""A history that is drawn while it is done: each statement is written for the table as the server shows it then."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from tests.fuzz.mysql.draw import Dialect, Draw, quoted
from tests.fuzz.mysql.grammar.changes import insert
from tests.fuzz.mysql.grammar.kinds import pick_kind, pick_last
from tests.fuzz.mysql.grammar.scene import Scene, Session
from tests.fuzz.mysql.grammar.settings import server_setting, session_setting
from tests.fuzz.mysql.grammar.tables import TABLE_NAMES, create_table, merge_tables, side_tables
from tests.fuzz.mysql.running.doing import Doing, Verdict
from tests.fuzz.mysql.shapes import read_shape
from tests.fuzz.mysql.steps import History, Step
from tests.servers.mysqld import DatabaseServer

SUFFIXES = (*[""] * 12, ".db", "ö", "-x", " y", "%")


def draw_head(seed: str, version: str, options: list[str]) -> History:
    """Everything but the steps."""
    draw = Draw(f"{seed}/head", Dialect(version.startswith("mariadb"), ()))
    config = {
        "onLogGap": draw.weighted({"resnapshot": 3.0, "fail": 1.0}),
        "chunkRows": draw.pick([1, 2, 3, 7, 50, 20000]),
    }
    modes = draw.weighted({("upsert",): 5.0, ("upsert", "append"): 3.0, ("append",): 1.0})
    return History(seed, version, options, draw.pick(SUFFIXES), draw.pick(TABLE_NAMES), config, [*modes])


class Drawing:
    """Draws and does one history.

    Args:
        server: A running one, shared.
        draw: What decides.
        history: Its head; it gets the steps that were done.
        name: Unique on the server.
        folder: For datasets.
        patience: Seconds until a connector counts as stuck.
        may_kill: Whether the server may be killed: nobody else uses it.
    """

    def __init__(
        self, server: DatabaseServer, draw: Draw, history: History, name: str, folder: Path, *, patience: float = 60.0,
        may_kill: bool = False,
    ) -> None:  # fmt: skip
        self.draw, self.history = draw, history
        self.doing = Doing(server, history, name, folder, patience)
        self.scene = Scene(history.table, sessions={key: Session(key) for key in ("a", "b", "c")})
        self.drawn: Counter[str] = Counter()
        self._may_kill = may_kill

    async def run(self) -> Verdict:
        await self.doing.open()
        try:
            await self._begin()
            for _ in range(self.draw.number(2, 4)):
                await self._phase()
                if self.doing.is_over:
                    break
            else:
                await self._end()
        finally:
            verdict = await self.doing.close()
        return verdict

    async def _do(self, step: Step, *, counts: bool = True) -> bool:
        if self.doing.is_over:
            return False
        is_done = await self.doing.do(step)
        if is_done:
            self.history.steps.append(step)
            if counts:
                self.drawn[step.kind] += 1
        return is_done

    async def _look(self) -> None:
        """Asks the server how the table is now."""
        cursor = await asyncio.to_thread(self.doing.sessions.oracle)
        self.scene.shape = await asyncio.to_thread(read_shape, cursor, self.doing.database, self.history.table)

    async def _begin(self) -> None:
        draw = self.draw
        for statement in side_tables():
            await self._do(Step("create", statement))
        name = quoted(self.history.table)
        if draw.chance(0.02):
            for statement in merge_tables(name):
                await self._do(Step("merge table", statement))
        for _ in range(12):
            if "merge table" in self.drawn or await self._do(
                Step("create", f"CREATE TABLE {name} {create_table(draw)}")
            ):
                break
        else:
            await self._do(Step("create", f"CREATE TABLE {name} (k0 INT PRIMARY KEY, v VARCHAR(20))"))
        await self._look()
        for _ in range(draw.number(1, 4)):
            for statement in insert(self.scene, draw, draw.number(1, 12)) or []:
                await self._do(Step("insert", statement))
        await self._do(Step("start"))
        if draw.chance(0.5):
            await self._do(Step("sync"))

    async def _phase(self) -> None:
        """Some statements while the connector follows, or while it is away; then it is compared, or not."""
        draw = self.draw
        if draw.chance(0.45):
            await self._do(Step(draw.pick(["stop", "kill", "kill"])))
        for _ in range(draw.number(4, 9)):
            await self._statement()
            if self.doing.is_over:
                return
        if self._may_kill and draw.chance(0.5):
            await self._do(Step("kill server"))
        await self._do(Step("start"))
        if draw.chance(0.6):
            await self._do(Step("sync"))

    async def _statement(self) -> None:
        draw, scene = self.draw, self.scene
        scene.session = draw.pick(["a", "a", "b", "c"])
        if draw.chance(0.18):
            for step in session_setting(scene, draw):
                if step.kind not in draw.without:
                    await self._do(step)
        if draw.chance(0.08):
            for step in server_setting(draw):
                if step.kind not in draw.without:
                    await self._do(step)
        if draw.chance(0.04):
            await self._do(Step("kill"))
            await self._do(Step("start"))
        for _ in range(4):
            kind = pick_kind(draw)
            if not scene.shape.exists:
                return
            statements = kind.write(scene, draw)
            if statements and kind.name not in draw.without:
                await self._say(kind.name, statements, is_definition=kind.is_definition)
                return

    async def _say(self, kind: str, statements: list[str], *, is_definition: bool) -> None:
        scene = self.scene
        is_taken = False
        is_grouped = statements[0].startswith(("BEGIN", "START", "XA", "SET SESSION", "USE"))
        for statement in statements:
            taken = await self._do(Step(kind, statement, scene.session), counts=False)
            is_taken = is_taken or taken
            if not taken and not is_grouped and is_definition:
                break
        if kind == "XA transaction" and not taken:
            self.doing.sessions.drop(scene.session)
            xid = statements[0].removeprefix("XA START ")
            await self.doing.do(Step(kind, f"XA ROLLBACK {xid}", "x"))
        self.drawn[kind] += is_taken
        if is_definition:
            await self._look()

    async def _end(self) -> None:
        draw = self.draw
        if draw.chance(0.16):
            if draw.chance(0.5):
                await self._do(Step("kill"))
            await self._look()
            kind = pick_last(draw)
            statements = kind.write(self.scene, draw) if self.scene.shape.exists else None
            if statements:
                await self._say(kind.name, statements, is_definition=True)
        await self._do(Step("start"))
        await self._do(Step("sync"))
