"""A history that is drawn while it is done: each statement is written for the table as the server shows it then."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from tests.fuzz.mysql.draw import Dialect, Draw, quoted
from tests.fuzz.mysql.grammar.beginnings import Beginning, draw_beginning
from tests.fuzz.mysql.grammar.changes import insert
from tests.fuzz.mysql.grammar.kinds import pick_kind, pick_last
from tests.fuzz.mysql.grammar.motifs import key_again, pick_motif, values_again
from tests.fuzz.mysql.grammar.scene import Kind, Scene, Session, Words
from tests.fuzz.mysql.grammar.settings import server_setting, session_setting
from tests.fuzz.mysql.grammar.tables import FAMILIES, TABLE_NAMES, side_tables
from tests.fuzz.mysql.running.doing import Doing
from tests.fuzz.mysql.running.verdict import Verdict
from tests.fuzz.mysql.shapes import read_shape
from tests.fuzz.mysql.steps import CopyOnce, History, Step
from tests.servers.mysqld import DatabaseServer

PROCESSES = 0.06
"""How many histories have connectors that are processes: a start of one takes a second."""
FRAMES = (
    "BEGIN",
    "START TRANSACTION",
    "XA START",
    "XA END",
    "SET SESSION",
    "SET GLOBAL",
    "USE ",
    "CREATE TEMPORARY",
    "COMMIT",
)
"""Beginnings of statements that only make room for others: a kind is drawn when the server took one of the others."""
_MID_COPY = (
    Kind("key altered in mid-copy", "", 0, key_again),
    Kind("values altered in mid-copy", "", 0, values_again),
)
SUFFIXES = (*[""] * 12, ".db", "ö", "-x", " y", "%")


def draw_head(seed: str, version: str, options: list[str]) -> History:
    """Everything but the steps."""
    draw = Draw(f"{seed}/head", Dialect(version.startswith("mariadb"), ()))
    config = {
        "onLogGap": draw.weighted({"resnapshot": 3.0, "fail": 1.0}),
        "chunkRows": draw.pick([1, 2, 3, 7, 50, 20000]),
    }
    modes = draw.weighted({("upsert",): 5.0, ("upsert", "append"): 3.0, ("append",): 1.0})
    history = History(seed, version, options, draw.pick(SUFFIXES), draw.pick(TABLE_NAMES), config, [*modes])
    history.runs_as_processes = draw.chance(PROCESSES)
    return history


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
        is_alone: Whether something is done that concerns all tables of the server: nobody else uses it.
    """

    def __init__(
        self, server: DatabaseServer, draw: Draw, history: History, name: str, folder: Path, *, patience: float = 60.0,
        may_kill: bool = False, is_alone: bool = False,
    ) -> None:  # fmt: skip
        self.draw, self.history = draw, history
        self.doing = Doing(server, history, name, folder, patience)
        self.scene = Scene(history.table, sessions={key: Session(key) for key in ("a", "b", "c")})
        self.drawn: Counter[str] = Counter(["connectors as processes"] if history.runs_as_processes else [])
        self._may_kill, self._is_alone = may_kill, is_alone

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
        draw.favoured = frozenset(draw.some([*FAMILIES], 0, 2))
        for statement in side_tables():
            await self._do(Step("create", statement))
        beginning = await self._make_table()
        await self._look()
        if beginning.rows:
            for statement in beginning.rows:
                await self._do(Step("insert", statement))
        elif not beginning.is_empty:
            for _ in range(draw.number(1, 4)):
                await self._say_changes("insert", insert(self.scene, draw, draw.number(1, 12)))
        for step in (*beginning.prepared, Step("start"), *beginning.finished):
            await self._do(step)
        if beginning.is_copied_in_parts:
            await self._interrupt_copy()
        elif beginning.later or beginning.alone or beginning.is_empty or draw.chance(0.6):
            await self._do(Step("sync"))
            for statement in beginning.later:
                await self._do(Step("rows of other tables", statement))
            if beginning.alone and draw.chance(0.5):
                await self._do(Step("kill"))
            for step in beginning.alone:
                await self._do(step)
            await self._do(Step("start"))
            await self._do(Step("sync"))
        if beginning.shown_by:
            kind = Kind(f"shown: {beginning.kind}", "", 0, draw.pick(beginning.shown_by))
            await self._do(Step("sync"))
            await self._do(Step(draw.pick(["stop", "kill"])))
            await self._say(kind, kind.write(self.scene, draw))
            await self._do(Step("start"))
            await self._do(Step("sync"))

    async def _make_table(self) -> Beginning:
        """Until the server takes a definition."""
        draw, name = self.draw, quoted(self.history.table)
        for _ in range(12):
            beginning = draw_beginning(self.history.table, draw, is_alone=self._is_alone)
            taken = [await self._do(step) for step in beginning.steps]
            if all(taken):
                self.history.config |= beginning.config
                return beginning
        await self._do(Step("create", f"CREATE TABLE {name} (k0 INT PRIMARY KEY, v VARCHAR(20))"))
        return Beginning("create", [])

    async def _interrupt_copy(self) -> None:
        """Stops the connector while it copies; meanwhile something happens to the table."""
        draw = self.draw
        await self._do(Step("kill in copy"))
        kind = draw.weighted({_MID_COPY[0]: 4.0, _MID_COPY[1]: 4.0, pick_kind(draw): 2.0})
        await self._say(kind, kind.write(self.scene, draw))
        if draw.chance(0.3):
            await self._say_changes("insert", insert(self.scene, draw))
        await self._do(Step("start"))
        await self._do(Step("sync"))

    async def _phase(self) -> None:
        """Some statements while the connector follows, or while it is away; then it is compared, or not."""
        draw = self.draw
        if draw.chance(0.8):
            await self._motif()
        if draw.chance(0.45):
            await self._do(Step(draw.pick(["stop", "kill", "kill"])))
        for _ in range(draw.number(4, 7)):
            await self._statement()
            if self.doing.is_over:
                return
        if self._may_kill and draw.chance(0.5):
            await self._do(Step("kill server"))
        await self._do(Step("start"))
        if draw.chance(0.5):
            await self._do(Step("sync"))

    async def _motif(self) -> None:
        """A motif, from a state that was compared; the datasets are compared right after it."""
        draw, scene = self.draw, self.scene
        scene.session = draw.pick(["a", "b", "c"])
        await self._do(Step("sync"))  # what went wrong before is not this motif's
        if not self.doing.connectors:
            await self._see_to_it()
        if draw.chance(0.4):
            await self._do(Step(draw.pick(["stop", "kill", "kill"])))
        for _ in range(6):
            if not scene.shape.exists or self.doing.is_over:
                return
            kind = pick_motif(draw)
            if kind.name not in draw.without and await self._say(kind, kind.write(scene, draw)):
                break
        if draw.chance(0.2):
            await self._statement()
        await self._do(Step("start"))
        if draw.chance(0.9):
            await self._do(Step("sync"))

    async def _see_to_it(self) -> None:
        """As a person does who was told that the table can't be followed; then it is copied again."""
        await self._look()
        name = quoted(self.history.table)
        for key in self.scene.shape.foreign_keys:
            await self._do(Step("foreign key", f"ALTER TABLE {name} DROP FOREIGN KEY {quoted(key)}"))
        await self._do(Step("start"))
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
            if kind.name not in draw.without and await self._say(kind, kind.write(scene, draw)):
                return

    async def _say_changes(self, kind: str, words: Words) -> None:
        for text in words or []:
            await self._do(text if isinstance(text, Step) else Step(kind, text))

    async def _say(self, kind: Kind, words: Words) -> bool:
        """Whether there was something to say."""
        if not words:
            return False
        steps = [word if isinstance(word, Step) else Step(kind.name, word, self.scene.session) for word in words]
        is_grouped = steps[0].sql.startswith(("BEGIN", "START", "XA", "SET", "USE"))
        is_drawn = taken = is_without = False
        for step in steps:
            if is_without and step is not steps[-1]:
                continue  # without the temporary table, or in this database, this would be said of the table itself
            taken = await self._do(step, counts=step.kind != kind.name)
            is_drawn = is_drawn or (taken and step.kind == kind.name and not step.sql.startswith(FRAMES))
            is_without = is_without or (not taken and step.sql.startswith(("CREATE TEMPORARY", "USE ")))
            if not taken and not is_grouped and kind.is_definition:
                break
        if kind.name == "XA transaction" and not taken:
            self.doing.sessions.drop(self.scene.session)
            xid = steps[0].sql.removeprefix("XA START ")
            await self.doing.do(Step(kind.name, f"XA ROLLBACK {xid}", "x"))
        self.drawn[kind.name] += is_drawn
        if kind.is_definition:
            await self._look()
        return True

    async def _copy_once(self) -> None:
        """A run that ends by itself, of the table, the table without its key, or a view of it."""
        draw, name, view = self.draw, quoted(self.history.table), ""
        await self._do(Step("sync"))
        await self._do(Step("kill"))
        match draw.number(0, 3):
            case 0 | 1:
                for index in dict.fromkeys(found.name for found in self.scene.shape.indexes if found.is_usable):
                    clause = "DROP PRIMARY KEY" if index == "PRIMARY" else f"DROP INDEX {quoted(index)}"
                    await self._do(Step("key dropped", f"ALTER TABLE {name} {clause}"))
            case 2:
                view = "the view"
                # In a new session: servers write the view's text in the session's character set, with ? for what gbk has not.
                await self._do(Step("view", f"CREATE VIEW {quoted(view)} AS SELECT * FROM {name}", "v"))
        await self._look()
        config = draw.pick([{"mode": "FULL_TABLE"}, {"mode": "FULL_TABLE"}, {"snapshot": "only"}])
        is_keyed = bool(self.scene.shape.key) and not view
        if not is_keyed:
            config = {"mode": "FULL_TABLE"}
        write = draw.pick(["append", "upsert"]) if is_keyed else "append"
        if self.scene.shape.exists:
            name = "copy once" if is_keyed and not view else "copy once without a key"
            await self._do(Step("copy once", CopyOnce(write, config, view).to_text()), counts=False)
            self.drawn[name] += 1

    async def _poll(self) -> None:
        """A connector that polls by a column that only grows; rows that come later have larger numbers."""
        draw, name, cursor = self.draw, quoted(self.history.table), f"cur{self.draw.number(10, 99)}"
        await self._do(Step("sync"))
        await self._do(Step("kill"))
        added = await self._do(
            Step("cursor column", f"ALTER TABLE {name} ADD COLUMN {cursor} BIGINT NOT NULL AUTO_INCREMENT UNIQUE")
        )
        await self._look()
        later = insert(self.scene.without(cursor), draw) if added and self.scene.shape.exists else None
        if not later or "REPLACE" in later[0]:
            return
        config = {"mode": "INCREMENTAL", "cursorColumn": cursor, "pollSeconds": 1}
        await self._do(Step("polled", CopyOnce(draw.pick(["append", "upsert"]), config, then=later).to_text()))

    async def _end(self) -> None:
        draw = self.draw
        if draw.chance(0.18):
            await self._copy_once()
            return
        if draw.chance(0.13):
            await self._poll()
            return
        if draw.chance(0.6):
            if draw.chance(0.3):
                await self._do(Step("kill"))
            else:
                await self._do(Step("sync"))
            await self._look()
            for _ in range(4 if self.scene.shape.exists else 0):
                kind = pick_last(draw)
                if kind.name not in draw.without and await self._say(kind, kind.write(self.scene, draw)):
                    break
        await self._do(Step("start"))
        await self._do(Step("sync"))
