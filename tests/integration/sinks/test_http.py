"""The HTTP sink against a real server that keeps keyed rows: at least once, in order, whatever the server does."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import random
import signal
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError, TransientError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.sink import SinkContext, Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.protocols.types import DECIMAL, FLOAT64, INT64, INT256, JSON, STRING, TIMESTAMPTZ
from connector_runner.registry import build_inspector, build_sink
from connector_runner.resilience.retry_after import parse_retry_after
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sinks.http import poster
from connector_runner.sinks.http.client import LONGEST_WAIT
from tests.kit.pipeline import ListSource, Run, batch
from tests.kit.waiting import until
from tests.scripted.killing import DataDirectory
from tests.scripted.process import start_runner, write_manifest
from tests.scripted.script import SCHEMA, Script
from tests.scripted.source import scripted
from tests.simulators.record_server import TOKEN, RecordServer

UPSERT, DELETE, INSERT, REPLACE = Operation


@pytest.fixture
def server() -> Iterator[RecordServer]:
    server = RecordServer(SCHEMA.key)
    yield server
    server.close()


def context(server: RecordServer, folder: Path, **changes: Any) -> SinkContext:
    values: dict[str, Any] = {
        "read_url": lambda: server.url, "tables": {"mixed": "data"}, "connector": "ns/c", "directory": folder,
        "uid": "u", "run": 1, **changes,
    }  # fmt: skip
    return SinkContext(**values)


def position(folder: Path) -> int:
    (file,) = folder.glob("*.checkpoint.db")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        ((found,),) = connection.execute("SELECT position FROM _connector_checkpoints")
    number: int = json.loads(found)["next"]
    return number


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
    run = Run(scripted(script, pauseMs=2), context(server, tmp_path, wait=wait), wait=wait).start()
    assert await run.end() is ExitCode.END_OF_STREAM
    assert state(server) == expected(script)
    assert sum(server.met.values()) > 5, "too few faults to prove anything"
    assert {query["wait"][0] for query in server.requests} == {"true" if wait else "false"}
    assert "a-secret-token" not in run.log.text()


def test_kills_repeat_rows_but_lose_none(tmp_path: Path, server: RecordServer) -> None:
    """Each runner is killed after the server has stored some of its requests, and before it has heard so."""
    random_ = random.Random(42)
    script = Script(seed=42, batches=600, rows=6)
    config = {"seed": 42, "batches": script.batches, "rows": script.rows, "pauseMs": 1}
    manifest = write_manifest(tmp_path / "m.yaml", server.url, config)
    for _ in range(10):
        server.mute_after(random_.randrange(1, 6))
        runner = start_runner(manifest, hook=DataDirectory(str(tmp_path)))
        assert server.is_mute.wait(60), runner.text()[-2000:]
        runner.kill()
        server.unmute()
    assert 0 < position(tmp_path) < script.batches
    runner = start_runner(manifest, hook=DataDirectory(str(tmp_path)))
    assert runner.wait() == 0, runner.text()[-2000:]
    assert state(server) == expected(script)
    sent = sum(1 for _ in script.operations())
    assert len(server.received) > sent, "ten requests that nobody heard the answer of were sent again"
    assert "a-secret-token" not in runner.text()


async def test_a_request_that_is_still_worked_on_refuses_no_row(tmp_path: Path, server: RecordServer) -> None:
    """The answer is lost; what is sent again meets its first request, also in the next attempt of the whole transaction."""
    rows = [(UPSERT, (number,)) for number in range(3)]
    server.lose_answers, server.conflicts = 1, 6
    server.key = ("k",)
    run = Run(lambda: ListSource([batch(ONLY_KEY, 1, *rows)]), context(server, tmp_path)).start()
    assert await run.end() is ExitCode.END_OF_STREAM
    assert (server.conflicts, dead_letters(tmp_path)) == (0, [])
    assert [row["k"] for row in server.history] == [0, 1, 2], "each was stored once"
    assert len(set(server.keys)) == 1


async def test_a_conflict_that_stays_is_a_refusal(
    tmp_path: Path, server: RecordServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poster, "STILL_WORKED_ON", 0.0)
    server.lose_answers, server.conflicts = 1, 1
    run = Run(lambda: ListSource([batch(ONLY_KEY, 1, (UPSERT, (1,)))]), context(server, tmp_path)).start()
    assert await run.end() is ExitCode.END_OF_STREAM
    assert [json.loads(row) for row, _ in dead_letters(tmp_path)] == [{"k": 1}]


ONLY_KEY = StreamSchema("mixed", (Column("k", INT64, nullable=False),), ("k",))
KEYLESS = StreamSchema("mixed", (Column("v", STRING),))


async def test_equal_rows_of_one_transaction_are_not_taken_for_a_repetition(
    tmp_path: Path, server: RecordServer
) -> None:
    rows = [(UPSERT, ("same",))] * 2500
    run = Run(
        lambda: ListSource([batch(KEYLESS, 1, *rows)]), context(server, tmp_path, write_mode=WriteMode.APPEND)
    ).start()
    await run.end()
    assert len(server.history) == 2500
    assert len(set(server.keys)) == len(server.keys) == 3


async def test_equal_changes_of_one_transaction_are_not_taken_for_a_repetition(
    tmp_path: Path, server: RecordServer
) -> None:
    schema = StreamSchema("mixed", (Column("book", STRING), Column("id", INT64), Column("v", STRING)), ("book", "id"))
    changes = [(UPSERT, ("x", 1, "a")), (INSERT, ("x", 9, "")), (UPSERT, ("x", 1, "b")), (INSERT, ("x", 8, ""))]
    run = Run(lambda: ListSource([batch(schema, 1, *changes, changes[0])]), context(server, tmp_path)).start()
    await run.end()
    assert server.rows["x", 1]["v"] == "a"
    assert server.repeated == 0


async def test_the_same_rows_sent_again_have_the_same_keys(tmp_path: Path, server: RecordServer) -> None:
    sink = build_sink(context(server, tmp_path))
    claim = await sink.claim()
    await sink.prepare(SCHEMA)
    script = Script(seed=3)
    transaction = Transaction(claim.number + 1, tuple(script.batch(number) for number in range(20)), "script")
    server.lose_answers = 100  # each request is stored, none is answered
    with pytest.raises(TransientError):
        await sink.write(transaction)
    server.lose_answers = 0
    await sink.recover()
    await sink.write(transaction)
    await sink.close()
    assert server.repeated > 0
    assert len(server.received) == sum(len(batch.rows) for batch in transaction.batches)


async def test_a_rotated_token_is_used_from_the_next_connection_on(tmp_path: Path, server: RecordServer) -> None:
    url = server.url
    batches = [batch(KEYLESS, number, (UPSERT, (str(number),))) for number in range(1, 4)]
    source = ListSource(batches, endless=True)
    sink = context(server, tmp_path, write_mode=WriteMode.APPEND, read_url=lambda: url)
    run = Run(lambda: source, sink).start()
    await until(lambda: len(server.history) == 3, "three rows")
    server.token, url = "another-token", url.replace(TOKEN, "another-token")
    run.engine.reconnect()
    source.add(batch(KEYLESS, 4, (UPSERT, ("4",))))
    await until(lambda: len(server.history) == 4, "the row after the rotation")
    await run.stop()
    assert "another-token" not in run.log.text()


async def test_user_and_password_of_the_url_are_sent(tmp_path: Path, server: RecordServer) -> None:
    url = server.url.replace("http://", "http://me:p%40ss@")
    run = Run(scripted(Script(batches=3)), context(server, tmp_path, read_url=lambda: url)).start()
    await run.end()
    assert set(server.authorizations) == {"Basic bWU6cEBzcw=="}


async def test_a_long_retry_after_is_left_to_the_pipeline_which_is_not_ready_meanwhile(
    tmp_path: Path, server: RecordServer
) -> None:
    server.busy = [900.0]
    run = Run(scripted(Script(batches=3)), context(server, tmp_path)).start()
    await until(lambda: "429" in run.log.text(), "the dataset is said to be away")
    assert "429" in run.telemetry.health.sink
    (told,) = [fields for _, message, fields in run.log.lines if "429" in message]
    assert told["retryInSeconds"] == 600.0  # as long as anybody is believed
    assert len(server.requests) == 1
    await run.kill()


async def test_a_short_retry_after_is_waited_for_with_the_same_key(tmp_path: Path, server: RecordServer) -> None:
    server.busy = [1.0]
    run = Run(scripted(Script(batches=1)), context(server, tmp_path)).start()
    await run.end()
    assert server.keys[0] == server.keys[1]
    assert server.times[1] - server.times[0] >= 1.0
    assert run.meters.counts["reconnects"] == 0


def test_leaving_does_not_wait_for_a_server_that_does_not_answer(tmp_path: Path, server: RecordServer) -> None:
    server.mute_after(0)
    manifest = write_manifest(tmp_path / "m.yaml", server.url, {"batches": 5, "endless": True})
    runner = start_runner(manifest, hook=DataDirectory(str(tmp_path)))
    assert server.is_mute.wait(60)
    runner.signal(signal.SIGTERM)
    # Commands get 20 s to commit what was read; the request's own patience (4 times 60 s) must not come on top.
    assert runner.wait(45) == 143
    assert "not committed within" in runner.text()


async def test_without_a_place_for_the_position_it_says_so_and_does_not_wait(
    tmp_path: Path, server: RecordServer
) -> None:
    run = Run(scripted(Script(batches=3)), context(server, tmp_path / "nowhere")).start()
    with pytest.raises(ActionRequiredError, match="volumeClaim"):
        await run.end()


@pytest.mark.parametrize("url", ["http://", "http:///data", "http://host:port/", "http://[::1/"])
async def test_a_url_that_is_none_is_for_a_person(tmp_path: Path, server: RecordServer, url: str) -> None:
    run = Run(scripted(Script(batches=3)), context(server, tmp_path, read_url=lambda: url)).start()
    with pytest.raises(InvalidConfigError, match="http"):
        await run.end()


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
    run = Run(scripted(Script(batches=3)), sink).start()
    with pytest.raises(ActionRequiredError, match="401") as caught:
        await run.end()
    assert "a-wrong-token" not in caught.value.message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("3", 3.0), ("soon", None), ("99999", 600.0), ("Tue, 24 Nov 2026 00:00:30 GMT", 30.0),
     ("Mon, 23 Nov 2026 00:00:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float | None) -> None:
    now = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    assert parse_retry_after(header, now, longest=LONGEST_WAIT) == seconds
