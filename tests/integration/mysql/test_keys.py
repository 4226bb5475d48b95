"""Keys of every kind: the copy continues at the right row, and two rows that differ for the server stay two."""

from __future__ import annotations

from typing import Any

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.sources.mysql.types.literals import is_no_pad
from tests.integration.mysql.conftest import Database, is_mariadb, variants
from tests.integration.mysql.reading import Reading

EACH = variants("mysql-gtids", "mysql-files", "mariadb")


async def read_all(database: Database, table: str = "t", **options: Any) -> Reading:
    """A reading that holds as many rows as the table, after one more change came through the log."""
    reading = Reading(database.server, f"{database.name}.{table}", **options)
    (count,) = database.query(f"SELECT COUNT(*) FROM `{table}`")[0]
    await reading.until(lambda: len(reading.table) >= int(str(count)) and reading.is_copied())
    return reading


@pytest.mark.parametrize("variant", EACH)
@pytest.mark.parametrize(
    "change",
    ["MODIFY k VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "DROP PRIMARY KEY, ADD PRIMARY KEY (k DESC)"],
)
async def test_a_key_that_sorts_otherwise_is_copied_anew(database: Database, variant: str, change: str) -> None:
    database.execute(
        "CREATE TABLE t (k VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v INT)",
        "INSERT INTO t VALUES " + ", ".join(f"('{letter}{n:03d}', {n})" for n in range(200) for letter in "aBcD"),
    )
    async with Reading(database.server, f"{database.name}.t", chunkRows=100) as reading:
        await reading.until(lambda: len(reading.table) >= 300)
        await reading.crash()
        database.execute(f"ALTER TABLE t {change}", "INSERT INTO t VALUES ('b', 1)")
        await reading.until(reading.is_copied, heals=True)
        await reading.until(lambda: ("b",) in reading.table)
        assert set(reading.table) == set(database.query("SELECT k FROM t"))
        assert len(reading.table) == 801
        assert any(incident.kind == "refresh" for incident in reading.incidents)


@pytest.mark.parametrize("variant", EACH)
@pytest.mark.parametrize("change", ["CONVERT TO CHARACTER SET sjis COLLATE sjis_bin", "MODIFY k DATE"])
async def test_a_column_that_can_no_longer_be_compared_with_the_last_key(
    database: Database, variant: str, change: str
) -> None:
    """The copy meets the altered table before the log's statement: the server refuses its query."""
    database.execute(
        "CREATE TABLE t (k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, v INT)",
        "INSERT INTO t VALUES " + ", ".join(f"('ქ{n}', {n})" for n in range(10)),
    )
    async with Reading(database.server, f"{database.name}.t", chunkRows=2, onLogGap="resnapshot") as reading:
        await reading.until(lambda: len(reading.table) >= 4)
        await reading.crash()
        database.execute("DELETE FROM t", f"ALTER TABLE t {change}", "INSERT INTO t VALUES ('2001-02-03', 100)")
        await reading.until(lambda: reading.is_copied() and bool(reading.table), heals=True)
        assert [row[1] for row in reading.table.values()] == [100]


@pytest.mark.parametrize("variant", EACH)
async def test_a_descending_key_is_read_by_its_index(database: Database, variant: str) -> None:
    database.execute(
        "CREATE TABLE t (a INT, b INT, v INT, PRIMARY KEY (a, b DESC))",
        "INSERT INTO t VALUES " + ", ".join(f"({n % 7}, {n}, {n})" for n in range(700)),
    )
    reading = await read_all(database, chunkRows=100)
    try:
        rows = [(row[0], row[1]) for operation, row in reading.history if row and not operation]
        assert rows == sorted(rows, key=lambda key: (key[0], -key[1])), "in the order of the index"
        assert set(rows) == {(n % 7, n) for n in range(700)}
    finally:
        await reading.close()


@pytest.mark.parametrize("variant", EACH)
async def test_an_index_that_is_hidden_while_it_is_read(database: Database, variant: str) -> None:
    hidden = "IGNORED" if is_mariadb(variant) else "INVISIBLE"
    database.execute(
        "CREATE TABLE t (v INT NOT NULL, k INT NOT NULL, UNIQUE z (v), UNIQUE u (k))",
        "INSERT INTO t VALUES " + ", ".join(f"({n}, {n})" for n in range(1000)),
    )
    async with Reading(database.server, f"{database.name}.t", chunkRows=100) as reading:
        await reading.until(lambda: len(reading.table) >= 300)
        database.execute(f"ALTER TABLE t ALTER INDEX u {hidden}")
        await reading.until(reading.is_copied, heals=True)
        assert len(reading.table) == 1000


@pytest.mark.parametrize("variant", EACH)
async def test_a_hidden_index_from_the_start(database: Database, variant: str) -> None:
    hidden = "IGNORED" if is_mariadb(variant) else "INVISIBLE"
    database.execute(
        f"CREATE TABLE t (v INT NOT NULL, k INT NOT NULL, UNIQUE z (v), UNIQUE u (k) {hidden})",
        "INSERT INTO t VALUES " + ", ".join(f"({n}, {n})" for n in range(500)),
    )
    await (await read_all(database, chunkRows=100)).close()


@pytest.mark.parametrize("variant", variants("mariadb"))
async def test_long_texts_as_keys(database: Database, variant: str) -> None:
    """Unique by hashes: they are sorted, by default only by their first 1,024 bytes."""
    database.execute(
        "CREATE TABLE t (k TEXT NOT NULL, v INT, UNIQUE u (k))",
        "INSERT INTO t SELECT CONCAT(REPEAT('a', 5000), LPAD(1000 - seq, 5, '0')), seq FROM seq_1_to_300",
    )
    reading = await read_all(database, chunkRows=50)
    await reading.close()
    assert {row[1] for row in reading.table.values()} == set(range(1, 301))


@pytest.mark.parametrize("variant", EACH)
@pytest.mark.parametrize("kind", ["DATE", "DATETIME"])
async def test_impossible_dates_as_keys(database: Database, variant: str, kind: str) -> None:
    dates = ["0000-00-00", "2020-00-00", "2020-02-00", "2020-02-30", "2020-02-31", "2020-03-01", "2021-11-31"]
    database.execute(
        "SET sql_mode = 'ALLOW_INVALID_DATES'",
        f"CREATE TABLE t (k {kind} PRIMARY KEY, v INT)",
        "INSERT INTO t VALUES " + ", ".join(f"('{day}', 1)" for day in dates),
    )
    reading = await read_all(database, chunkRows=1)
    await reading.close()
    assert len(reading.table) == len(dates)


@pytest.mark.parametrize("variant", EACH)
async def test_enum_and_set_keys_whose_texts_are_alike(database: Database, variant: str) -> None:
    """Both rows, or an error; never one row for two."""
    database.execute(
        "SET sql_mode = ''",
        "CREATE TABLE e (k ENUM('', 'a') PRIMARY KEY, v INT)",
        "INSERT INTO e VALUES ('', 1), ('a', 2)",
        "CREATE TABLE s (k SET('', 'a') PRIMARY KEY, v INT)",
        "INSERT INTO s VALUES (0, 1), (2, 2)",
    )
    for table, twin in (("e", 0), ("s", 1)):
        reading = await read_all(database, table)
        assert set(reading.table) == {("",), ("a",)}
        database.execute("SET sql_mode = ''", f"INSERT INTO {table} VALUES ({twin}, 3)")
        with pytest.raises(ActionRequiredError, match="column k") as logged:
            await reading.until(lambda: False)
        assert logged.value.reason == "AmbiguousKey"
        await reading.close()
        async with Reading(database.server, f"{database.name}.{table}", connector="test/second") as again:
            with pytest.raises(ActionRequiredError, match="column k") as copied:
                await again.until(lambda: False)
            assert copied.value.reason == "AmbiguousKey"


@pytest.mark.parametrize("variant", EACH)
async def test_text_keys_of_codes_that_are_alike(database: Database, variant: str) -> None:
    database.execute(
        "CREATE TABLE t (k VARCHAR(9) CHARACTER SET cp932 COLLATE cp932_bin PRIMARY KEY, v INT)",
        "INSERT INTO t VALUES (x'81be', 1)",
    )
    async with await read_all(database) as reading:
        assert set(reading.table) == {("\u222a",)}
        database.execute("INSERT INTO t VALUES (x'879c', 2)")
        with pytest.raises(ActionRequiredError, match="0x879c of cp932") as told:
            await reading.until(lambda: False)
        assert told.value.reason == "AmbiguousKey"


@pytest.mark.parametrize("variant", EACH)
async def test_text_keys_without_a_character(database: Database, variant: str) -> None:
    database.execute(
        "CREATE TABLE t (k VARCHAR(9) CHARACTER SET cp1250 COLLATE cp1250_bin PRIMARY KEY, v INT)",
        "INSERT INTO t VALUES (x'81', 1), (x'41', 2), (x'83', 3), (x'ff', 4)",
    )
    reading = await read_all(database, chunkRows=1)
    await reading.close()
    assert set(reading.table) == {("A",), ("\udc81",), ("\udc83",), ("˙",)}


@pytest.mark.parametrize("variant", variants("mysql-gtids"))
async def test_a_generated_key_that_is_hidden(database: Database, variant: str) -> None:
    server = database.server
    server.execute("SET GLOBAL show_gipk_in_create_table_and_information_schema = 0")
    try:
        database.execute(
            "SET sql_generate_invisible_primary_key = 1",
            "CREATE TABLE t (a INT UNIQUE, v INT)",
            "INSERT INTO t VALUES (5, 1)",
        )
        async with await read_all(database) as reading:
            database.execute("INSERT INTO t VALUES (6, 2)")
            await reading.until(lambda: len(reading.table) == 2)
            assert reading.table == {(1,): (1, 5, 1), (2,): (2, 6, 2)}
    finally:
        server.execute("SET GLOBAL show_gipk_in_create_table_and_information_schema = 1")


@pytest.mark.parametrize("variant", EACH)
async def test_what_sessions_inherit_changes_nothing(database: Database, variant: str) -> None:
    """Global settings that cut results, refuse large ones or end long ones."""
    settings = {
        "max_join_size": 10,
        "sql_select_limit": 3,
        "sql_mode": "'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH'",
        "completion_type": 1,
    }
    settings |= {"max_statement_time": 0.000001} if is_mariadb(variant) else {"max_execution_time": 1}
    settings |= {"sql_quote_show_create": 0, "sql_auto_is_null": 1, "max_sort_length": 64}
    before = {name: database.server.query(f"SELECT @@GLOBAL.{name}")[0][0] for name in settings}
    database.execute(
        "CREATE TABLE t (k CHAR(9) PRIMARY KEY, v INT)",
        "INSERT INTO t VALUES " + ", ".join(f"('{n}', {n})" for n in range(1000)),
        "SET SESSION sql_select_limit = DEFAULT",
        *(f"SET GLOBAL {name} = {value}" for name, value in settings.items()),
    )
    try:
        reading = Reading(database.server, f"{database.name}.t", chunkRows=300)
        await reading.until(lambda: len(reading.table) == 1000)
        await reading.close()
        assert ("7",) in reading.table
    finally:
        again = ", ".join(f"GLOBAL {name} = {before[name]!r}" for name in settings)
        database.server.execute("SET SESSION sql_select_limit = 18446744073709551615", f"SET {again}")


@pytest.mark.parametrize("variant", EACH)
async def test_a_database_with_a_dot_in_its_name(database: Database, variant: str) -> None:
    name = f"{database.name}.x.y"
    database.execute(
        f"CREATE DATABASE `{name}`",
        f"CREATE TABLE `{name}`.`t.u` (id INT PRIMARY KEY, v INT)",
        f"INSERT INTO `{name}`.`t.u` VALUES (1, 1)",
    )
    try:
        async with Reading(database.server, f"{name}.t.u") as reading:
            await reading.until(lambda: len(reading.table) == 1)
            await reading.crash()
            database.execute(f"INSERT INTO `{name}`.`t.u` VALUES (2, 2)")
            await reading.until(lambda: len(reading.table) == 2)
            catalogue = await reading.build().discover(f"{name}.t.u")
            assert any(stream.id == f"{name}.t.u" for stream in catalogue.streams)
    finally:
        database.execute(f"DROP DATABASE `{name}`")


@pytest.mark.parametrize("variant", EACH)
@pytest.mark.parametrize("engine", ["MERGE UNION=(a) INSERT_METHOD=LAST", "BLACKHOLE"])
async def test_engines_whose_rows_the_log_does_not_show(database: Database, variant: str, engine: str) -> None:
    if engine == "BLACKHOLE" and is_mariadb(variant):
        engine = "MERGE UNION=(a)"  # there it is a plugin that is not installed
    database.execute(
        "CREATE TABLE a (id INT NOT NULL, v INT, PRIMARY KEY (id)) ENGINE=MyISAM",
        f"CREATE TABLE t (id INT NOT NULL, v INT, PRIMARY KEY (id)) ENGINE={engine}",
    )
    reading = Reading(database.server, f"{database.name}.t")
    with pytest.raises(ActionRequiredError, match="its engine is") as refused:
        await reading.open()
    assert refused.value.reason == "Preflight"
    catalogue = await reading.build().discover(None)
    (stream,) = [stream for stream in catalogue.streams if stream.id == f"{database.name}.t"]
    assert "its engine is" in stream.unavailable["LOG_BASED"]


async def test_myisam_is_followed(database: Database) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY, v INT) ENGINE=MyISAM", "INSERT INTO t VALUES (1, 1)")
    async with await read_all(database) as reading:
        database.execute("INSERT INTO t VALUES (2, 2)")
        await reading.until(lambda: len(reading.table) == 2)


@pytest.mark.parametrize("variant", variants("mariadb"))
def test_the_collations_that_do_not_pad_are_known_by_name(database: Database, variant: str) -> None:
    """The server lists no such property: each collation is asked for by a comparison."""
    collations = database.query(
        "SELECT CHARACTER_SET_NAME, FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY "
        "WHERE CHARACTER_SET_NAME <> 'binary'"  # CHAR of it is BINARY
    )
    comparisons = (f"CONVERT('a' USING {cs}) = CONVERT('a ' USING {cs}) COLLATE {name}" for cs, name in collations)
    (pads,) = database.query(f"SELECT {', '.join(comparisons)}")
    names = [str(name) for _, name in collations]
    wrong = {name for name, is_equal in zip(names, pads, strict=True) if is_no_pad(name) is bool(is_equal)}
    assert len(names) > 500
    assert wrong <= {"utf8mb4_0900_bin"}, "11.4 pads by it, 11.8 does not: it is refused on both"
