"""Rows that the server keeps and can't log: it says so by an incident event, which names no table."""

from __future__ import annotations

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_definitions import settle
from tests.integration.mysql.test_soak import is_complete

LIMITS = ("max_binlog_stmt_cache_size", "binlog_stmt_cache_size")


@pytest.fixture(params=variants("mysql-gtids", "mariadb", long=("mysql-files", "mariadb-compressed")))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def lose_rows(database: Database) -> None:
    """Rows of a table without transactions, more than a session may log at once."""
    assert not [event for event in events(database) if event == "Incident"]
    database.execute(f"SET {', '.join(f'GLOBAL {limit} = 4096' for limit in LIMITS)}")
    numbers = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 120)"
    with pytest.raises(Exception, match="max_binlog_stmt_cache_size"):
        database.execute(f"INSERT INTO t (id, a) {numbers} SELECT 1000 + i, SHA2(i, 512) FROM n")
    database.execute(f"SET {', '.join(f'GLOBAL {limit} = DEFAULT' for limit in LIMITS)}")


def events(database: Database) -> list[str]:
    """Of the last two files of the log: MySQL begins another one after an incident."""
    files = [str(row[0]) for row in database.query("SHOW BINARY LOGS")][-2:]
    return [str(row[2]) for file in files for row in database.query(f"SHOW BINLOG EVENTS IN '{file}'")]


async def test_lost_rows_are_copied_once(database: Database) -> None:
    database.execute(
        "FLUSH BINARY LOGS",
        "FLUSH BINARY LOGS",
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(200), b VARCHAR(10)) ENGINE=MyISAM",
        "INSERT INTO t VALUES (1,'a1','b1')",
    )
    stream = f"{database.name}.t"
    async with (
        Reading(database.server, stream, connector=f"test/{database.name}", onLogGap="resnapshot") as reading,
        Reading(database.server, stream, connector=f"strict/{database.name}") as strict,
    ):
        for each in (reading, strict):
            await each.until(lambda each=each: is_complete(each))  # type: ignore[misc]
        lose_rows(database)
        assert events(database).count("Incident") == 1
        with pytest.raises(ActionRequiredError, match="the server lost part of its log"):
            await strict.until(lambda: False)
        assert set(strict.table) == {(1,)}
        await reading.until(lambda: len(reading.incidents) == 1 and is_complete(reading))
        assert len(reading.table) > 1
        for number in (2, 3):  # MariaDB sends it again at each start
            await reading.crash()
            await settle(reading, database, number)
        assert [incident.kind for incident in reading.incidents] == ["resnapshot"]
    async with Reading(database.server, stream, connector=f"later/{database.name}") as later:
        await settle(later, database, 4)
        assert not later.incidents
