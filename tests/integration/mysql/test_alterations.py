"""Several changes of a definition one after the other: what each did to the rows that were there, and to the key."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pymysql
import pytest
import pytest_asyncio

from connector_runner.protocols.errors import ActionRequiredError
from tests.integration.mysql.conftest import NAMES, Database, start, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_soak import is_complete, read_all


@pytest.fixture(params=variants("mysql-gtids", "mariadb", long=("mysql-files", "mariadb-compressed")))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def copied(database: Database, **options: Any) -> Reading:
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v DECIMAL(10,2), s VARCHAR(20))", "INSERT INTO t VALUES (1, 1.55, '007'), (2, 2.5, '8'), (3, NULL, NULL)"
    )  # fmt: skip
    reading = Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}", **options)
    await reading.until(lambda: is_complete(reading))
    return reading


@pytest_asyncio.fixture
async def reading(database: Database) -> AsyncIterator[Reading]:
    opened = await copied(database)
    yield opened
    await opened.close()


async def settle(reading: Reading, database: Database, number: int = 99) -> None:
    database.execute("SET SESSION sql_mode = ''", f"INSERT INTO t (id) VALUES ({number})")
    await reading.until(lambda: (number,) in reading.table and is_complete(reading))
    assert await read_all(database.server, f"{database.name}.t") == reading.as_of_now()


THERE_AND_BACK: dict[str, Sequence[str]] = {
    "a default that is dropped": ["ADD COLUMN c INT DEFAULT 5 NULL", "ALTER c DROP DEFAULT"],
    "another default": ["ADD COLUMN c INT DEFAULT 5", "ALTER c SET DEFAULT NULL", "ADD INDEX (c)"],
    "a migration and its way back": ["MODIFY v INT, MODIFY s INT", "MODIFY v DECIMAL(10,2), MODIFY s VARCHAR(20)"],
    "a name in another case": ["DROP COLUMN V, ADD COLUMN v DECIMAL(10,2)"],
    "dropped and made again": ["DROP COLUMN v", "ADD COLUMN v DECIMAL(10,2)"],
    "dropped and made again in another case": ["DROP COLUMN v", "ADD COLUMN V DECIMAL(10,2)", "CHANGE V v DECIMAL(10,2)"],
    "renamed in a circle": ["ADD COLUMN w DECIMAL(10,2)", "RENAME COLUMN v TO x, RENAME COLUMN w TO v", "RENAME COLUMN x TO w", "DROP COLUMN w"],
    "NULLs that become values": ["MODIFY v DECIMAL(10,2) NOT NULL DEFAULT 3", "MODIFY v DECIMAL(10,2)"],
    "a character set and back": ["MODIFY s VARCHAR(20) CHARACTER SET latin1", "MODIFY s VARCHAR(20)"],
    "a generated column made an ordinary one": ["ADD g INT AS (id * 2) STORED", "MODIFY g INT"],
    "behind an index": ["ADD INDEX (v)", "MODIFY s INT", "DROP INDEX v", "MODIFY s VARCHAR(20)"],
}  # fmt: skip


@pytest.mark.parametrize("is_away", [True, False], ids=["away", "live"])
@pytest.mark.parametrize("name", THERE_AND_BACK)
async def test_what_each_statement_did_to_old_rows(
    reading: Reading, database: Database, name: str, is_away: bool
) -> None:
    if is_away:
        await reading.crash()
    database.execute("SET SESSION sql_mode = ''", *(f"ALTER TABLE t {text}" for text in THERE_AND_BACK[name]))
    await settle(reading, database)
    assert "refresh" in {incident.kind for incident in reading.incidents}


async def test_a_change_that_proves_nothing_is_not_read_again(reading: Reading, database: Database) -> None:
    await reading.crash()
    database.execute(
        "ALTER TABLE t ADD COLUMN c INT", "ALTER TABLE t ADD INDEX (c)", "CREATE UNIQUE INDEX u ON t (c)", "ALTER TABLE t DROP COLUMN v",
        "ALTER TABLE t COMMENT 'x', ALGORITHM=COPY", "DROP INDEX u ON t", "ALTER TABLE t ADD COLUMN d VARCHAR(5) DEFAULT NULL",
    )  # fmt: skip
    await settle(reading, database)
    assert not reading.incidents


async def test_rows_before_an_index_need_no_names(reading: Reading, database: Database) -> None:
    """A statement that is about no column leaves rows as they were."""
    await reading.crash()
    database.execute(
        "ALTER TABLE t ADD INDEX (v)", "INSERT INTO t VALUES (4, 4, '4')", "ALTER TABLE t DROP INDEX v, COMMENT 'x'", "INSERT INTO t VALUES (5, 5, '5')",
        "ALTER TABLE t ADD COLUMN c INT",
    )  # fmt: skip
    await settle(reading, database)
    assert not reading.incidents
    assert {(4,), (5,)} <= set(reading.table)


async def test_by_option_rows_that_nothing_describes_mean_a_new_copy(database: Database) -> None:
    reading = await copied(database, onLogGap="resnapshot")
    await reading.crash()
    database.execute(
        "ALTER TABLE t CHANGE v x DECIMAL(10,2), CHANGE s v VARCHAR(20)",
        "INSERT INTO t VALUES (4, 4, '4')",
        "ALTER TABLE t DROP COLUMN v",
    )
    await settle(reading, database)
    await reading.close()
    assert {incident.kind for incident in reading.incidents} == {"resnapshot"}, (
        "v has texts now, also where names show it"
    )


async def test_a_key_that_is_lost_is_told_with_the_statement(reading: Reading, database: Database) -> None:
    database.execute("ALTER TABLE t DROP PRIMARY KEY")
    with pytest.raises(ActionRequiredError, match="lost its key by: ALTER TABLE t DROP PRIMARY KEY") as failure:
        await reading.until(lambda: False)
    assert failure.value.reason == "NoKey"


async def test_a_key_that_is_lost_later_is_told_with_that_statement(reading: Reading, database: Database) -> None:
    """The first statement is checked when the table already has no key any more."""
    database.execute("ALTER TABLE t MODIFY v VARCHAR(90)", "ALTER TABLE t DROP PRIMARY KEY")
    with pytest.raises(ActionRequiredError, match="lost its key by: ALTER TABLE t DROP PRIMARY KEY") as failure:
        await reading.until(lambda: False)
    assert failure.value.reason == "NoKey"
    assert all(batch.schema.key for batch in reading.batches)


@pytest.mark.parametrize(
    "removing",
    ["ALTER TABLE t DROP PRIMARY KEY", "DROP INDEX `PRIMARY` ON t", "ALTER TABLE t DROP PRIMARY KEY, ADD COLUMN w INT"],
)
async def test_the_statement_that_took_the_key_is_named_though_others_follow(
    reading: Reading, database: Database, removing: str
) -> None:
    """Whenever the reader comes to them: it may be the last one that is decided when the table already has no key."""
    database.execute(
        "ALTER TABLE t ADD COLUMN y INT", removing, "ALTER TABLE t ADD COLUMN z INT", "CREATE INDEX iv ON t (v)"
    )
    with pytest.raises(ActionRequiredError, match=f"lost its key by: {re.escape(removing)}[.] Add") as failure:
        await reading.until(lambda: False)
    assert failure.value.reason == "NoKey"


# --- what preflight asks is asked again


def refuses_cascades(variant: str) -> bool:
    return not variant.startswith("mysql-9")


LINK = "ALTER TABLE t ADD CONSTRAINT goes FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE"


async def child(database: Database, **options: Any) -> Reading:
    database.execute(
        "CREATE TABLE p (id INT PRIMARY KEY)", "INSERT INTO p VALUES (1), (2)", "CREATE TABLE t (id INT PRIMARY KEY, p INT)",
        "INSERT INTO t VALUES (10, 1), (20, 2)",
    )  # fmt: skip
    reading = Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}", **options)
    await reading.until(lambda: is_complete(reading))
    return reading


async def test_a_foreign_key_that_changes_rows_ends_the_stream(database: Database, variant: str) -> None:
    reading = await child(database)
    database.execute(LINK, "DELETE FROM p WHERE id = 1", "INSERT INTO t VALUES (30, 2)")
    if refuses_cascades(variant):
        with pytest.raises(
            ActionRequiredError, match=r"since: ALTER TABLE t ADD CONSTRAINT goes.*the foreign key goes changes"
        ) as failure:
            await reading.until(lambda: (30,) in reading.table)
        assert failure.value.reason == "Preflight"
    else:
        await reading.until(lambda: set(reading.table) == {(20,), (30,)})
    await reading.close()


async def test_a_foreign_key_that_has_come_and_gone_is_a_gap(database: Database, variant: str) -> None:
    reading = await child(database)
    await reading.crash()
    database.execute(
        LINK, "DELETE FROM p WHERE id = 1", "ALTER TABLE t DROP FOREIGN KEY goes", "INSERT INTO t VALUES (30, 2)"
    )
    if refuses_cascades(variant):
        with pytest.raises(ActionRequiredError, match="ADD CONSTRAINT goes") as failure:
            await reading.until(lambda: (30,) in reading.table)
        assert failure.value.reason == "LogGap"
        await reading.crash()
        reading.config["onLogGap"] = "resnapshot"
    await settle(reading, database)
    await reading.close()
    assert set(reading.table) == {(20,), (30,), (99,)}


ENGINES = pytest.mark.parametrize("variant", variants("mysql-gtids", long=("mysql-files",)))
"""Where BLACKHOLE is built in."""


@ENGINES
async def test_another_engine_that_can_not_be_followed_ends_the_stream(reading: Reading, database: Database) -> None:
    database.execute("ALTER TABLE t ENGINE = BLACKHOLE")
    with pytest.raises(ActionRequiredError, match=r"since: ALTER TABLE t ENGINE.*engine is BLACKHOLE") as failure:
        await reading.until(lambda: False)
    assert failure.value.reason == "Preflight"


@ENGINES
async def test_rows_that_went_with_an_engine(reading: Reading, database: Database) -> None:
    await reading.crash()
    database.execute("ALTER TABLE t ENGINE = BLACKHOLE", "ALTER TABLE t ENGINE = InnoDB")
    await settle(reading, database)
    assert set(reading.table) == {(99,)}


async def test_keys_that_collide_between_two_changes(reading: Reading, database: Database) -> None:
    """Without its key the table may hold a row twice; one of them is removed again."""
    await reading.crash()
    database.execute(
        "ALTER TABLE t DROP PRIMARY KEY", "INSERT INTO t VALUES (1, 1.55, '007')", "DELETE FROM t WHERE id = 1 LIMIT 1",
        "ALTER TABLE t ADD PRIMARY KEY (id)",
    )  # fmt: skip
    await settle(reading, database)
    assert {incident.kind for incident in reading.incidents} == {"resnapshot"}


# --- snapshot: never


async def test_without_a_copy_nothing_is_copied_for_a_default(database: Database) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, a INT)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    async with Reading(
        database.server, f"{database.name}.t", connector=f"test/{database.name}", snapshot="never"
    ) as reading:
        await reading.step()
        database.execute(
            "INSERT INTO t VALUES (3, 3)",
            "ALTER TABLE t ADD COLUMN c INT NOT NULL DEFAULT 7",
            "INSERT INTO t VALUES (4, 4, 4)",
        )
        await reading.until(lambda: (4,) in reading.table)
        assert set(reading.table.values()) == {(3, 3), (4, 4, 4)}
        assert [incident.kind for incident in reading.incidents] == ["refresh"]
        assert "with snapshot: never they are not read again" in reading.incidents[0].message
        database.execute("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (a)")
        with pytest.raises(ActionRequiredError, match="DROP PRIMARY KEY") as failure:
            await reading.until(lambda: False)
        assert failure.value.reason == "LogGap"


async def test_what_is_not_certain_is_remembered_as_such(reading: Reading, database: Database) -> None:
    """A crash after the first of two changes, when the second was known to be there already."""
    await reading.crash()
    database.execute(
        "SET SESSION sql_mode = ''",
        "ALTER TABLE t ADD COLUMN c INT",
        "ALTER TABLE t MODIFY s INT, MODIFY v INT",
        "INSERT INTO t (id) VALUES (4)",
    )
    for _ in range(6):  # after each of the first batches
        await reading.step()
        await reading.crash()
    await settle(reading, database)
    assert reading.table[1,] == (1, 2, 7, None)


@pytest.mark.parametrize("variant", variants("mariadb"))
async def test_an_alteration_that_is_logged_when_it_starts_and_when_it_ends(variant: str) -> None:
    """Also when it fails: then it has never happened."""
    with start(variant, "--binlog-alter-two-phase=ON", NAMES) as server:
        server.execute(
            "CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, a INT)", "INSERT INTO d.t VALUES (1, 1), (2, 1)"
        )
        reading = Reading(server, "d.t", connector="test/phases")
        await reading.until(lambda: is_complete(reading))
        await reading.crash()
        with pytest.raises(pymysql.MySQLError):
            server.execute("ALTER TABLE d.t ADD UNIQUE (a), ADD COLUMN gone INT")
        server.execute("ALTER TABLE d.t ADD COLUMN c INT DEFAULT 5", "INSERT INTO d.t VALUES (3, 3, 3)")
        for number in (4, 5):
            await reading.until(lambda number=number: (number - 1,) in reading.table and is_complete(reading))  # type: ignore[misc]
            server.execute(
                f"ALTER TABLE d.t MODIFY a BIGINT, ADD COLUMN x{number} INT", f"INSERT INTO d.t (id) VALUES ({number})"
            )
        await reading.until(lambda: (5,) in reading.table and is_complete(reading))
        await reading.close()
        assert await read_all(server, "d.t") == reading.as_of_now()
        assert {incident.kind for incident in reading.incidents} == {"refresh"}
