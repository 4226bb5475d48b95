"""What only MySQL 9.7, MariaDB 11.4 and 11.8 have; the long suite also runs all other tests on them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from connector_runner.protocols.errors import ActionRequiredError, SourceChangedError
from connector_runner.sources.mysql.binlog.gtid import MysqlGtids
from connector_runner.sources.mysql.errors import LogGoneError
from connector_runner.sources.mysql.server.connection import connect
from connector_runner.sources.mysql.server.queries import read_log_status
from connector_runner.sources.mysql.settings import parse_settings
from tests.integration.mysql.conftest import Database, start
from tests.integration.mysql.reading import Reading, build_config
from tests.integration.mysql.test_soak import is_complete, read_all
from tests.integration.mysql.topology import await_rows, follow, log_updates, purge_to_last, stop_following
from tests.servers.mysqld import DatabaseServer

pytestmark = pytest.mark.fault
MYSQL = ("mysql-9.7-gtids", "mysql-9.7-compressed")
MARIADB = ("mariadb-11.4", "mariadb-11.4-compressed", "mariadb-11.8", "mariadb-11.8-compressed")
UNTAGGED = "SET gtid_next = 'AUTOMATIC'"


def tagged(tag: str) -> str:
    return f"SET gtid_next = 'AUTOMATIC:{tag}'"


def executed(server: DatabaseServer) -> MysqlGtids:
    return MysqlGtids.parse(server.query("SELECT @@GLOBAL.gtid_executed")[0][0])


def gtids_of(reading: Reading) -> MysqlGtids:
    assert reading.checkpoint is not None
    return MysqlGtids.parse(reading.checkpoint.position["log"]["gtids"])


def assert_nothing_came_twice(reading: Reading) -> None:
    upserts = [row for operation, row in reading.history if operation == 0]
    assert len(upserts) == len(set(upserts)), "rows came twice"
    assert not reading.incidents


@pytest.mark.parametrize("variant", MYSQL)
async def test_tagged_ids_in_copy_log_resume_and_checkpoint(own: DatabaseServer) -> None:
    own.execute(tagged("etl"), *(f"INSERT INTO d.t VALUES ({n}, 'before')" for n in range(2, 8)))
    reading = Reading(own, "d.t", chunkRows=2)
    number = 100
    while not is_complete(reading):
        await reading.step()
        if number < 118:  # killed after each of the first chunks, with tagged and other transactions in between
            await reading.crash()
            own.execute(
                tagged("etl"), f"INSERT INTO d.t VALUES ({number}, 'tagged')", f"UPDATE d.t SET v = '{number}' WHERE id < 8",
                tagged("_other_1"), f"INSERT INTO d.t VALUES ({number + 1}, 'another tag')",
                UNTAGGED, f"INSERT INTO d.t VALUES ({number + 2}, 'none')",
            )  # fmt: skip
            number += 3
    assert ":etl:" in str(gtids_of(reading))
    for _ in range(3):  # killed between transactions of the log
        own.execute(tagged("etl"), f"INSERT INTO d.t VALUES ({number}, 'later')")
        own.execute(UNTAGGED, f"INSERT INTO d.t VALUES ({number + 1}, 'later')")
        await reading.until(lambda number=number: (number + 1,) in reading.table)  # type: ignore[misc]
        await reading.crash()
        number += 2
    await reading.until(lambda: gtids_of(reading) == executed(own))
    await reading.close()
    assert reading.table == await read_all(own, "d.t")
    assert not reading.incidents


@pytest.mark.parametrize("variant", MYSQL)
async def test_a_long_tagged_transaction_is_resumed_inside(own: DatabaseServer) -> None:
    reading = Reading(own, "d.t")
    await reading.until(lambda: is_complete(reading))
    own.execute(
        "CREATE TABLE d.n (n INT PRIMARY KEY)", f"INSERT INTO d.n VALUES {','.join(f'({n})' for n in range(1000))}",
        tagged("etl"), "INSERT INTO d.t SELECT 1000 * a.n + b.n + 10, LEFT(SHA2(b.n, 256), 20) FROM d.n a JOIN d.n b ON a.n < 30",
    )  # fmt: skip
    inside = 0
    while len(reading.table) < 30_001:
        await reading.step()
        assert reading.checkpoint is not None
        if reading.checkpoint.position["log"].get("rows"):
            assert ":etl:" in reading.checkpoint.position["log"]["transaction"]
            inside += 1
            await reading.crash()
    assert inside
    await reading.close()
    assert_nothing_came_twice(reading)
    assert reading.table == await read_all(own, "d.t")


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[DatabaseServer, DatabaseServer]]:
    """A primary and its replica, with a table that has one tagged row."""
    name: str = request.param
    option = log_updates(name, "ON")
    with start(name, option) as primary, start(name, option, server_id=2) as replica:
        follow(replica, primary)
        primary.execute(
            tagged("etl"), "CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1)"
        )
        yield primary, replica


@pytest.mark.parametrize("pair", MYSQL, indirect=True)
async def test_failover_by_tagged_ids(pair: tuple[DatabaseServer, DatabaseServer]) -> None:
    primary, replica = pair
    reading = Reading(primary, "d.t")
    await reading.until(lambda: is_complete(reading))
    primary.execute(tagged("etl"), "INSERT INTO d.t VALUES (2)", UNTAGGED, "INSERT INTO d.t VALUES (3)")
    await reading.until(lambda: (3,) in reading.table)
    primary.execute(tagged("etl"), "INSERT INTO d.t VALUES (4)", tagged("more"), "INSERT INTO d.t VALUES (5)")
    await_rows(replica, 5)
    await reading.crash()
    primary.kill()
    stop_following(replica)
    replica.execute(tagged("etl"), "INSERT INTO d.t VALUES (6)")
    reading.config["port"] = replica.port
    await reading.until(lambda: (6,) in reading.table and gtids_of(reading) == executed(replica))
    assert sorted(reading.table) == [(n,) for n in range(1, 7)]
    assert str(gtids_of(reading)).count(":etl:") == 2, "of either server"
    assert_nothing_came_twice(reading)
    await reading.close()


@pytest.mark.parametrize("pair", MYSQL[:1], indirect=True)
async def test_a_replica_that_lacks_a_tagged_transaction_is_a_stranger(
    pair: tuple[DatabaseServer, DatabaseServer],
) -> None:
    """The numbers of the untagged ones alone would look like a common history."""
    primary, replica = pair
    await_rows(replica, 1)
    stop_following(replica)
    reading = Reading(primary, "d.t")
    await reading.until(lambda: is_complete(reading))
    primary.execute(tagged("etl"), "INSERT INTO d.t VALUES (2)")
    await reading.until(lambda: (2,) in reading.table)
    await reading.crash()
    reading.config["port"] = replica.port
    with pytest.raises(SourceChangedError, match=r"never executed .*:etl:"):
        await reading.until(lambda: False)


@pytest.mark.parametrize("variant", MYSQL[:1])
async def test_a_purged_tagged_transaction_is_never_silence(own: DatabaseServer) -> None:
    reading = Reading(own, "d.t")
    await reading.until(lambda: is_complete(reading))
    await reading.crash()
    own.execute(tagged("etl"), "INSERT INTO d.t VALUES (2, 'unseen')", "FLUSH BINARY LOGS")
    purge_to_last(own)
    with pytest.raises(LogGoneError, match=r"purged.*:etl:.*onLogGap: resnapshot"):
        await reading.until(lambda: False)
    await reading.close()


@pytest.mark.parametrize("variant", MYSQL)
async def test_vectors_are_alike_by_copy_and_log_and_client(database: Database) -> None:
    values = {
        1: (1.0, -2.5, 3.4028234663852886e38), 2: (0.0, -0.0, 1.401298464324817e-45), 3: (0.1, 1 / 3, -1e10),
    }  # fmt: skip
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, v VECTOR(3), w VECTOR, n INT NOT NULL DEFAULT 0)")

    def insert(first: int) -> None:
        for number, vector in values.items():
            raw = struct.pack("<3f", *vector)
            database.execute(
                f"INSERT INTO t VALUES ({first + number}, x'{raw.hex()}', STRING_TO_VECTOR('[{number}, -1.5]'), 0)"
            )
        database.execute(f"INSERT INTO t (id) VALUES ({first})", f"INSERT INTO t VALUES ({first + 9}, NULL, x'{'0000803f' * 2048}', 0)")  # fmt: skip

    insert(0)
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == 5)
        insert(100)
        await reading.until(lambda: len(reading.table) == 10)
        # PyMySQL takes a VECTOR for ASCII text and fails, so it is asked for the bytes.
        shown = database.query("SELECT id, CAST(v AS BINARY), CAST(w AS BINARY), n FROM t")
        assert set(reading.table.values()) == set(shown)
        assert reading.table[1,][1:] == reading.table[101,][1:]
        assert reading.table[1,][1] == struct.pack("<3f", *values[1])
        assert [str(column.type) for column in reading.batches[0].schema.columns[1:3]] == ["bytes", "bytes"]
        database.execute(
            "UPDATE t SET n = 1, v = STRING_TO_VECTOR('[7, 8, 9]') WHERE id = 1", "DELETE FROM t WHERE id > 100"
        )
        await reading.until(lambda: len(reading.table) == 6 and reading.table[1,][3] == 1)
        shown = database.query("SELECT id, CAST(v AS BINARY), CAST(w AS BINARY), n FROM t")
        assert set(reading.table.values()) == set(shown)


@pytest.mark.parametrize("variant", ["mysql-9.7-gtids", "mysql-9.7-files"])
def test_the_log_s_end_is_asked_in_the_new_words(server: DatabaseServer) -> None:
    connection = connect(parse_settings(build_config(server), "test/words"), purpose="test")
    status = read_log_status(connection)
    connection.discard()
    wanted = server.query("SHOW BINARY LOG STATUS")[0]
    assert status is not None
    assert str(status[0]) == wanted[0]


@pytest.mark.parametrize("variant", ["mysql-9.7-gtids", "mysql-9.7-files"])
async def test_what_a_foreign_key_does_is_in_the_log(database: Database) -> None:
    """From MySQL 9.6 on; before, such a table is refused."""
    database.execute(
        "CREATE TABLE p (id INT PRIMARY KEY)", "INSERT INTO p VALUES (1), (2), (3)",
        "CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE)",
        "INSERT INTO c VALUES (10, 1), (20, 2), (30, 3)",
    )  # fmt: skip
    async with Reading(database.server, f"{database.name}.c") as reading:
        await reading.until(lambda: is_complete(reading))
        database.execute("DELETE FROM p WHERE id = 1", "UPDATE p SET id = 22 WHERE id = 2")
        await reading.until(lambda: set(reading.table.values()) == {(20, 22), (30, 3)})


async def test_foreign_keys_of_the_engine_are_refused() -> None:
    with start("mysql-9.7-gtids", "--innodb-native-foreign-keys=ON") as server:
        server.execute(
            "CREATE DATABASE d", "CREATE TABLE d.p (id INT PRIMARY KEY)",
            "CREATE TABLE d.c (id INT PRIMARY KEY, p INT, CONSTRAINT goes FOREIGN KEY (p) REFERENCES d.p (id) ON DELETE CASCADE)",
        )  # fmt: skip
        with pytest.raises(
            ActionRequiredError, match="the foreign key goes changes its rows without the log showing it"
        ):
            await Reading(server, "d.c").open()


@pytest.mark.parametrize("variant", MARIADB)
async def test_many_domains(own: DatabaseServer) -> None:
    reading = Reading(own, "d.t", chunkRows=1)
    number = 10
    for _ in range(4):
        for domain in (0, 7, 4294967295):
            own.execute(f"SET gtid_domain_id = {domain}", f"INSERT INTO d.t VALUES ({number}, '{domain}')")
            number += 1
        await reading.until(lambda number=number: (number - 1,) in reading.table)  # type: ignore[misc]
        await reading.crash()
    await reading.until(lambda: is_complete(reading))
    assert reading.checkpoint is not None
    domains = {part.partition("-")[0] for part in reading.checkpoint.position["log"]["gtids"].split(",")}
    assert domains == {"0", "7", "4294967295"}
    await reading.close()
    assert reading.table == await read_all(own, "d.t")
    assert not reading.incidents


@pytest.mark.parametrize("variant", MARIADB)
async def test_the_new_collations(database: Database) -> None:
    """Their numbers are above 255, and keys compare otherwise than bytes do."""
    database.execute(
        "CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_uca1400_as_cs PRIMARY KEY, v VARCHAR(20) CHARACTER SET utf8mb3 COLLATE uca1400_ai_ci, "
        "x CHAR(5) COLLATE utf8mb4_uca1400_turkish_nopad_ai_ci, e ENUM('ä', 'b') COLLATE utf8mb4_uca1400_ai_ci)",
        "INSERT INTO t VALUES ('a', 'ä', 'x ', 'ä'), ('A', 'ß', 'İ', 'b'), ('ä', '', NULL, NULL), ('z', 'ǅ', '', 'ä'), ('Ä', 'é', 'é', 'b')",
    )  # fmt: skip
    async with Reading(database.server, f"{database.name}.t", chunkRows=2) as reading:
        await reading.until(lambda: is_complete(reading))
        assert len(reading.table) == 5
        database.execute("INSERT INTO t SELECT CONCAT(k, '2'), v, x, e FROM t", "UPDATE t SET v = 'new' WHERE k = 'ä'")
        await reading.until(lambda: len(reading.table) == 10 and reading.table["ä",][1] == "new")
        assert reading.table == await read_all(database.server, f"{database.name}.t")
        assert all(reading.table[f"{key}2",][2:] == reading.table[key,][2:] for key in ("a", "A", "ä", "z", "Ä"))


@pytest.mark.parametrize("variant", MARIADB)
async def test_uuid_and_inet6_as_keys(database: Database) -> None:
    database.execute("CREATE TABLE t (u UUID, i INET6, v INT, PRIMARY KEY (u, i))")
    rows = [f"(UUID(), '2001:db8::{n:x}', {n})" for n in range(40)]
    database.execute(f"INSERT INTO t VALUES {','.join(rows)}")
    async with Reading(database.server, f"{database.name}.t", chunkRows=7) as reading:
        await reading.until(lambda: is_complete(reading))
        database.execute(
            "UPDATE t SET v = v + 1000 WHERE v % 2",
            "DELETE FROM t WHERE v % 3 = 0",
            "INSERT INTO t VALUES (UUID(), '::', -1)",
        )
        await reading.until(lambda: any(row[2] == -1 for row in reading.table.values()))
        shown = database.query("SELECT CAST(u AS CHAR), CAST(i AS CHAR), v FROM t")
        assert {tuple(map(str, row)) for row in reading.table.values()} == {tuple(map(str, row)) for row in shown}


@pytest.mark.parametrize(
    "statement",
    ["UPDATE t SET a = 5 WHERE id = 1", "REPLACE INTO t (id, a) VALUES (1, 5), (3, 3)"],
    ids=["update", "replace"],
)
@pytest.mark.parametrize("gaps", ["fail", "resnapshot"])
@pytest.mark.parametrize("how", ["VIRTUAL", "STORED"])
@pytest.mark.parametrize("variant", ["mariadb-11.8"])
async def test_updates_without_generated_columns_are_told_as_such(
    database: Database, how: str, gaps: str, statement: str
) -> None:
    """MariaDB 11.8 leaves them out of both images of an update with binlog_row_image=FULL; 11.4 and 10.11 do not."""
    database.execute(
        f"CREATE TABLE t (id INT PRIMARY KEY, a INT, g INT AS (a * 2) {how})", "INSERT INTO t (id, a) VALUES (1, 1)"
    )
    async with Reading(database.server, f"{database.name}.t", onLogGap=gaps) as reading:
        await reading.until(lambda: is_complete(reading))
        database.execute("INSERT INTO t (id, a) VALUES (2, 2)")
        await reading.until(lambda: reading.table.get((2,)) == (2, 2, 4))
        database.execute(statement)
        with pytest.raises(
            ActionRequiredError, match=r"logs updates \(and inserts beside them\) without generated columns \(g\)"
        ) as caught:
            await reading.until(lambda: False)
        assert caught.value.reason == "IncompleteRows"
