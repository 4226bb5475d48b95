"""Definitions that change without a statement in the log (sql_log_bin=0): noticed when the copy meets them."""

from __future__ import annotations

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_definitions import settle
from tests.integration.mysql.test_soak import is_complete


@pytest.fixture(params=variants("mysql-gtids", "mariadb", long=("mysql-files", "mariadb-compressed")))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def refuse_to_copy_again(database: Database, *unlogged: str) -> ActionRequiredError:
    """What a copy ends with whose table is changed without a statement in the log, with onLogGap: resnapshot."""
    database.execute(
        "CREATE TABLE p (id INT PRIMARY KEY)",
        "INSERT INTO p VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)",
        "CREATE TABLE t (id INT PRIMARY KEY, a INT)",
        "INSERT INTO t SELECT id, id FROM p",
    )
    stream, connector = f"{database.name}.t", f"test/{database.name}"
    async with Reading(database.server, stream, connector=connector, chunkRows=1, onLogGap="resnapshot") as reading:
        await reading.until(lambda: len(reading.table) == 1)
        database.execute("SET sql_log_bin = 0", *unlogged)
        with pytest.raises(ActionRequiredError) as failure:
            await reading.until(lambda: is_complete(reading))
        assert reading.table, "the dataset keeps what it has"
    return failure.value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("DROP PRIMARY KEY, DROP COLUMN a", "NoKey"),
        ("DROP COLUMN a, ADD FOREIGN KEY (id) REFERENCES p (id) ON DELETE CASCADE", "Preflight"),
    ],
)
async def test_a_table_is_checked_before_it_is_copied_again(database: Database, change: str, reason: str) -> None:
    """The checks before a table is followed are also made before the new copy, because the table could not be followed afterwards."""
    failure = await refuse_to_copy_again(database, f"ALTER TABLE t {change}")
    assert failure.reason == reason, failure.message


@pytest.mark.parametrize("variant", variants("mariadb", long=("mariadb-compressed",)))
async def test_columns_are_checked_before_a_table_is_copied_again(database: Database) -> None:
    failure = await refuse_to_copy_again(database, "ALTER TABLE t MODIFY a VARCHAR(50) COMPRESSED")
    assert failure.reason == "UnsupportedColumn", failure.message


async def test_a_change_that_the_log_does_not_have_is_told(database: Database) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, a INT)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
    reading = Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}", chunkRows=1)
    async with reading:
        await reading.until(lambda: len(reading.table) == 1)
        await reading.crash()
        database.execute("SET sql_log_bin = 0", "ALTER TABLE t DROP COLUMN a")
        with pytest.raises(ActionRequiredError, match="the log has no statement that changed it") as failure:
            await reading.until(lambda: is_complete(reading))
        assert failure.value.reason == "UnloggedChange"
        await reading.crash()
        reading.config["onLogGap"] = "resnapshot"
        await reading.until(lambda: is_complete(reading))
        await settle(reading, database, 4)
        assert set(reading.table.values()) == {(1,), (2,), (3,), (4,)}
        assert reading.told.counts["resnapshots"] == 1
