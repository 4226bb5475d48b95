"""A table that is dropped or renamed away and is there again: with `onLogGap: resnapshot` nobody is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.log_reader import decisions
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.definitions import read_table
from connector_runner.sources.mysql.streaming import answers
from connector_runner.sources.mysql.types.table import FoundTable
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_definitions import settle
from tests.integration.mysql.test_soak import is_complete

CREATE = "CREATE TABLE t (id INT PRIMARY KEY, c DATE, a VARCHAR(10))"


@pytest.fixture(params=variants("mysql-gtids", "mariadb", long=("mysql-files", "mariadb-compressed")))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest_asyncio.fixture
async def reading(database: Database) -> AsyncIterator[Reading]:
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), b VARCHAR(10))",
        "INSERT INTO t VALUES (1,'a1','b1'),(2,'a2','b2')",
    )
    options = {"connector": f"test/{database.name}", "onLogGap": "resnapshot"}
    async with Reading(database.server, f"{database.name}.t", **options) as opened:
        await opened.until(lambda: is_complete(opened))
        yield opened


@pytest.mark.parametrize("is_away", [True, False])
@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE IF EXISTS t", CREATE, "INSERT INTO t (id) VALUES (7)"],
        ["DROP TABLE t", CREATE.replace("TABLE", "TABLE IF NOT EXISTS"), "INSERT INTO t (id) VALUES (7)"],
        ["CREATE TABLE n LIKE t", "INSERT INTO n (id) VALUES (7)", "RENAME TABLE t TO o", "RENAME TABLE n TO t"],
        ["ALTER TABLE t RENAME TO o", CREATE, "INSERT INTO t (id) VALUES (7)"],
    ],
    ids=["a restored dump", "if not exists", "a swap in two statements", "renamed by ALTER"],
)
async def test_it_is_copied_again(
    reading: Reading, database: Database, statements: list[str], *, is_away: bool
) -> None:
    if is_away:
        await reading.crash()
    database.execute(*statements)
    await settle(reading, database, 8)
    assert {(7,), (8,)} == set(reading.table)
    assert {incident.kind for incident in reading.incidents} == {"resnapshot"}


async def test_it_is_waited_for(reading: Reading, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back after the log reader has seen that it is gone."""
    seen: list[FoundTable | None] = []

    def read(connection: Connection, name: str, table: str) -> FoundTable | None:
        found = read_table(connection, name, table)
        if found is None and None not in seen:
            database.execute(CREATE, "INSERT INTO t (id) VALUES (7)")
        seen.append(found)
        return found

    monkeypatch.setattr(decisions, "RETURN_SECONDS", 80.0)
    monkeypatch.setattr(answers, "read_table", read)
    database.execute("DROP TABLE t")
    await reading.until(lambda: (7,) in reading.table)
    await settle(reading, database, 8)
    assert seen[0] is None
    assert {(7,), (8,)} == set(reading.table)


async def test_one_that_does_not_come_back_is_told(
    reading: Reading, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "RETURN_SECONDS", 0.3)
    database.execute("DROP TABLE t")
    with pytest.raises(ActionRequiredError, match="was dropped by: DROP TABLE") as failure:
        await reading.until(lambda: False)
    assert failure.value.reason == "TableGone"
    assert set(reading.table) == {(1,), (2,)}
