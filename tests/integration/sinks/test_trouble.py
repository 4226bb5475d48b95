"""Failures of databases: the runner waits and says so, or says what a person must do."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, FenceLostError, TransientError
from connector_runner.protocols.sink import Transaction
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_sink
from connector_runner.schemas.outcome import ExitCode
from tests.integration.sinks.truth import HistoryTruth, Truth, assert_true, committed_position
from tests.kit.datasets import Dataset, PostgresDataset, SqliteDataset
from tests.kit.pipeline import SMALL, ListSource, Run, batch, context
from tests.kit.waiting import until, wait_until
from tests.scripted.killing import LargestFile
from tests.scripted.process import Runner, start_runner, write_manifest
from tests.scripted.script import Script
from tests.scripted.source import scripted
from tests.servers.postgresql import PostgresServer
from tests.servers.proxy import CuttingProxy

UPSERT = Operation.UPSERT


@pytest.mark.parametrize("deliver", [False, True], ids=["lost", "unanswered"])
@pytest.mark.parametrize("wait", [True, False])
async def test_connections_cut_at_every_point_of_the_conversation(
    postgres_server: PostgresServer, wait: bool, deliver: bool
) -> None:
    dataset = PostgresDataset(postgres_server)
    random_ = random.Random(f"{wait}{deliver}")

    def plan(connection: int) -> tuple[int, bool] | None:
        """First while it logs in and claims (about 18 pieces), then anywhere."""
        return (random_.randint(1, 18 if connection < 6 else 60), deliver) if connection < 200 else None

    proxy = CuttingProxy("127.0.0.1", postgres_server.port, plan)
    url = dataset.url.replace(f":{postgres_server.port}/", f":{proxy.port}/") + "?sslmode=disable&gssencmode=disable"
    script = Script(seed=21, batches=100_000, rows=6)
    run = Run(scripted(script, pauseMs=1), context(dataset, stream="mixed", read_url=lambda: url), wait=wait).start()
    await until(lambda: proxy.cuts >= 18, "eighteen connections are cut", 120)
    assert await run.stop() is ExitCode.TERMINATED
    proxy.close()
    assert 0 < assert_true(dataset, Truth(script)) < script.batches


def has_rows(run: Run, goal: int) -> bool:
    return run.telemetry.totals.rows >= goal


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop and pause."""
    with PostgresServer() as server:
        yield server


async def test_a_server_that_crashes_and_restarts_is_waited_for(own_server: PostgresServer) -> None:
    dataset = PostgresDataset(own_server)
    script = Script(seed=22, batches=1_000_000, rows=6)  # without end, as far as this test goes
    run = Run(scripted(script, pauseMs=0.3), context(dataset, stream="mixed"), wait=False).start()
    for stop in (own_server.kill, own_server.stop):
        goal = run.telemetry.totals.rows + 200
        await until(partial(has_rows, run, goal), "rows flow")
        stop()
        await until(lambda: not run.telemetry.health.is_ready, "readiness is lost")
        assert "can't be reached" in run.log.text() or "was lost" in run.log.text()
        own_server.start()
        await until(lambda: run.telemetry.health.is_ready, "ready again")
    assert await run.stop() is ExitCode.TERMINATED
    assert 0 < assert_true(dataset, Truth(script)) < script.batches


async def test_a_dataset_that_is_not_there_yet_is_waited_for() -> None:
    with PostgresServer() as server:
        server.stop()
        url = server.url("postgres")
        run = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))]), context(_Nowhere(url))).start()
        await until(lambda: "can't be reached" in run.log.text(), "it says so")
        assert not run.telemetry.health.is_ready
        assert "admin-password" not in run.log.text()
        server.start()
        assert await run.end() is ExitCode.END_OF_STREAM


class _Nowhere(SqliteDataset):
    def __init__(self, url: str) -> None:
        self.url = url
        self.directory = Path()


async def failure(url: str, **changes: Any) -> ConnectorError:
    run = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))]), context(_Nowhere(url), **changes)).start()
    with pytest.raises(ActionRequiredError) as caught:
        await run.end()
    assert "admin-password" not in run.log.text() + caught.value.message
    return caught.value


async def test_what_a_person_must_mend_ends_the_run_at_once(postgres_server: PostgresServer, tmp_path: Path) -> None:
    dataset = PostgresDataset(postgres_server)
    wrong = await failure(postgres_server.url(dataset.database, password="a-wrong-password"))
    assert (wrong.reason, "a-wrong-password" in wrong.message) == ("WrongCredentials", False)
    missing = await failure(postgres_server.url("nowhere"))
    assert missing.reason == "MissingDatabase"
    assert "nowhere" in missing.message
    dataset.execute("CREATE ROLE weak LOGIN PASSWORD 'weak-password'")
    weak = await failure(postgres_server.url(dataset.database, "weak", "weak-password"))
    assert weak.reason == "MissingDatasetGrant"
    assert "GRANT USAGE, CREATE ON SCHEMA public" in weak.message
    schema = await failure(dataset.url, table="elsewhere.rows")
    assert schema.reason == "MissingSchema"
    assert (await failure(f"{dataset.url}?no_such_option=1")).reason == "InvalidDataset"
    assert (await failure(f"{dataset.url}?sslmode=require")).reason == "TlsProblem"
    with pytest.raises(ActionRequiredError, match="too long"):
        build_sink(context(dataset, "t" * 60))
    assert (await failure(f"sqlite:///{tmp_path}/no/such/folder/x.db")).reason == "DatasetUnavailable"
    assert "sqlite:///file.db" in (await failure("sqlite://host/x.db")).message


async def test_a_table_in_a_schema_of_its_own(postgres_server: PostgresServer) -> None:
    dataset = PostgresDataset(postgres_server)
    dataset.execute("CREATE SCHEMA market")
    run = Run(lambda: ListSource([batch(SMALL, 1, (UPSERT, (1, "a")))]), context(dataset, "market.rows")).start()
    assert await run.end() is ExitCode.END_OF_STREAM
    assert dataset.query("SELECT * FROM market.rows") == [(1, "a")]
    assert dataset.query("SELECT count(*) FROM market._connector_checkpoints") == [(1,)]


@pytest.mark.parametrize("wait", [True, False])
async def test_a_lock_held_by_somebody_else_is_waited_for(dataset: Dataset, wait: bool) -> None:
    batches = [batch(SMALL, number, (UPSERT, (number, "a"))) for number in range(1, 50)]
    run = Run(lambda: ListSource(batches[:1], endless=True), context(dataset)).start()
    await until(lambda: run.telemetry.totals.rows == 1, "the first row")
    await run.stop()
    run = Run(lambda: ListSource(batches, endless=True), context(dataset, run=2, wait=wait), wait=wait)
    with dataset.held("rows"):
        run.start()
        await until(lambda: not run.telemetry.health.is_ready and run.telemetry.health.sink, "it says why it waits")
        # Long enough for a wait to be told: a locked file after two seconds, an unconfirmed commit after five.
        await until(lambda: "lock" in run.log.text() or "not confirmed" in run.log.text(), "the reason is logged")
    await until(lambda: run.telemetry.totals.rows == 48, "all rows once the lock is gone")
    assert await run.stop() is ExitCode.TERMINATED
    assert dataset.query("SELECT count(*) FROM rows") == [(49,)]


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """`max_page_count` makes SQLite say that the disk is full, by the very error that a full disk gives."""
    dataset = SqliteDataset(tmp_path)
    sink = build_sink(context(dataset))
    claim = await sink.claim()
    await sink.prepare(SMALL)
    connection = sink._connection  # type: ignore[attr-defined]
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    rows = [(UPSERT, (k, "x" * 1000)) for k in range(100)]
    with pytest.raises(TransientError, match="disk is full"):
        await sink.write(Transaction(claim.number + 1, (batch(SMALL, 1, *rows),), "list"))
    assert dataset.query("SELECT count(*) FROM rows") == [(0,)]
    assert await sink.recover() == claim.number
    await sink.write(Transaction(claim.number + 1, (batch(SMALL, 1, *rows),), "list"))
    assert dataset.query("SELECT count(*) FROM rows") == [(100,)]
    await sink.close()


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("mode", list(WriteMode))
def test_a_file_that_can_not_grow_is_waited_for(tmp_path: Path, wait: bool, mode: WriteMode) -> None:
    """The file size limit of the process represents a full disk."""
    dataset = SqliteDataset(tmp_path)
    script = Script(seed=34, batches=2000, rows=12)
    config = {"seed": script.seed, "batches": script.batches, "rows": script.rows, "pauseMs": 0.5}
    manifest = write_manifest(tmp_path / "run.yaml", dataset.url, config, wait=wait, write_mode=mode.value)
    runner = start_runner(manifest, hook=LargestFile(200_000))
    runner.wait_for("the disk is full", "input/output error")
    truth = HistoryTruth(script) if mode is WriteMode.APPEND else Truth(script)
    assert assert_true(dataset, truth) < script.batches
    resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert runner.wait() == ExitCode.END_OF_STREAM, runner.text()[-2000:]
    assert assert_true(dataset, truth) == script.batches


@pytest.mark.parametrize("wait", [True, False])
async def test_how_many_transactions_are_on_their_way(dataset: Dataset, wait: bool) -> None:
    """With commits held up: `wait: true` sends one transaction, `wait: false` several, and none is confirmed."""
    batches = [batch(SMALL, number, (UPSERT, (number, "a"))) for number in range(1, 40)]
    sink = build_sink(context(dataset, wait=wait))
    sent: set[int] = set()
    write = sink.write

    async def counted(transaction):  # type: ignore[no-untyped-def]
        if transaction.batches:
            sent.add(transaction.number)
        return await write(transaction)

    sink.write = counted  # type: ignore[method-assign]

    class Slow(ListSource):
        async def batches(self):  # type: ignore[no-untyped-def]
            async for item in super().batches():
                if item.position["next"] > 1:
                    held.set()
                    await until(lambda: lock, "the lock is held")
                    await asyncio.sleep(0.01)  # one by one, so that they are not put together
                yield item

    held, lock = asyncio.Event(), []
    run = Run(lambda: Slow(batches, endless=True), sink, wait=wait).start()
    await asyncio.wait_for(held.wait(), 60)
    await until(lambda: run.telemetry.totals.rows == 1, "the first commit")
    before = len(sent)
    with contextlib.ExitStack() as stack:
        stack.enter_context(dataset.held("rows"))
        lock.append(True)
        expected = 1 if wait else 4
        await until(lambda: len(sent) - before >= expected, f"{expected} transactions are sent")
        await asyncio.sleep(0.3)  # would there be one more?
        assert len(sent) - before == expected
        assert run.telemetry.totals.rows == 1
    await until(lambda: run.telemetry.totals.rows == 39, "all are confirmed")
    await run.stop()
    assert dataset.query("SELECT count(*) FROM rows") == [(39,)]


def test_two_runners_at_once_by_force(dataset: Dataset, tmp_path: Path) -> None:
    """Started one over the other again and again: each older one ends with 78 and says why, the result is exact."""
    script = Script(seed=31, batches=1500, rows=6)
    config = {"seed": 31, "batches": script.batches, "rows": script.rows, "pauseMs": 1}
    older: list[Runner] = []
    for number in range(4):
        manifest = write_manifest(tmp_path / f"run-{number}.yaml", dataset.url, config, wait=number % 2 == 0)
        older.append(start_runner(manifest))
        older[-1].wait_for("is claimed")
    assert older[-1].wait() == ExitCode.END_OF_STREAM, older[-1].text()[-2000:]
    for runner in older[:-1]:
        assert runner.wait() == ExitCode.ACTION_REQUIRED, runner.text()[-2000:]
        assert "FenceLost" in runner.text()
    assert assert_true(dataset, Truth(script)) == script.batches


def test_a_stopped_runner_that_wakes_up_is_fenced(dataset: Dataset, tmp_path: Path) -> None:
    script = Script(seed=32, batches=1_000_000, rows=6)  # the zombie would never end by itself
    config = {"seed": 32, "batches": script.batches, "rows": script.rows, "pauseMs": 1}
    zombie = start_runner(write_manifest(tmp_path / "zombie.yaml", dataset.url, config, wait=False))
    wait_until(lambda: committed_position(dataset) > 0, "the zombie commits")
    zombie.signal(signal.SIGSTOP)
    heir = start_runner(write_manifest(tmp_path / "heir.yaml", dataset.url, config))
    if dataset.name == "sqlite":  # a stopped process may hold the file's lock; nobody can take it away
        heir.wait_for("is claimed", "is locked by another program")
    else:
        heir.wait_for("is claimed")
    zombie.signal(signal.SIGCONT)
    heir.wait_for("is claimed")
    assert zombie.wait() == ExitCode.ACTION_REQUIRED, zombie.text()[-2000:]
    assert "FenceLost" in zombie.text()
    before = committed_position(dataset)
    wait_until(lambda: committed_position(dataset) > before, "the heir commits")
    heir.signal(signal.SIGTERM)
    assert heir.wait() == ExitCode.TERMINATED, heir.text()[-2000:]
    assert 0 < assert_true(dataset, Truth(script)) < script.batches


async def test_credentials_that_are_rotated_are_used_at_the_next_connection(postgres_server: PostgresServer) -> None:
    dataset = PostgresDataset(postgres_server)
    dataset.execute("CREATE ROLE rotating LOGIN SUPERUSER PASSWORD 'first-password'")
    urls = [postgres_server.url(dataset.database, "rotating", "first-password")]
    batches = [batch(SMALL, number, (UPSERT, (number, "a"))) for number in range(1, 4)]
    gate: list[int] = [1]

    def is_open(number: int) -> bool:
        return number <= gate[0]

    class Gated(ListSource):
        async def batches(self):  # type: ignore[no-untyped-def]
            async for item in super().batches():
                await until(partial(is_open, item.position["next"]), "the gate opens")
                yield item

    run = Run(lambda: Gated(batches, endless=True), context(dataset, read_url=lambda: urls[-1])).start()
    await until(lambda: run.telemetry.totals.rows == 1, "the first row")
    dataset.execute("ALTER ROLE rotating PASSWORD 'second-password'")
    urls.append(postgres_server.url(dataset.database, "rotating", "second-password"))
    run.engine.reconnect()
    gate[0] = 3
    await until(lambda: run.telemetry.totals.rows == 3, "rows by the new password")
    await run.stop()
    assert dataset.read(SMALL, "rows") == [(1, "a"), (2, "a"), (3, "a")]


async def test_a_fenced_runner_of_append_mode_repeats_nothing(dataset: Dataset) -> None:
    batches = [batch(SMALL, number, (UPSERT, (number, "a"))) for number in range(1, 30)]
    older = Run(lambda: ListSource(batches[:10], endless=True), context(dataset, write_mode=WriteMode.APPEND)).start()
    await until(lambda: older.telemetry.totals.rows == 10, "ten rows")
    newer = Run(lambda: ListSource(batches), context(dataset, run=2, write_mode=WriteMode.APPEND)).start()
    assert await newer.end() is ExitCode.END_OF_STREAM
    older.engine.reconnect()
    with pytest.raises(FenceLostError):
        await older.end()
    assert dataset.query("SELECT k FROM rows ORDER BY _id") == [(number,) for number in range(1, 30)]
