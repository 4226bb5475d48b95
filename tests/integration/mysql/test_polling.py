"""FULL_TABLE and INCREMENTAL: without the log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.errors import (
    ActionRequiredError,
    InvalidConfigError,
    SourceChangedError,
)
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.running import Runner


@pytest.fixture(params=variants("mysql-gtids", "mariadb"))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_equal_cursors_are_not_cut_apart_without_a_key(database: Database) -> None:
    """Neither by the size of a chunk, nor by a crash in the middle of them."""
    database.execute(
        "CREATE TABLE t (id INT, v INT, pad LONGTEXT)",
        "INSERT INTO t SELECT 10 * a.n + b.n, a.n, REPEAT('x', 100000) FROM (SELECT 1 n UNION SELECT 2) a "
        "JOIN (SELECT 1 n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6) b",
    )
    options: dict[str, Any] = {"mode": "INCREMENTAL", "cursorColumn": "v", "pollSeconds": 1, "chunkRows": 2}
    reading = Reading(database.server, f"{database.name}.t", **options)
    for _ in range(2):
        await reading.step()
        await reading.crash()
    seen = {row[0] for _, row in reading.history}
    assert 0 < len(seen) < 12
    await reading.until(lambda: len({row[0] for _, row in reading.history}) == 12)
    await reading.crash()
    database.execute("INSERT INTO t VALUES (31, 3, '')")
    before = len(reading.history)
    await reading.until(lambda: any(row[0] == 31 for _, row in reading.history))
    assert len(reading.history) <= before + 1 + 12
    await reading.crash()


async def test_a_cursor_of_another_column_or_server_is_told(database: Database) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT)", "INSERT INTO t VALUES (1, 10, 500)")
    reading = Reading(database.server, f"{database.name}.t", mode="INCREMENTAL", cursorColumn="v", pollSeconds=1)
    await reading.until(lambda: bool(reading.table))
    await reading.crash()
    reading.config["cursorColumn"] = "w"
    with pytest.raises(ActionRequiredError, match=r"in order of v, id.*in order of w, id.*checkpoint reset") as failure:
        await reading.open()
    assert failure.value.reason == "CursorChanged"
    reading.config["cursorColumn"] = "v"
    assert reading.checkpoint is not None
    reading.checkpoint = replace(reading.checkpoint, identity="mysql:another")
    with pytest.raises(SourceChangedError, match="filled from mysql:another"):
        await reading.open()
    reading.checkpoint = replace(reading.checkpoint, position={"log": {}})
    with pytest.raises(ActionRequiredError, match="is of mode LOG_BASED, not INCREMENTAL"):
        await reading.open()


async def test_incremental_and_full_table(database: Database) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 10), (2, 20)")
    with pytest.raises(InvalidConfigError, match=r"config\.cursorColumn"):
        await Reading(database.server, f"{database.name}.t", mode="INCREMENTAL").open()
    reading = Reading(
        database.server, f"{database.name}.t", mode="INCREMENTAL", cursorColumn="v", pollSeconds=1, chunkRows=1
    )
    async with reading:
        await reading.until(lambda: len(reading.table) == 2)
        await reading.crash()
        database.execute("UPDATE t SET v = 30 WHERE id = 1", "INSERT INTO t VALUES (3, 25)")
        await reading.until(lambda: reading.table.get((1,)) == (1, 30) and (3,) in reading.table)
    database.execute("CREATE VIEW w AS SELECT id * 10 AS x FROM t")
    async with Reading(database.server, f"{database.name}.w", mode="FULL_TABLE") as whole:
        while await whole.step():
            pass
        assert {row for _, row in whole.history if row} == {(10,), (20,), (30,)}


@pytest.mark.parametrize("kind", ["view", "table"])
def test_what_has_no_key_is_copied_whole_again_and_again_into_a_history(
    database: Database, kind: str, tmp_path: Path
) -> None:
    database.execute(
        "CREATE TABLE b (v INT)", "INSERT INTO b VALUES (1), (1), (2)", "CREATE VIEW w AS SELECT v + 0 AS v FROM b"
    )
    stream = f"{database.name}.{'w' if kind == 'view' else 'b'}"
    runner = Runner(
        tmp_path, database.server, stream, "sqlite:///data.db", "whole", write_mode="append", mode="FULL_TABLE"
    )
    for run in range(2):
        runner.start()
        assert runner.wait() == 0, runner.output()
        database.execute("DELETE FROM b WHERE v = 1", f"INSERT INTO b VALUES ({run + 7})")
    found = runner.ask("SELECT v, _op FROM whole ORDER BY _id")
    assert sorted(found[:3]) == [(1, "upsert"), (1, "upsert"), (2, "upsert")]
    assert sorted(found[3:6]) == [(1, "delete"), (1, "delete"), (2, "delete")]
    assert sorted(found[6:]) == [(2, "upsert"), (7, "upsert")]
