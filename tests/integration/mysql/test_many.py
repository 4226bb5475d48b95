"""Many tables of one server by one reader: a transaction over tables is one step, and each table ends as its source."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.many import TOTAL, ManyReading, accounts, writing

EACH = pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb", long=("mysql-files", "mysql-compressed")))


@EACH
async def test_money_that_moves_between_tables_is_never_seen_on_its_way(database: Database, variant: str) -> None:
    names = accounts(database, 20)

    def work(cursor: Any, draw: random.Random, _number: int) -> None:
        one, other = sorted(draw.sample(names, 2))
        amount, key = draw.randrange(-50, 50), draw.randrange(10)
        cursor.execute("START TRANSACTION")
        cursor.execute(f"UPDATE {one} SET v = v - {amount} WHERE id = {key}")
        cursor.execute(f"UPDATE {other} SET v = v + {amount} WHERE id = {key}")
        cursor.execute("COMMIT")
        if draw.random() < 0.001:
            cursor.execute(f"ALTER TABLE {draw.choice(names[:5])} COMMENT = 'c{draw.random()}'")

    reading = ManyReading(database, names, chunkRows=4)
    sums: list[int] = []

    def check() -> None:
        if reading.are_copied:
            sums.append(sum(int(row[1]) for table in reading.tables.values() for row in table.values()))

    reading.after_step = check
    try:
        with writing(database, work):
            crashes = random.Random(7)
            await reading.until(lambda: reading.are_copied and len(sums) > 60, crashes=crashes)
        await reading.until(lambda: not reading.differences())
    finally:
        await reading.crash()
    assert set(sums) == {TOTAL}


@EACH
async def test_a_table_that_goes_stands_aside_and_the_others_go_on(database: Database, variant: str) -> None:
    names = accounts(database, 4)
    reading = ManyReading(database, names)
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute(
            "DROP TABLE a1",
            "INSERT INTO a0 VALUES (77, 1)",
            "ALTER TABLE a2 ADD COLUMN w INT",
            "INSERT INTO a2 VALUES (77, 1, 2)",
        )
        await reading.until(lambda: (77,) in reading.tables["a0"] and (77,) in reading.tables["a2"])
    finally:
        await reading.crash()
    (parked,) = [incident for incident in reading.incidents if incident.kind == "parked"]
    assert parked.subject == f"{database.name}.a1"
    assert "DROP TABLE" in parked.message
    assert "log" in reading.places["a1"]
    assert len(reading.tables["a1"]) == 10, "the dataset keeps its last state"
    assert reading.tables["a2"][77,] == (77, 1, 2)


@EACH
async def test_a_large_transaction_is_resumed_inside_for_each_table(database: Database, variant: str) -> None:
    database.execute(
        "CREATE TABLE l (id INT PRIMARY KEY, v VARCHAR(200))", "CREATE TABLE m (id INT PRIMARY KEY, v VARCHAR(200))"
    )
    reading = ManyReading(database, ["l", "m"], transactionRows=1)  # is cut at each part
    inside = 0
    try:
        await reading.until(lambda: reading.are_copied)
        with database.server.session(database=database.name) as cursor:
            cursor.execute("START TRANSACTION")
            for first in range(0, 6000, 500):
                for name in ("l", "m"):
                    rows = ", ".join(f"({key}, REPEAT('x', 150))" for key in range(first, first + 500))
                    cursor.execute(f"INSERT INTO {name} VALUES {rows}")
            cursor.execute("COMMIT")
        while len(reading.tables["l"]) + len(reading.tables["m"]) < 12000:
            before = len(reading.tables["l"]) + len(reading.tables["m"])
            await reading.step()
            is_further = len(reading.tables["l"]) + len(reading.tables["m"]) > before
            if "rows" in reading.position["log"] and is_further and inside < 5:
                inside += 1
                await reading.crash()
    finally:
        await reading.crash()
    assert inside == 5
    assert not reading.differences()
    assert [incident.kind for incident in reading.incidents] == ["cut", "whole"]
    assert reading.incidents[0].detail["transaction"]


@EACH
async def test_a_large_transaction_becomes_visible_as_a_whole(database: Database, variant: str) -> None:
    """Also while a table is copied and another is killed in its midst."""
    database.execute(
        "CREATE TABLE l (id INT PRIMARY KEY, v VARCHAR(200))", "CREATE TABLE m (id INT PRIMARY KEY, v VARCHAR(200))"
    )
    reading = ManyReading(database, ["l", "m"])
    seen: set[tuple[int, int]] = set()
    reading.after_step = lambda: seen.add((len(reading.tables["l"]), len(reading.tables["m"])))
    try:
        await reading.until(lambda: reading.are_copied)
        for first in range(0, 18000, 6000):
            with database.server.session(database=database.name) as cursor:
                cursor.execute("START TRANSACTION")
                for start in range(first, first + 6000, 500):
                    for name in ("l", "m"):
                        rows = ", ".join(f"({key}, REPEAT('x', 150))" for key in range(start, start + 500))
                        cursor.execute(f"INSERT INTO {name} VALUES {rows}")
                cursor.execute("COMMIT")
        batches = 0
        while len(reading.tables["m"]) < 12000:
            await reading.step()
            batches += 1
        await reading.crash()
        await reading.until(lambda: len(reading.tables["m"]) == 18000)
    finally:
        await reading.crash()
    assert seen <= {(0, 0), (6000, 6000), (12000, 12000), (18000, 18000)}
    assert not reading.differences()
    assert not reading.incidents
