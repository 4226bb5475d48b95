"""The HTTP sink against a real server that keeps keyed rows: at least once, in order, whatever the server does."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import random
import sqlite3
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import DECIMAL, FLOAT64, INT64, INT256, JSON, STRING, TIMESTAMPTZ
from connector_runner.registry import build_inspector
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sinks.http.client import retry_after
from tests.contract.driving import ListSource, Run, batch
from tests.contract.test_sinks import scripted
from tests.scripted.killing import DataDirectory
from tests.scripted.process import start_runner, write_manifest
from tests.scripted.script import SCHEMA, Script
from tests.simulators.record_server import RecordServer

UPSERT, DELETE, INSERT, REPLACE = Operation


@pytest.fixture
def server() -> Iterator[RecordServer]:
    server = RecordServer(SCHEMA.key)
    yield server
    server.close()


def context(server: RecordServer, folder: Path, **changes: Any) -> SinkContext:
    values: dict[str, Any] = {
        "read_url": lambda: server.url, "table": "data", "connector": "ns/c", "stream": "mixed", "directory": folder,
        "uid": "u", "run": 1, **changes,
    }  # fmt: skip
    return SinkContext(**values)


def dead_letters(folder: Path) -> list[tuple[str, str]]:
    (file,) = folder.glob("*.checkpoint.db")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute('SELECT "row", reason FROM data_dead_letters ORDER BY id').fetchall()


def state(server: RecordServer) -> dict[Any, int]:
    return {key: row["version"] for key, row in server.rows.items()}


def expected(script: Script) -> dict[Any, int]:
    return {key: row[9] for key, row in script.state().items()}


@pytest.mark.parametrize("wait", [True, False])
async def test_all_operations_arrive_whatever_the_server_does(tmp_path: Path, server: RecordServer, wait: bool) -> None:
    server.faults = 0.15
    script = Script(seed=41, batches=100, rows=8)
    run = Run(scripted(script, pauseMs=2), context(server, tmp_path, wait=wait), wait=wait, stream="mixed").start()
    assert await run.end() is ExitCode.END_OF_STREAM
    assert state(server) == expected(script)
    assert sum(server.met.values()) > 5, "too few faults to prove anything"
    assert {query["wait"][0] for query in server.requests} == {"true" if wait else "false"}
    assert "a-secret-token" not in run.log.text()


def test_kills_repeat_rows_but_lose_none(tmp_path: Path, server: RecordServer) -> None:
    random_ = random.Random(42)
    script = Script(seed=42, batches=150, rows=6)
    config = {"seed": 42, "batches": script.batches, "rows": script.rows, "pauseMs": 1}
    manifest = write_manifest(tmp_path / "m.yaml", server.url, config)
    for _ in range(10):
        runner = start_runner(manifest, hook=DataDirectory(str(tmp_path)))
        time.sleep(random_.uniform(0.1, 0.3))
        runner.kill()
    runner = start_runner(manifest, hook=DataDirectory(str(tmp_path)))
    assert runner.wait() == 0, runner.text()[-2000:]
    assert state(server) == expected(script)
    assert "a-secret-token" not in runner.text()


async def test_values_keep_all_their_digits(tmp_path: Path) -> None:
    columns = (
        Column("k", INT64),
        Column("d", DECIMAL),
        Column("i", INT256),
        Column("j", JSON),
        Column("t", TIMESTAMPTZ),
    )
    schema = StreamSchema("mixed", columns, ("k",))
    server = RecordServer(["k"])
    at = dt.datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=dt.UTC)
    row = (1, Decimal("1.2345678901234567890123456789012345"), 2**255, '{"a": [1]}', at)
    run = Run(lambda: ListSource([batch(schema, 1, (UPSERT, row))]), context(server, tmp_path)).start()
    await run.end()
    server.close()
    assert server.rows[1,] == {"k": 1, "d": row[1], "i": row[2], "j": {"a": [1]}, "t": "2026-01-01T01:02:03.000004Z"}


async def test_refused_records_become_dead_letters_beside_the_checkpoint(tmp_path: Path) -> None:
    schema = StreamSchema("mixed", (Column("k", INT64), Column("note", STRING), Column("f", FLOAT64)), ("k",))
    server = RecordServer(["k"])
    rows = [(k, "refuse me" if k in {7, 30} else "fine", float("nan") if k == 5 else 1.5) for k in range(50)]
    run = Run(
        lambda: ListSource([batch(schema, 1, *[(UPSERT, row) for row in rows])]), context(server, tmp_path)
    ).start()
    await run.end()
    server.close()
    assert sorted(server.rows) == [(k,) for k in range(50) if k not in {5, 7, 30}]
    letters = dead_letters(tmp_path)
    assert [json.loads(row)["k"] for row, _ in letters] == [5, 7, 30]
    assert "422" in letters[1][1]
    inspector = build_inspector(context(server, tmp_path))
    assert inspector.checkpoints()[0].position == {"next": 1}
    with pytest.raises(ActionRequiredError, match="can't be read back"):
        inspector.newest_rows(1)
    inspector.close()


async def test_append_sends_the_history(tmp_path: Path, server: RecordServer) -> None:
    schema = StreamSchema("mixed", (Column("book", STRING), Column("id", INT64)), ("book", "id"))
    operations = [(UPSERT, ("x", 1)), (DELETE, ("x", 1)), (REPLACE, ("x",)), (INSERT, ("y", 2))]
    run = Run(
        lambda: ListSource([batch(schema, 1, *operations)]), context(server, tmp_path, write_mode=WriteMode.APPEND)
    ).start()
    await run.end()
    assert [(record.get("book"), record["_position"]) for record in server.history] == [
        ("x", '{"next":1}'), ("x", '{"next":1}'), ("x", '{"next":1}'), ("y", '{"next":1}')
    ]  # fmt: skip


async def test_a_wrong_token_is_for_a_person(tmp_path: Path, server: RecordServer) -> None:
    sink = context(server, tmp_path, read_url=lambda: server.url.replace("a-secret", "a-wrong"))
    run = Run(scripted(Script(batches=3)), sink, stream="mixed").start()
    with pytest.raises(ActionRequiredError, match="401") as caught:
        await run.end()
    assert "a-wrong-token" not in caught.value.message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("3", 3.0), ("soon", None), ("99999", 600.0), ("Tue, 24 Nov 2026 00:00:30 GMT", 30.0),
     ("Mon, 23 Nov 2026 00:00:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, dt.datetime(2026, 11, 24, tzinfo=dt.UTC)) == seconds
