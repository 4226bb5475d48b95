"""Statements in mid-stream: followed with the right columns, or an error that names the statement."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from connector_runner.protocols.errors import ActionRequiredError
from tests.integration.mysql.conftest import VARIANTS, Database, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_soak import is_complete, read_all


@pytest.fixture(params=variants("mysql-gtids", "mariadb", long=("mysql-files", "mariadb-compressed")))
def variant(request: pytest.FixtureRequest) -> str:
    """Each dialect, one with full metadata and one without; the long suite turns that round."""
    name: str = request.param
    return name


@pytest_asyncio.fixture
async def reading(database: Database) -> AsyncIterator[Reading]:
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), b VARCHAR(10))",
        "INSERT INTO t VALUES (1,'a1','b1'),(2,'a2','b2')",
    )
    async with Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}") as opened:
        await opened.until(lambda: is_complete(opened))
        yield opened


def names(reading: Reading) -> list[str]:
    return list(reading.batches[-1].schema.names)


async def settle(reading: Reading, database: Database, number: int) -> None:
    """Reads until a row written now has come and no copy is due; then the dataset equals the table."""
    database.execute(f"INSERT INTO t (id) VALUES ({number})")
    await reading.until(lambda: (number,) in reading.table and is_complete(reading))
    assert await read_all(database.server, f"{database.name}.t") == reading.as_of_now()


@pytest.mark.parametrize(
    ("statement", "columns", "is_read_again"),
    [
        ("ALTER TABLE t ADD COLUMN c INT", ["id", "a", "b", "c"], False),
        ("ALTER TABLE t ADD COLUMN c INT NOT NULL DEFAULT 7 AFTER id", ["id", "c", "a", "b"], True),
        ("ALTER TABLE t ADD COLUMN c VARCHAR(30) AS (CONCAT(a, b)) STORED", ["id", "a", "b", "c"], True),
        ("ALTER TABLE t DROP COLUMN a", ["id", "b"], False),
        ("ALTER TABLE t CHANGE a z VARCHAR(10)", ["id", "z", "b"], True),
        ("ALTER TABLE t MODIFY a VARCHAR(10) AFTER b", ["id", "b", "a"], False),
        ("ALTER TABLE t MODIFY a VARCHAR(200)", ["id", "a", "b"], False),
        ("ALTER TABLE t MODIFY id BIGINT", ["id", "a", "b"], False),
        ("ALTER TABLE t MODIFY a CHAR(4) CHARACTER SET latin1", ["id", "a", "b"], True),
        ("ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a", ["id", "b", "a"], True),
        ("ALTER TABLE t DROP COLUMN a, ADD COLUMN a VARCHAR(10)", ["id", "b", "a"], True),
        ("CREATE INDEX i ON t (a)", ["id", "a", "b"], False),
        ("ALTER TABLE t COMMENT 'no change'", ["id", "a", "b"], False),
    ],
)
async def test_columns_are_followed(
    reading: Reading, database: Database, statement: str, columns: list[str], is_read_again: bool
) -> None:
    database.execute(statement)
    await settle(reading, database, 3)
    assert names(reading) == columns
    assert [incident.kind for incident in reading.incidents] == ["refresh"] * is_read_again


async def test_changes_with_no_rows_between_them_need_no_names(reading: Reading, database: Database) -> None:
    await reading.crash()
    database.execute(
        "ALTER TABLE t ADD COLUMN c INT", "ALTER TABLE t ADD COLUMN d INT DEFAULT 4", "ALTER TABLE t DROP a"
    )
    await reading.until(lambda: bool(reading.incidents) and is_complete(reading))
    await settle(reading, database, 3)
    assert names(reading) == ["id", "b", "c", "d"]
    assert {incident.kind for incident in reading.incidents} == {"refresh"}


async def test_rows_after_the_last_of_several_changes_need_no_names(reading: Reading, database: Database) -> None:
    """Also when they are in the log already while the first change is looked at."""
    await reading.crash()
    database.execute(
        "ALTER TABLE t ADD COLUMN c INT", "ALTER TABLE t ADD COLUMN d INT DEFAULT 4", "ALTER TABLE t DROP a",
        "INSERT INTO t VALUES (3, 'b3', 3, 5)",
    )  # fmt: skip
    await reading.until(lambda: (3,) in reading.table)
    await settle(reading, database, 4)
    assert names(reading) == ["id", "b", "c", "d"]
    assert {incident.kind for incident in reading.incidents} == {"refresh"}


async def test_a_name_that_a_dropped_column_had_is_a_new_column(reading: Reading, database: Database) -> None:
    """The dataset still has the values of the old one."""
    database.execute("ALTER TABLE t DROP COLUMN a")
    await settle(reading, database, 3)
    await reading.crash()
    database.execute("ALTER TABLE t ADD COLUMN a VARCHAR(10)")
    await settle(reading, database, 4)
    assert [incident.kind for incident in reading.incidents] == ["refresh"]
    assert {row[1:] for row in reading.table.values()} >= {("b1", None), ("b2", None)}


async def test_another_expression_of_a_generated_column(reading: Reading, database: Database) -> None:
    database.execute("ALTER TABLE t ADD COLUMN g INT AS (id + 1) STORED")
    await settle(reading, database, 3)
    await reading.crash()
    database.execute("ALTER TABLE t MODIFY COLUMN g INT AS (id + 2) STORED")
    await settle(reading, database, 4)
    assert reading.table[1,] == (1, "a1", "b1", 3)
    assert [incident.kind for incident in reading.incidents] == ["refresh", "refresh"]


@pytest.mark.parametrize("variant", variants("mariadb"))
async def test_rows_that_an_alteration_removes(reading: Reading, database: Database) -> None:
    database.execute("INSERT INTO t VALUES (3, 'a1', 'again')")
    await settle(reading, database, 4)
    database.execute("ALTER IGNORE TABLE t ADD UNIQUE (a)")
    await settle(reading, database, 5)
    assert (3,) not in reading.table
    assert [incident.kind for incident in reading.incidents] == ["resnapshot"]


@pytest.mark.parametrize("statement", ["DROP TABLE t", "RENAME TABLE t TO elsewhere"])
async def test_what_became_of_the_table_while_away_is_told(
    reading: Reading, database: Database, statement: str
) -> None:
    await reading.crash()
    database.execute("INSERT INTO t VALUES (3, 'last', 'words')", statement)
    with pytest.raises(ActionRequiredError, match=statement.replace("TABLE t", "TABLE .*t")) as failure:
        await reading.until(lambda: False)
    assert failure.value.reason == "TableGone"
    assert set(reading.table) == {(1,), (2,), (3,)}


async def test_rows_between_two_changes_are_never_decoded_with_the_wrong_columns(
    reading: Reading, database: Database, variant: str
) -> None:
    """The reader is behind: columns of the same type change places by name while it does not look."""
    await reading.crash()
    database.execute(
        "INSERT INTO t VALUES (3, 'a3', 'b3')",
        "ALTER TABLE t RENAME COLUMN a TO x, RENAME COLUMN b TO a",
        "INSERT INTO t (id, x, a) VALUES (4, 'x4', 'a4')",
        "ALTER TABLE t RENAME COLUMN x TO b",
        "INSERT INTO t (id, b, a) VALUES (5, 'b5', 'a5')",
    )
    if VARIANTS[variant].has_names:
        await reading.until(lambda: (4,) in reading.table)
        row = dict(zip(names_of_row(reading, (4, "x4", "a4")), (4, "x4", "a4"), strict=True))
        assert row == {"id": 4, "x": "x4", "a": "a4"}
        await settle(reading, database, 6)
        assert names(reading) == ["id", "b", "a"]
    else:
        with pytest.raises(
            ActionRequiredError, match=r"RENAME COLUMN a TO x.*RENAME COLUMN x TO b.*binlog_row_metadata"
        ):
            await settle(reading, database, 6)
        assert (4,) not in reading.table


def names_of_row(reading: Reading, row: tuple[object, ...]) -> tuple[str, ...]:
    return next(batch.schema.names for batch in reading.batches if row in batch.rows)


async def test_a_change_while_away_is_followed(reading: Reading, database: Database) -> None:
    await reading.crash()
    database.execute(
        "INSERT INTO t VALUES (3, 'a3', 'b3')", "ALTER TABLE t DROP COLUMN a", "INSERT INTO t VALUES (4, 'b4')"
    )
    await settle(reading, database, 5)
    assert names_of_row(reading, (3, "a3", "b3")) == ("id", "a", "b")
    assert names_of_row(reading, (4, "b4")) == ("id", "b")


async def test_truncate_empties_the_dataset(reading: Reading, database: Database) -> None:
    database.execute("TRUNCATE TABLE t")
    await settle(reading, database, 9)
    assert set(reading.table) == {(9,)}
    assert [incident.kind for incident in reading.incidents] == ["truncate"]


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE t"],
        ["RENAME TABLE t TO u"],
        ["ALTER TABLE t RENAME TO u"],
        ["SET SESSION binlog_format = 'STATEMENT'", "UPDATE t SET a = 'changed'"],
        ["SET SESSION binlog_format = 'STATEMENT'", "LOAD DATA LOCAL INFILE '{file}' INTO TABLE t (id, a)"],
        ["CREATE TABLE n LIKE t", "RENAME TABLE t TO o, n TO t"],
    ],
)
async def test_what_the_log_can_not_show_is_an_error_that_names_the_statement(
    reading: Reading, database: Database, statements: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "rows"
    file.write_text("3\tloaded\n")
    database.server.execute("SET GLOBAL local_infile = ON")
    database.server.execute(
        *(statement.format(file=file) for statement in statements), database=database.name, local_infile=True
    )
    for _ in range(2):  # a restart does not go on as if nothing had happened
        with pytest.raises(ActionRequiredError) as failure:
            await reading.until(lambda: (99,) in reading.table)
        await reading.crash()
    assert failure.value.reason in {"TableGone", "LogGap"}
    named = statements[-1].replace("TABLE t ", "").split()[0]
    assert named in failure.value.message
    assert set(reading.table) == {(1,), (2,)}


@pytest.mark.parametrize(
    "statements",
    [
        ["SET SESSION binlog_format = 'STATEMENT'", "UPDATE t SET a = 'changed'"],
        ["SET SESSION binlog_format = 'STATEMENT'", "DELETE FROM t WHERE id = 1"],
        ["CREATE TABLE n LIKE t", "INSERT INTO n VALUES (7, 'new', 'new')", "RENAME TABLE t TO o, n TO t"],
    ],
)
async def test_by_option_the_table_is_copied_again(database: Database, reading: Reading, statements: list[str]) -> None:
    reading.config["onLogGap"] = "resnapshot"
    await reading.crash()
    database.execute(*statements)
    await settle(reading, database, 8)
    assert [incident.kind for incident in reading.incidents] == ["resnapshot"]
    assert statements[-1].split()[0] in reading.incidents[0].message


async def test_partitions_that_are_exchanged(database: Database) -> None:
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (100))",
        "CREATE TABLE e (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (50)", "INSERT INTO e VALUES (2)",
    )  # fmt: skip
    reading = Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}", onLogGap="resnapshot")
    async with reading:
        await reading.until(lambda: is_complete(reading))
        database.execute("ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE e")
        await settle(reading, database, 60)
        assert set(reading.table) == {(2,), (50,), (60,)}
        assert "EXCHANGE PARTITION" in reading.incidents[0].message
        database.execute("ALTER TABLE t DROP PARTITION p0")
        database.execute("INSERT INTO t VALUES (61)")
        await reading.until(lambda: len(reading.incidents) == 2)
        await reading.until(lambda: (61,) in reading.table and is_complete(reading))
        assert set(reading.table) == {(50,), (60,), (61,)}


async def test_columns_and_refusals_name_the_statement_and_its_place(reading: Reading, database: Database) -> None:
    """By the place it is found in the log, with the tools of the server."""
    database.execute("UPDATE t SET a = '1'", "ALTER TABLE t MODIFY a INT COMMENT 'on purpose'")
    await settle(reading, database, 3)
    found = re.fullmatch(r"(ALTER TABLE t .*) \(in the log from (.+):(\d+) on\)", reading.batches[-1].schema.since)
    assert found is not None
    events = database.query(f"SHOW BINLOG EVENTS IN '{found[2]}' FROM {found[3]} LIMIT 3")
    assert any(found[1] in str(event[5]) for event in events)
    database.execute("SET SESSION binlog_format = STATEMENT", "UPDATE t SET b = 'stated'")
    with pytest.raises(ActionRequiredError, match=r"UPDATE t SET b = 'stated'.*\(in the log from .+:\d+ on\)"):
        await reading.until(lambda: False)
