"""Statements on some of many tables: each stream that one touches does what it would do alone, the others continue."""

from __future__ import annotations

import pytest

from connector_runner.sources.mysql.streaming import catch_up
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.many import ManyReading, accounts

EACH = pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb", long=("mysql-files", "mysql-compressed")))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that failed are tried again soon."""
    monkeypatch.setattr(catch_up, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(catch_up, "MOST_SECONDS", 1.0)


def parked(reading: ManyReading) -> dict[str, str]:
    """The tables that were parked, with their reasons."""
    found = [incident for incident in reading.incidents if incident.kind == "parked"]
    return {incident.subject.rpartition(".")[2]: str(incident.detail["reason"]) for incident in found}


async def reach(reading: ManyReading, table: str, key: int) -> None:
    """Reads up to a row that is inserted now: what was written before is applied then."""
    reading.database.execute(f"INSERT INTO {table} VALUES ({key}, 1)")
    await reading.until(lambda: (key,) in reading.tables[table])


@EACH
async def test_a_statement_on_several_tables_acts_on_each_of_them(database: Database, variant: str) -> None:
    names = accounts(database, 6)
    reading = ManyReading(database, names, onLogGap="resnapshot")
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute("TRUNCATE TABLE a5", "DROP TABLE a1, a2", "RENAME TABLE a3 TO gone, a4 TO a3")
        await reach(reading, "a0", 70)
        await reading.until(
            lambda: len(parked(reading)) == 3 and set(reading.differences_of("a0", "a3", "a5")) == set()
        )
    finally:
        await reading.crash()
    assert parked(reading) == dict.fromkeys(("a1", "a2", "a4"), "TableGone")
    one, other = [incident for incident in reading.incidents if "DROP TABLE" in incident.message]
    assert one.detail["transaction"] == other.detail["transaction"]
    assert [incident.kind for incident in reading.incidents if incident.subject.endswith(".a3")] == ["resnapshot"]
    assert [incident.kind for incident in reading.incidents if incident.subject.endswith(".a5")] == ["truncate"]
    assert len(reading.tables["a1"]) == 10, "the dataset keeps its last state"


@EACH
async def test_a_swap_by_a_shadow_table_concerns_its_table_alone(database: Database, variant: str) -> None:
    """As gh-ost alters a table: a shadow table is filled, then both change their names in one statement."""
    names = accounts(database, 3)
    reading = ManyReading(database, names, onLogGap="resnapshot")
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute(
            "CREATE TABLE _a1_gho LIKE a1",
            "ALTER TABLE _a1_gho ADD COLUMN w INT DEFAULT 7",
            "INSERT INTO _a1_gho (id, v) SELECT id, v FROM a1",
            "RENAME TABLE a1 TO _a1_del, _a1_gho TO a1",
            "DROP TABLE _a1_del",
            "INSERT INTO a1 VALUES (70, 1, 2)",
        )
        await reach(reading, "a0", 70)
        await reading.until(lambda: reading.are_copied and not reading.differences())
    finally:
        await reading.crash()
    assert [incident.kind for incident in reading.incidents] == ["resnapshot"]
    assert reading.tables["a1"][70,] == (70, 1, 2)
    assert f"{database.name}._a1_gho" in reading.appeared


@EACH
async def test_a_database_that_is_dropped_takes_only_its_own_tables_along(database: Database, variant: str) -> None:
    names, other = accounts(database, 2), f"{database.name}x"
    database.execute(
        f"CREATE DATABASE {other}",
        *(f"CREATE TABLE {other}.{name} (id INT PRIMARY KEY, v INT)" for name in ("b0", "b1")),
        f"INSERT INTO {other}.b0 VALUES (1, 1)",
    )
    reading = ManyReading(database, names)
    reading.add(f"{other}.b0", "b0")
    reading.add(f"{other}.b1", "b1")
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute(f"DROP DATABASE {other}")
        await reach(reading, "a0", 70)
        await reading.until(lambda: len(parked(reading)) == 2)
        await reach(reading, "a1", 71)
    finally:
        await reading.crash()
    assert parked(reading) == {"b0": "TableGone", "b1": "TableGone"}
    assert reading.tables["b0"] == {(1,): (1, 1)}
    assert not reading.differences_of("a0", "a1")


@EACH
async def test_tables_that_appear_are_told_once_and_can_be_added(database: Database, variant: str) -> None:
    names = accounts(database, 2)
    reading = ManyReading(database, names)
    late = [f"late{number}" for number in range(5)]
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute(
            "CREATE TABLE late0 (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE IF NOT EXISTS late1 LIKE a0",
            "CREATE TABLE x2 (id INT PRIMARY KEY, v INT)",
            "RENAME TABLE x2 TO late2",
            "CREATE TABLE x3 (id INT PRIMARY KEY, v INT)",
            "ALTER TABLE x3 RENAME TO late3",
            "CREATE TABLE late4 (PRIMARY KEY (id)) AS SELECT * FROM a1",
            *(f"INSERT INTO {name} VALUES (70, 1)" for name in late),
        )
        await reading.until(lambda: f"{database.name}.late4" in reading.appeared)
        await reading.crash()
        for name in late:
            reading.add(f"{database.name}.{name}", name)
            database.execute(f"INSERT INTO {name} VALUES (71, 1)")
        await reading.until(lambda: reading.are_copied and not reading.differences())
        await reach(reading, "late4", 72)
    finally:
        await reading.crash()
    assert sorted(told.partition(".")[2] for told in reading.appeared) == [*late, "x2", "x3"]
    assert not reading.incidents


@EACH
async def test_temporary_tables_do_not_appear(database: Database, variant: str) -> None:
    names = accounts(database, 2)
    reading = ManyReading(database, names)
    try:
        await reading.until(lambda: reading.are_copied)
        with database.server.session(database=database.name) as cursor:
            statements = [
                "CREATE TEMPORARY TABLE brief (id INT)",
                "ALTER TABLE brief RENAME TO short",
                "DROP TABLE short",
            ]
            for statement in statements:
                cursor.execute(statement)
        database.execute("CREATE VIEW seen AS SELECT * FROM a0")
        await reach(reading, "a0", 70)
    finally:
        await reading.crash()
    assert reading.appeared == []
