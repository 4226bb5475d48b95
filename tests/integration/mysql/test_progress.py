"""How far a copy is: at its end all of its rows are told, whatever the server's estimate of the table was."""

from __future__ import annotations

import pytest

from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.many import ManyReading
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_soak import is_complete

SIZES = {"t": 5, "u": 2}


@pytest.fixture
def tables(database: Database) -> None:
    for name, rows in SIZES.items():
        database.execute(f"CREATE TABLE {name} (id INT PRIMARY KEY)")
        database.execute(f"INSERT INTO {name} VALUES {', '.join(f'({number})' for number in range(rows))}")


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("variant", variants("mysql-gtids", "mysql-files", long=("mariadb",)))
async def test_the_copy_of_one_table_is_told_whole(database: Database) -> None:
    for name, rows in SIZES.items():
        async with Reading(database.server, f"{database.name}.{name}", chunkRows=3) as reading:
            await reading.until(lambda: is_complete(reading))
            assert reading.told.steps[-1] == (rows, rows)


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("variant", variants("mysql-gtids", long=("mariadb",)))
async def test_the_copies_of_several_tables_are_told_whole(database: Database) -> None:
    reading = ManyReading(database, list(SIZES), chunkRows=3)
    try:
        await reading.until(lambda: reading.are_copied)
    finally:
        await reading.crash()
    assert {(rows, rows) for rows in SIZES.values()} <= set(reading.told.steps)
