"""The log that comes next is gone, another server's, or of another kind: never silence, and never a row twice."""

from __future__ import annotations

import pytest

from connector_runner.protocols.errors import (
    ActionRequiredError,
    SourceChangedError,
)
from connector_runner.sources.mysql.errors import LogGoneError, ServerIdTakenError
from tests.integration.mysql.conftest import GTIDS, NAMES, Database, is_mariadb, make_table, start, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_soak import is_complete, read_all
from tests.integration.mysql.topology import await_rows, follow, log_updates, purge_to_last, reset, stop_following
from tests.servers.mysqld import DatabaseServer


@pytest.fixture(params=variants("mysql-gtids", "mariadb"))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def purge(server: DatabaseServer) -> None:
    server.execute("DELETE FROM d.t WHERE id = 1", "INSERT INTO d.t VALUES (2, 'unseen')", "FLUSH BINARY LOGS")
    purge_to_last(server)
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
    reset(own)
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
    option = log_updates(variant, "ON")
    with start(variant, option) as primary, start(variant, option, server_id=2) as replica:
        follow(replica, primary)
        primary.execute("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2)")
        reading = Reading(primary, "d.t")
        await reading.until(lambda: is_complete(reading))
        primary.execute("INSERT INTO d.t VALUES (3)")
        await reading.until(lambda: (3,) in reading.table)
        primary.execute("INSERT INTO d.t VALUES (4)")
        await_rows(replica, 4)
        await reading.crash()
        primary.kill()
        stop_following(replica)
        replica.execute("INSERT INTO d.t VALUES (5)")
        reading.config["port"] = replica.port
        await reading.until(lambda: (5,) in reading.table)
        assert sorted(reading.table) == [(1,), (2,), (3,), (4,), (5,)]
        upserts = [row for operation, row in reading.history if operation == 0]
        assert len(upserts) == len(set(upserts)), "rows came twice"
        assert not reading.incidents
        await reading.close()


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
        with pytest.raises(
            ServerIdTakenError, match=r"another replica uses the same server id.*give one of them another serverId"
        ):
            await first.until(lambda: False)


async def test_quiet_streams_move_their_checkpoint(database: Database) -> None:
    """Otherwise the log would expire while they run."""
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


@pytest.mark.parametrize("variant", variants("mysql-files"))
async def test_a_position_that_is_none_is_told(database: Database) -> None:
    stream = make_table(database)
    reading = Reading(database.server, stream)
    await reading.until(lambda: is_complete(reading))
    await reading.crash()
    database.execute("INSERT INTO t VALUES (2, 'two')")
    assert reading.checkpoint is not None
    reading.checkpoint.position["log"]["offset"] += 7
    with pytest.raises(LogGoneError, match="onLogGap: resnapshot"):
        await reading.until(lambda: (2,) in reading.table)
    await reading.close()


async def test_a_log_without_checksums(variant: str) -> None:
    """Also when it is searched for later statements."""
    options = ["--binlog-checksum=NONE", NAMES, *(() if is_mariadb(variant) else GTIDS)]
    with start(variant, *options, is_bare=True) as server:
        server.execute("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, a INT, b INT)")
        server.execute("INSERT INTO d.t VALUES (1, 1, 1)")
        reading = Reading(server, "d.t")
        await reading.until(lambda: is_complete(reading))
        await reading.crash()
        server.execute(
            "ALTER TABLE t RENAME COLUMN a TO x, RENAME COLUMN b TO a", "INSERT INTO t (id, x, a) VALUES (2, 20, 21)",
            "ALTER TABLE t RENAME COLUMN x TO b", "INSERT INTO t (id, b, a) VALUES (3, 30, 31)", database="d",
        )  # fmt: skip
        await reading.until(lambda: (3,) in reading.table and is_complete(reading))
        assert reading.table == await read_all(server, "d.t") == {(1,): (1, 1, 1), (2,): (2, 20, 21), (3,): (3, 30, 31)}
        await reading.close()


@pytest.mark.parametrize("variant", variants("mysql-gtids"))
async def test_gtids_may_be_switched_off_and_on(own: DatabaseServer) -> None:
    reading = Reading(own, "d.t")
    await reading.until(lambda: is_complete(reading))
    own.execute("INSERT INTO d.t VALUES (2, 'on')")
    await reading.until(lambda: (2,) in reading.table)
    steps = ["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"]
    for number, mode in enumerate(steps, 3):
        await reading.crash()
        statements = f"SET GLOBAL gtid_mode = {mode}", f"INSERT INTO d.t VALUES ({number}, 'while away')"
        own.execute(*statements, init_command=None)  # not while a session writes with a tag
        await reading.until(lambda number=number: (number,) in reading.table)  # type: ignore[misc]
    assert reading.table == await read_all(own, "d.t")
    upserts = [row for operation, row in reading.history if operation == 0]
    assert len(upserts) == len(set(upserts)), "rows came twice"
    assert not reading.incidents
    await reading.close()


@pytest.mark.parametrize("variant", variants("mysql-gtids"))
async def test_gtids_may_be_permissive_from_the_start(own: DatabaseServer) -> None:
    own.execute("SET GLOBAL gtid_mode = ON_PERMISSIVE")
    reading = Reading(own, "d.t")
    await reading.until(lambda: is_complete(reading))
    for number in (2, 3):
        own.execute("SET gtid_next = 'ANONYMOUS'" if number == 3 else "DO 1", f"INSERT INTO d.t VALUES ({number}, '')")
        await reading.until(lambda number=number: (number,) in reading.table)  # type: ignore[misc]
        await reading.crash()
    assert [row[0] for _, row in reading.history if row] == [1, 2, 3]
