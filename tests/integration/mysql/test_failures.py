"""Failures that users meet, each with its message."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from connector_runner.protocols.errors import (
    ActionRequiredError,
    InvalidConfigError,
    SourceChangedError,
    TransientError,
    UnknownStreamError,
)
from connector_runner.sources.mysql.failures import LogGoneError
from tests.integration.mysql.conftest import GTIDS, Database, start
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_soak import is_complete, read_all
from tests.servers.mariadb import mariadb
from tests.servers.mysql import mysql
from tests.servers.mysqld import DatabaseServer

SECRET = "never-to-be-shown"


@pytest.fixture(params=["mysql-gtids", "mariadb"])
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def make_table(database: Database, table: str = "t") -> str:
    database.execute(
        f"CREATE TABLE {table} (id INT PRIMARY KEY, v VARCHAR(20))", f"INSERT INTO {table} VALUES (1, 'one')"
    )
    return f"{database.name}.{table}"


async def test_a_wrong_password_is_a_config_error_at_once(database: Database) -> None:
    stream = make_table(database)
    reading = Reading(database.server, stream, password=SECRET)
    start_time = time.monotonic()
    with pytest.raises(InvalidConfigError, match=r"config\.password.*Access denied.*admin") as failure:
        await reading.open()
    assert time.monotonic() - start_time < 20
    assert failure.value.reason == "AccessDenied"
    assert SECRET not in str(failure.value) + repr(failure.value.__context__)


async def test_a_server_that_is_not_there_is_transient(database: Database) -> None:
    reading = Reading(database.server, "d.t", port=1)
    with pytest.raises(TransientError, match=r"connecting to 127\.0\.0\.1:1"):
        await reading.open()


async def test_an_unknown_table_is_told_with_what_there_is(database: Database) -> None:
    make_table(database, "orders")
    with pytest.raises(UnknownStreamError, match=rf"{database.name}\.order'.*did you mean.*{database.name}\.orders"):
        await Reading(database.server, f"{database.name}.order").open()


async def test_missing_grants_are_listed_at_once_with_their_cure(database: Database) -> None:
    stream = make_table(database)
    user = f"u{database.name[:8]}"
    database.execute(f"CREATE USER {user}@'%' IDENTIFIED BY 'pw'", f"GRANT SELECT ON {database.name}.* TO {user}@'%'")
    reading = Reading(database.server, stream, user=user, password="pw")
    with pytest.raises(ActionRequiredError, match=rf"GRANT REPLICATION SLAVE ON \*\.\* TO '{user}'@'%'"):
        await reading.open()
    catalogue = await reading.build().discover(None)
    (found,) = catalogue.streams
    assert found.modes == ("INCREMENTAL", "FULL_TABLE")
    assert "GRANT REPLICATION SLAVE" in found.unavailable["LOG_BASED"]
    database.execute(f"GRANT REPLICATION SLAVE ON *.* TO {user}@'%'")
    await reading.until(lambda: is_complete(reading))  # SELECT and REPLICATION SLAVE are enough
    database.execute("INSERT INTO t VALUES (2, 'two')")
    await reading.until(lambda: (2,) in reading.table)
    await reading.close()
    database.execute(f"DROP USER {user}@'%'")


async def test_what_the_log_can_not_show_is_refused(database: Database) -> None:
    make_table(database)
    database.execute(
        "CREATE TABLE nokey (a INT)",
        "CREATE TABLE uniq (a INT NOT NULL, b INT NOT NULL, c INT, UNIQUE (a, b), UNIQUE (c))",
        "CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT goes FOREIGN KEY (p) REFERENCES t (id) ON DELETE CASCADE)",
        "CREATE TABLE approx (f FLOAT PRIMARY KEY)",
        "CREATE VIEW v AS SELECT * FROM t",
    )
    catalogue = await Reading(database.server, "x.y", database=database.name).build().discover(None)
    found = {stream.id.partition(".")[2]: stream for stream in catalogue.streams}
    assert catalogue.total == 6
    assert set(found) == {"t", "nokey", "uniq", "child", "approx", "v"}
    assert found["t"].modes == ("LOG_BASED", "INCREMENTAL", "FULL_TABLE")
    assert found["uniq"].key == ("a", "b")
    assert "neither a primary key nor a unique index" in found["nokey"].unavailable["LOG_BASED"]
    assert "foreign key goes" in found["child"].unavailable["LOG_BASED"]
    assert "FLOAT" in found["approx"].unavailable["LOG_BASED"]
    assert "it is a view" in found["v"].unavailable["LOG_BASED"]
    with pytest.raises(ActionRequiredError, match=r"foreign key goes.*onCascade: ignore"):
        await Reading(database.server, f"{database.name}.child").open()
    async with Reading(database.server, f"{database.name}.child", onCascade="ignore") as reading:
        await reading.until(lambda: is_complete(reading))


async def test_server_settings_are_told_with_the_statement_that_mends_them(variant: str) -> None:
    is_mariadb = variant == "mariadb"
    distribution = mariadb() if is_mariadb else mysql()
    options = ["--skip-log-bin", "--binlog-format=STATEMENT", "--binlog-row-image=MINIMAL"]
    with DatabaseServer(distribution, options) as server:
        server.execute("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)")
        with pytest.raises(ActionRequiredError) as failure:
            await Reading(server, "d.t").open()
        for part in ("log_bin is OFF", "SET GLOBAL binlog_format = 'ROW'", "SET GLOBAL binlog_row_image = 'FULL'"):
            assert part in failure.value.message


async def test_a_filtered_database_is_refused(variant: str) -> None:
    distribution = mariadb() if variant == "mariadb" else mysql()
    with DatabaseServer(distribution, ["--binlog-ignore-db=d"]) as server:
        server.execute("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)")
        with pytest.raises(ActionRequiredError, match="keeps the database d out of the log"):
            await Reading(server, "d.t").open()


@pytest.fixture
def own(variant: str) -> Iterator[DatabaseServer]:
    """A server that the test may break."""
    with start(variant) as server:
        server.execute(
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(20))",
            "INSERT INTO d.t VALUES (1, 'one')",
        )
        yield server


def purge(server: DatabaseServer) -> None:
    server.execute("DELETE FROM d.t WHERE id = 1", "INSERT INTO d.t VALUES (2, 'unseen')", "FLUSH BINARY LOGS")
    deadline = time.monotonic() + 60
    while len(logs := server.query("SHOW BINARY LOGS")) > 1:  # a file is kept while a reader that just left may use it
        assert time.monotonic() < deadline, f"not purged: {logs}"
        server.execute(f"PURGE BINARY LOGS TO '{logs[-1][0]}'")
        time.sleep(0.05)
    server.execute("INSERT INTO d.t VALUES (3, 'after')")


async def test_a_purged_log_is_an_error_never_silence(own: DatabaseServer) -> None:
    reading = Reading(own, "d.t")
    await reading.until(lambda: is_complete(reading))
    await reading.crash()
    purge(own)
    with pytest.raises(LogGoneError, match="onLogGap: resnapshot"):
        await reading.until(lambda: (3,) in reading.table)
    await reading.close()
    assert set(reading.table) == {(1,)}


async def test_by_option_a_purged_log_means_a_new_copy(own: DatabaseServer) -> None:
    reading = Reading(own, "d.t", onLogGap="resnapshot")
    await reading.until(lambda: is_complete(reading))
    await reading.crash()
    purge(own)
    await reading.until(lambda: (3,) in reading.table and is_complete(reading))
    await reading.close()
    assert reading.table == await read_all(own, "d.t")
    assert [incident.kind for incident in reading.incidents] == ["resnapshot"]


async def test_a_reset_server_is_noticed(own: DatabaseServer) -> None:
    own.execute("INSERT INTO d.t VALUES (5, 'x')")
    reading = Reading(own, "d.t")
    await reading.until(lambda: is_complete(reading))
    await reading.crash()
    own.execute("RESET MASTER")
    with pytest.raises((LogGoneError, SourceChangedError), match=r"reset|no longer|never"):
        await reading.until(lambda: False)
    await reading.close()


async def test_another_server_is_an_error(own: DatabaseServer, variant: str) -> None:
    reading = Reading(own, "d.t")
    await reading.until(lambda: is_complete(reading))
    await reading.crash()
    with start(variant) as other:
        other.execute(
            "CREATE DATABASE another_one", "CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(20))"
        )
        other.execute("INSERT INTO d.t VALUES (7, 'other')")
        other.execute("INSERT INTO d.t VALUES (8, 'more')", "INSERT INTO d.t VALUES (9, 'more')")
        reading.config["port"] = other.port
        with pytest.raises(SourceChangedError, match=r"filled from.*now leads to"):
            await reading.until(lambda: (9,) in reading.table)
        await reading.close()
    assert set(reading.table) == {(1,)}


async def test_failover_to_a_replica_goes_on_where_it_was(variant: str) -> None:
    is_mariadb = variant == "mariadb"
    distribution = mariadb() if is_mariadb else mysql()
    options = ["--log-slave-updates=ON", *(() if is_mariadb else GTIDS)]
    with (
        DatabaseServer(distribution, options) as primary,
        DatabaseServer(distribution, options, server_id=2) as replica,
    ):
        how = "MASTER_USE_GTID=slave_pos" if is_mariadb else "MASTER_AUTO_POSITION=1, GET_MASTER_PUBLIC_KEY=1"
        if is_mariadb:
            replica.execute("RESET MASTER")
        replica.execute(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={primary.port}, MASTER_USER='admin', "
            f"MASTER_PASSWORD='admin-password', {how}", "START SLAVE",
        )  # fmt: skip
        primary.execute("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2)")
        reading = Reading(primary, "d.t")
        await reading.until(lambda: is_complete(reading))
        primary.execute("INSERT INTO d.t VALUES (3)")
        await reading.until(lambda: (3,) in reading.table)
        primary.execute("INSERT INTO d.t VALUES (4)")
        await_rows(replica, 4)
        await reading.crash()
        primary.kill()
        replica.execute("STOP SLAVE", "INSERT INTO d.t VALUES (5)")
        reading.config["port"] = replica.port
        await reading.until(lambda: (5,) in reading.table)
        assert sorted(reading.table) == [(1,), (2,), (3,), (4,), (5,)]
        upserts = [row for operation, row in reading.history if operation == 0]
        assert len(upserts) == len(set(upserts)), "rows came twice"
        assert not reading.incidents
        await reading.close()


def await_rows(server: DatabaseServer, count: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if server.query("SELECT COUNT(*) FROM d.t")[0][0] == count:
                return
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "the replica does not follow"
        time.sleep(0.1)


async def test_two_readers_with_one_server_id(database: Database) -> None:
    stream = make_table(database)
    async with (
        Reading(database.server, stream, serverId=77) as first,
        Reading(database.server, stream, serverId=77) as second,
    ):
        await first.until(lambda: is_complete(first))
        await second.until(lambda: is_complete(second))
        database.execute("INSERT INTO t VALUES (2, 'two')")
        await second.until(lambda: (2,) in second.table)
        with pytest.raises(TransientError):
            await first.until(lambda: False)


async def test_quiet_streams_move_their_checkpoint(database: Database) -> None:
    """Else the log expires under them."""
    stream = make_table(database)
    database.execute("CREATE TABLE busy (id INT PRIMARY KEY AUTO_INCREMENT)")
    async with Reading(database.server, stream) as reading:
        await reading.until(lambda: is_complete(reading))
        assert reading.checkpoint is not None
        before = reading.checkpoint.position["log"]
        database.execute("INSERT INTO busy VALUES ()", "INSERT INTO busy VALUES ()")
        await reading.until(
            lambda: reading.checkpoint is not None and reading.checkpoint.position["log"]["gtids"] != before["gtids"]
        )
        assert len(reading.table) == 1


async def test_rows_without_all_columns_are_an_error(database: Database) -> None:
    stream = make_table(database)
    async with Reading(database.server, stream) as reading:
        await reading.until(lambda: is_complete(reading))
        database.execute("SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE t SET v = 'x' WHERE id = 1")
        with pytest.raises(ActionRequiredError, match="binlog_row_image"):
            await reading.until(lambda: False)


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


async def test_only_a_copy_ends_the_stream(database: Database) -> None:
    stream = make_table(database)
    async with Reading(database.server, stream, snapshot="only") as reading:
        while await reading.step():
            pass
        assert set(reading.table) == {(1,)}
        assert reading.told.steps[-1] == (1, 1)


async def test_never_starts_with_the_next_change(database: Database) -> None:
    stream = make_table(database)
    async with Reading(database.server, stream, snapshot="never") as reading:
        await reading.open()
        database.execute("INSERT INTO t VALUES (2, 'two')")
        await reading.until(lambda: bool(reading.table))
        assert set(reading.table) == {(2,)}
