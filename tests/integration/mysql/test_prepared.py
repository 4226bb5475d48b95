"""Starts while XA transactions are prepared: their rows are in the log before the start, their commits after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.binlog.position import LogPosition
from connector_runner.sources.mysql.server.connection import Connection
from connector_runner.sources.mysql.server.facts import Server
from connector_runner.sources.mysql.server.queries import read_position
from connector_runner.sources.mysql.streaming import beginning
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_definitions import PREPARE, settle

COMMIT = "XA COMMIT 'x1'"


@pytest.fixture(params=variants("mysql-gtids", "mariadb"))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def table(database: Database) -> Iterator[Database]:
    """Whatever is prepared is rolled back at the end: the server is shared."""
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), b VARCHAR(10))")
    yield database
    if database.query("XA RECOVER"):
        database.execute("XA ROLLBACK 'x1'")


def reading_of(database: Database, **options: str) -> Reading:
    return Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}", **options)


async def test_one_that_is_finished_while_the_position_is_taken_is_in_the_copy(
    table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is prepared before the position was read, nor after it."""
    statements = [*PREPARE]

    def read(connection: Connection, server: Server) -> LogPosition:
        if not statements:
            return read_position(connection, server)
        table.execute(*statements)
        statements.clear()
        position = read_position(connection, server)
        connection.query("COMMIT")
        table.execute(COMMIT)
        return position

    monkeypatch.setattr(beginning, "read_position", read)
    async with reading_of(table) as reading:
        await settle(reading, table, 4)
        assert reading.table[3,] == (3, "xa", "xa")
        assert not reading.incidents


async def test_one_that_is_prepared_for_a_moment_is_waited_for(
    table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.execute(*PREPARE)
    look = beginning._read_prepared
    seen: list[set[str]] = []

    def read(connection: Connection) -> set[str]:
        found = look(connection)
        if found and not seen:
            seen.append({*found})
            table.execute(COMMIT)
        return found

    monkeypatch.setattr(beginning, "_read_prepared", read)
    monkeypatch.setattr(beginning, "PREPARED_SECONDS", 60.0)
    async with reading_of(table) as reading:
        await settle(reading, table, 4)
        assert seen == [{"x1"}]
        assert reading.table[3,] == (3, "xa", "xa")
        assert not reading.incidents


async def test_one_that_stays_prepared_is_no_obstacle_where_the_table_can_be_copied_again(
    table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "PREPARED_SECONDS", 0.2)
    table.execute(*PREPARE)
    async with reading_of(table) as refused:
        with pytest.raises(ActionRequiredError, match=r"prepared and not finished \(x1\)"):
            await refused.step()
    async with reading_of(table, onLogGap="resnapshot") as reading:
        await settle(reading, table, 4)
        assert (3,) not in reading.table
        table.execute(COMMIT)
        await settle(reading, table, 5)
        assert reading.table[3,] == (3, "xa", "xa")
        assert [incident.kind for incident in reading.incidents] == ["resnapshot"]
