"""Statements as sessions write them: other character sets, other quotes, words as names, temporary tables of the same name."""

from __future__ import annotations

from typing import Any

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from tests.integration.mysql.conftest import Database, is_mariadb, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_soak import is_complete, read_all

BOTH = variants("mysql-gtids", "mariadb", long=("mysql-files", "mariadb-compressed"))


@pytest.fixture(params=BOTH)
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def follow(database: Database, name: str, **options: Any) -> Reading:
    """A table with two rows, copied."""
    quoted = f"`{name}`"
    database.execute(
        f"CREATE TABLE {quoted} (id INT PRIMARY KEY, a VARCHAR(10))",
        f"INSERT INTO {quoted} VALUES (1, 'a1'), (2, 'a2')",
    )
    reading = Reading(database.server, f"{database.name}.{name}", connector=f"test/{database.name}", **options)
    await reading.until(lambda: is_complete(reading))
    return reading


async def settle(reading: Reading, database: Database, name: str, number: int = 9) -> None:
    """Reads until a row written now has come; then the dataset equals the table."""
    database.execute(f"INSERT INTO `{name}` (id) VALUES ({number})")
    await reading.until(lambda: (number,) in reading.table and is_complete(reading))
    assert await read_all(database.server, f"{database.name}.{name}") == reading.as_of_now()


SPELLINGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "latin1": ("größe", "TRUNCATE größe", {"charset": "latin1"}),
    "gbk": ("表", "TRUNCATE TABLE 表", {"charset": "gbk"}),
    "gbk-backslash": ("誠", "TRUNCATE 誠", {"charset": "gbk"}),
    "sjis": ("表", "TRUNCATE 表", {"charset": "sjis"}),
    "ansi": ('we"ird', 'TRUNCATE "we""ird"', {"sql_mode": "ANSI_QUOTES"}),
    "ansi-comment": ("t", 'TRUNCATE /* it\'s */ "t" -- `u`', {"sql_mode": "ANSI_QUOTES"}),
    "online": ("online", "TRUNCATE TABLE online", {}),
    "quick": ("quick", "TRUNCATE quick", {}),
    "offline": ("offline", "TRUNCATE offline", {}),
    "space": ("a\u00a0b", "TRUNCATE a\u00a0b", {}),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_statement_is_read_as_its_session_wrote_it(database: Database, spelling: str) -> None:
    name, statement, session = SPELLINGS[spelling]
    reading = await follow(database, name)
    database.server.execute(statement, database=database.name, **session)
    await settle(reading, database, name)
    await reading.close()
    assert [incident.kind for incident in reading.incidents] == ["truncate"]
    assert set(reading.table) == {(9,)}


async def test_the_swap_of_a_schema_migration_in_another_character_set(database: Database) -> None:
    """As gh-ost does it: the names of all tables in one statement."""
    reading = await follow(database, "表", onLogGap="resnapshot")
    database.execute("CREATE TABLE _表_gho LIKE 表", "INSERT INTO _表_gho VALUES (5, 'new')")
    database.server.execute("RENAME TABLE 表 TO _表_del, _表_gho TO 表", database=database.name, charset="gbk")
    await settle(reading, database, "表")
    await reading.close()
    assert set(reading.table) == {(5,), (9,)}
    assert [incident.kind for incident in reading.incidents] == ["resnapshot"]


async def test_the_last_of_very_many_tables_that_are_dropped(database: Database) -> None:
    reading = await follow(database, "t")
    await reading.crash()
    others = ", ".join(f"x{number}" for number in range(2000))
    database.execute("SET SESSION max_error_count = 0", f"DROP TABLE IF EXISTS {others}, t")
    with pytest.raises(ActionRequiredError, match="was dropped by") as failure:
        await reading.until(lambda: False)
    await reading.close()
    assert failure.value.reason == "TableGone"


@pytest.mark.parametrize("variant", variants("mariadb"))
async def test_a_database_that_is_replaced(database: Database) -> None:
    reading = await follow(database, "t")
    database.execute(f"CREATE OR REPLACE DATABASE {database.name}")
    with pytest.raises(ActionRequiredError, match="was dropped by: CREATE OR REPLACE DATABASE") as failure:
        await reading.until(lambda: False)
    await reading.close()
    assert failure.value.reason == "TableGone"


# --- temporary tables of the same name, in sessions that log statements

STATEMENTS = "SET SESSION binlog_format = 'STATEMENT'"


async def test_a_temporary_namesake_is_another_table(database: Database, variant: str) -> None:
    reading = await follow(database, "t")
    database.execute(
        STATEMENTS, "CREATE TEMPORARY TABLE t (id INT PRIMARY KEY, a VARCHAR(10))", "INSERT INTO t VALUES (77, 'temporary')", "UPDATE t SET a = 'x'",
        "ALTER TABLE t ADD COLUMN z INT", "CREATE INDEX i ON t (a)", "DELETE FROM t", "TRUNCATE t", f"TRUNCATE TABLE {database.name}.t",
        "CREATE TEMPORARY TABLE u LIKE t", "INSERT INTO u (id) SELECT id FROM t", "ALTER TABLE t RENAME TO v", "ALTER TABLE v RENAME TO t", "TRUNCATE t",
        *(["RENAME TABLE t TO w", "RENAME TABLE w TO t"] if is_mariadb(variant) else []), "DROP TABLE t", "CREATE TEMPORARY TABLE t (id INT)",
    )  # fmt: skip
    await settle(reading, database, "t")
    assert set(reading.table) == {(1,), (2,), (9,)}
    assert not reading.incidents
    database.execute("TRUNCATE t")
    await settle(reading, database, "t", 10)
    await reading.close()
    assert set(reading.table) == {(10,)}


async def test_what_is_known_of_a_namesake_outlives_the_connector(database: Database) -> None:
    reading = await follow(database, "t")
    with database.server.session(database=database.name) as session:
        session.execute(STATEMENTS)
        session.execute("CREATE TEMPORARY TABLE t (id INT PRIMARY KEY, a VARCHAR(10))")
        database.execute("INSERT INTO t VALUES (5, 'between')")
        await reading.until(lambda: (5,) in reading.table)
        await reading.crash()
        session.execute("TRUNCATE t")
        session.execute("DROP TABLE t")
        await settle(reading, database, "t", 6)
        assert set(reading.table) == {(1,), (2,), (5,), (6,)}
        session.execute("TRUNCATE t")
        await settle(reading, database, "t", 7)
    await reading.close()
    assert set(reading.table) == {(7,)}


@pytest.mark.parametrize(
    "statement", ["TRUNCATE t", "INSERT INTO t VALUES (88, 'temporary')", "ALTER TABLE t ADD COLUMN z INT"]
)
async def test_a_namesake_whose_creation_was_not_seen_is_a_gap(database: Database, statement: str) -> None:
    """The log only says that some temporary table is used."""
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10))", "INSERT INTO t VALUES (1, 'a1')")
    with database.server.session(database=database.name) as session:
        session.execute(STATEMENTS)
        session.execute("CREATE TEMPORARY TABLE t (id INT PRIMARY KEY, a VARCHAR(10))")
        async with Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}") as reading:
            await reading.until(lambda: is_complete(reading))
            session.execute(statement)
            with pytest.raises(ActionRequiredError, match=statement.split()[0]) as failure:
                await reading.until(lambda: False)
            assert failure.value.reason == "LogGap"
            assert set(reading.table) == {(1,)}
            await reading.crash()
            reading.config["onLogGap"] = "resnapshot"
            await settle(reading, database, "t")
            assert set(reading.table) == {(1,), (9,)}


async def test_rows_of_a_temporary_table_may_go_into_the_table(database: Database) -> None:
    reading = await follow(database, "t")
    database.execute(
        STATEMENTS,
        "CREATE TEMPORARY TABLE u (id INT)",
        "INSERT INTO u VALUES (5)",
        "INSERT INTO t (id) SELECT id FROM u",
    )
    with pytest.raises(ActionRequiredError, match="INSERT INTO t") as failure:
        await reading.until(lambda: False)
    await reading.close()
    assert failure.value.reason == "LogGap"


async def test_statements_on_tables_of_other_databases_do_not_matter(database: Database) -> None:
    reading = await follow(database, "t")
    other = f"{database.name}x"
    try:
        database.execute(
            f"CREATE DATABASE {other}", f"CREATE TABLE {other}.t (id INT PRIMARY KEY, t INT)", STATEMENTS, f"INSERT INTO {other}.t VALUES (1, 1)",
            f"USE {other}", "UPDATE t SET t = 2", "DELETE FROM t", "TRUNCATE t", "DROP TABLE t",
        )  # fmt: skip
        await settle(reading, database, "t")
    finally:
        database.server.execute(f"DROP DATABASE {other}")
        await reading.close()
    assert not reading.incidents
