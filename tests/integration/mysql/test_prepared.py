"""XA transactions, wherever their two halves lie: rows count when they commit, and no table is copied again because of another's."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.mysql.binlog.position import Commit, LogPosition
from connector_runner.sources.mysql.log_reader.log_batch import LogBatch
from connector_runner.sources.mysql.server.connection import Connection, connect
from connector_runner.sources.mysql.server.definitions import read_definition
from connector_runner.sources.mysql.server.queries import read_prepared, read_server
from connector_runner.sources.mysql.settings import parse_settings
from connector_runner.sources.mysql.snapshot import chunks
from connector_runner.sources.mysql.streaming import beginning
from tests.integration.mysql.conftest import Database, start, variants
from tests.integration.mysql.many import TOTAL, ManyReading, accounts, writing
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_definitions import settle
from tests.kit.waiting import DEADLINE

EACH = variants("mysql-gtids", "mariadb", long=("mysql-files", "mysql-compressed", "mariadb-compressed"))
OWN = variants("mariadb", long=("mysql-gtids", "mysql-files"))
"""Where a test starts a server of its own."""
UNKNOWN_XID = 1397
TABLE = "(id INT PRIMARY KEY, a VARCHAR(10), b VARCHAR(10))"
CHANGES = ("INSERT INTO t VALUES (3, 'xa', 'xa')", "UPDATE t SET a = 'xa' WHERE id = 1", "DELETE FROM t WHERE id = 2")


@pytest.fixture(params=EACH)
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def table(database: Database) -> Iterator[Database]:
    """Whatever is prepared is rolled back at the end: the server is shared."""
    database.execute(
        f"CREATE TABLE t {TABLE}",
        f"CREATE TABLE u {TABLE}",
        "INSERT INTO t VALUES (1, 'a1', 'b1'), (2, 'a2', 'b2'), (9, '', '')",
    )
    yield database
    for _, size, _, data in database.query("XA RECOVER"):
        name = data.decode() if isinstance(data, bytes) else str(data)
        if name.startswith(database.name):
            end(database, f"XA ROLLBACK '{name[: int(str(size))]}'")


def prepare(database: Database, *changes: str, xid: str = "x") -> None:
    name = f"'{database.name}{xid}'"
    database.execute(f"XA START {name}", *changes, f"XA END {name}", f"XA PREPARE {name}")


def finish(database: Database, how: str = "COMMIT", xid: str = "x") -> None:
    end(database, f"XA {how} '{database.name}{xid}'")


def end(database: Database, statement: str) -> None:
    """By another session: which the server knows as soon as it has seen that the one that prepared it is gone."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return database.execute(statement)
        except pymysql.OperationalError as error:
            if error.args[0] != UNKNOWN_XID or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def reading_of(database: Database, table: str = "t", **options: Any) -> Reading:
    options = {"connector": f"test/{database.name}", **options}
    return Reading(database.server, f"{database.name}.{table}", **options)


def is_held(variant: str) -> bool:
    """Whether a copy waits for the locks of what is prepared."""
    return "-files" in variant


async def test_one_that_was_prepared_before_the_start(table: Database, variant: str) -> None:
    """With its rows, which the copy can't see, in an earlier file of the log."""
    prepare(table, "UPDATE t SET a = 'xa' WHERE id = 1", "DELETE FROM t WHERE id = 2")
    prepare(table, "INSERT INTO u VALUES (1, '', '')", xid="y")
    table.execute("FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    options = {"snapshot": "never"} if is_held(variant) else {}
    async with reading_of(table, **options) as reading:
        if options:
            await reading.step()
        else:
            await reading.until(lambda: len(reading.table) == 3)
            assert reading.table[1,] == (1, "a1", "b1")
        for xid in "yx":
            finish(table, xid=xid)
        table.execute("INSERT INTO t (id) VALUES (4)")
        await reading.until(lambda: (4,) in reading.table)
        assert reading.table[1,] == (1, "xa", "b1")
        assert (2,) not in reading.table
        assert not reading.incidents


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
async def test_one_of_another_table_is_nothing_to_this_one(
    table: Database, variant: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "PREPARED_SECONDS", 0.2)
    prepare(table, "INSERT INTO u VALUES (1, '', '')")
    async with reading_of(table) as reading:
        await reading.until(reading.is_copied)
        finish(table, how)
        await settle(reading, table, 4)
        assert not reading.incidents


async def test_one_whose_locks_a_copy_would_wait_for(
    table: Database, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "PREPARED_SECONDS", 0.2)
    prepare(table, *CHANGES)
    async with reading_of(table) as reading:
        if not is_held(variant):
            await reading.until(reading.is_copied)
            assert reading.table[1,] == (1, "a1", "b1")
            return
        with pytest.raises(ActionRequiredError, match=r"prepared and not finished \(d\w+x\)") as failure:
            await reading.step()
        assert failure.value.reason == "PreparedTransactions"


async def test_an_account_that_may_not_see_what_is_prepared(table: Database, variant: str) -> None:
    user = f"u{table.name[:8]}"
    rights = "SELECT, REPLICATION SLAVE" + (", REPLICATION CLIENT, LOCK TABLES" if is_held(variant) else "")
    table.execute(f"CREATE USER {user}@'%' IDENTIFIED BY 'pw'", f"GRANT {rights} ON *.* TO {user}@'%'")
    prepare(table, *CHANGES)
    try:
        async with reading_of(table, user=user, password="pw") as reading:
            if is_held(variant):
                with pytest.raises(TransientError, match="Lock wait timeout"):
                    await reading.until(reading.is_copied)
                await reading.crash()
            else:
                await reading.until(reading.is_copied)
            finish(table)
            await settle(reading, table, 4)
            assert reading.table[3,] == (3, "xa", "xa")
            assert not reading.incidents
    finally:
        table.execute(f"DROP USER {user}@'%'")


@pytest.mark.parametrize("is_killed", [False, True])
async def test_its_rows_come_when_it_commits(table: Database, is_killed: bool) -> None:
    async with reading_of(table) as reading:
        await settle(reading, table, 4)
        for xid, change in zip("pqr", CHANGES, strict=True):
            prepare(table, change, xid=xid)
        prepare(table, "INSERT INTO t VALUES (5, 'never', '')", xid="s")
        await settle(reading, table, 6)
        assert reading.table[1,] == (1, "a1", "b1")
        assert (3,) not in reading.table
        for xid in "rpsq":
            if is_killed:
                await reading.crash()
            finish(table, "ROLLBACK" if xid == "s" else "COMMIT", xid=xid)
            await settle(reading, table, ord(xid))
        assert reading.table[1,] == (1, "xa", "b1")
        assert not reading.incidents


async def test_a_name_that_is_used_again(table: Database) -> None:
    async with reading_of(table) as reading:
        await settle(reading, table, 4)
        await reading.crash()
        for number, how in [(10, "COMMIT"), (11, "ROLLBACK"), (12, "COMMIT")]:
            prepare(table, f"INSERT INTO t (id) VALUES ({number})")
            finish(table, how)
        await settle(reading, table, 13)
        assert {(10,), (12,)} < set(reading.table)
        assert (11,) not in reading.table


async def test_a_large_one_comes_in_parts_and_goes_on_between_them(
    table: Database, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than is kept, so that it is read again from the log."""
    monkeypatch.setattr("connector_runner.sources.mysql.log_reader.prepared.KEPT_BYTES", 1000)
    monkeypatch.setattr("connector_runner.sources.mysql.log_reader.log_reader.BATCH_BYTES", 4096)
    numbers = "WITH RECURSIVE n AS (SELECT 100 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
    async with reading_of(table) as reading:
        await settle(reading, table, 4)
        prepare(table, f"INSERT INTO t (id, a) {numbers} SELECT i, 'large' FROM n")
        await settle(reading, table, 5)
        finish(table)
        await reading.until(lambda: len(reading.table) > 100)
        assert len(reading.table) < 900
        await reading.crash()
        await settle(reading, table, 6)
        assert not reading.incidents
        assert len(reading.table) == 906


async def test_one_phase_is_a_commit(table: Database) -> None:
    async with reading_of(table) as reading:
        await settle(reading, table, 4)
        table.execute("XA START 'one'", *CHANGES, "XA END 'one'", "XA COMMIT 'one' ONE PHASE")
        await settle(reading, table, 5)
        assert reading.table[3,] == (3, "xa", "xa")
        assert not reading.incidents


@pytest.mark.parametrize("variant", OWN)
async def test_a_part_of_the_log_that_is_gone(variant: str) -> None:
    """Then it can't be known whose rows it has; the message says since when the log is there."""
    with start(variant) as server:
        server.execute("CREATE DATABASE d")
        database = Database(server, "d")
        database.execute(f"CREATE TABLE t {TABLE}", f"CREATE TABLE u {TABLE}")
        prepare(database, "INSERT INTO u VALUES (1, '', '')")
        database.execute("FLUSH BINARY LOGS")
        (file,) = {str(row[0]) for row in database.query("SHOW BINARY LOGS")[-1:]}
        database.execute(f"PURGE BINARY LOGS TO '{file}'")
        reading, again = reading_of(database), reading_of(database, connector="test/again", onLogGap="resnapshot")
        async with reading, again:
            await reading.until(reading.is_copied)
            await again.until(again.is_copied)
            finish(database)
            with pytest.raises(
                ActionRequiredError, match=rf"no longer has \(it begins with {file}\).*XA COMMIT X'"
            ) as failure:
                await reading.until(lambda: False)
            assert failure.value.reason == "LogGap"
            await settle(again, database, 5)
            assert [incident.kind for incident in again.incidents] == ["resnapshot"]


@pytest.mark.parametrize("variant", OWN)
async def test_a_server_that_is_started_again_in_between(variant: str) -> None:
    with start(variant) as server:
        server.execute("CREATE DATABASE d")
        database = Database(server, "d")
        database.execute(f"CREATE TABLE t {TABLE}", "INSERT INTO t VALUES (1, 'a1', 'b1'), (2, 'a2', 'b2')")
        async with reading_of(database) as reading:
            await settle(reading, database, 4)
            prepare(database, *CHANGES)
            await settle(reading, database, 5)
            await reading.crash()
            server.stop()
            server.start()
            finish(database)
            await settle(reading, database, 6)
            assert reading.table[3,] == (3, "xa", "xa")
            assert not reading.incidents


@pytest.mark.parametrize("variant", variants("mariadb"))
async def test_a_copy_waits_until_readers_see_what_has_committed(
    table: Database, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB writes the end of an XA transaction into its log before readers see its rows: one stands between the two.

    (MySQL's executed set has only what readers can see.)
    """
    prepare(table, *CHANGES)
    looks = []

    def look(connection: Connection) -> frozenset[str]:
        found = read_prepared(connection)
        looks.append(found)
        if len(looks) == 3:
            finish(table)
        return found

    monkeypatch.setattr(chunks, "read_prepared", look)
    settings = parse_settings(reading_of(table).config, "test/waits")
    connection = connect(settings, purpose="definitions")
    definition = read_definition(connection, table.name, "t")
    assert definition is not None
    reader = chunks.ChunkReader(settings, read_server(connection))
    connection.discard()
    xid = f"{table.name}x".encode().hex() + ","
    reader.note(LogBatch(definition, [], b"", LogPosition(), (Commit(1, None, "", 0, xid),)))
    chunk = await asyncio.to_thread(reader.read, definition, None, LogPosition())
    reader.close()
    assert (3, "xa", "xa") in chunk.rows
    assert len(looks) > 3


async def test_those_over_tables_that_are_copied_meanwhile(database: Database, variant: str) -> None:
    names = accounts(database, 5)

    def work(cursor: Any, draw: random.Random, number: int) -> None:
        one, other = sorted(draw.sample(names, 2))
        amount, key, xid = draw.randrange(-50, 50), draw.randrange(10), f"'{database.name}{number}'"
        cursor.execute(f"XA START {xid}")
        cursor.execute(f"UPDATE {one} SET v = v - {amount} WHERE id = {key}")
        cursor.execute(f"UPDATE {other} SET v = v + {amount} WHERE id = {key}")
        cursor.execute(f"XA END {xid}")
        cursor.execute(f"XA PREPARE {xid}")
        cursor.execute(f"XA {draw.choice(['COMMIT', 'COMMIT', 'ROLLBACK'])} {xid}")

    reading = ManyReading(database, names, chunkRows=2)
    sums: list[int] = []

    def check() -> None:
        if reading.are_copied:
            sums.append(sum(int(row[1]) for table in reading.tables.values() for row in table.values()))

    reading.after_step = check
    try:
        with writing(database, work):
            await reading.until(lambda: reading.are_copied and len(sums) > 30, crashes=random.Random(7))
        await reading.until(lambda: not reading.differences())
    finally:
        await reading.crash()
    assert set(sums) == {TOTAL}
    assert not reading.incidents
