"""Rows that were logged between two changes of a table are read with all that the log says about them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.mysql.conftest import Database, is_mariadb, variants
from tests.integration.mysql.reading import Reading
from tests.integration.mysql.test_alterations import settle
from tests.integration.mysql.test_soak import is_complete


@pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb-compressed"))
async def test_rows_between_are_read_with_all_that_the_log_says(database: Database) -> None:
    """Signs and labels do not show in the types: the same bytes mean other values."""
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, n INT, e ENUM('x', 'y'), s VARCHAR(9) CHARACTER SET latin1)",
        "INSERT INTO t VALUES (1, -1, 'x', 'é')",
    )
    reading = Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}")
    await reading.until(lambda: is_complete(reading))
    await reading.crash()
    database.execute(
        "DELETE FROM t", "ALTER TABLE t MODIFY n INT UNSIGNED, MODIFY e ENUM('y', 'x'), MODIFY s VARCHAR(9) CHARACTER SET cp1251",
        "INSERT INTO t VALUES (2, 4000000000, 'y', 'ж')",
        "ALTER TABLE t MODIFY n BIGINT, MODIFY e ENUM('x', 'y'), MODIFY s VARCHAR(9) CHARACTER SET utf8mb4",
    )  # fmt: skip
    await settle(reading, database)
    await reading.close()
    rows = [row for _, row in reading.history if row[:1] == (2,)]
    assert set(rows) == {(2, 4000000000, "y", "ж")}


COLLATED: dict[str, tuple[str, str]] = {
    "utf8": ("x VARCHAR(10) CHARACTER SET utf8", "s VARCHAR(20)"),
    "uca1400": (
        "x VARCHAR(10) CHARACTER SET utf8mb3 COLLATE utf8mb3_uca1400_ai_ci",
        "s VARCHAR(20) COLLATE utf8mb4_uca1400_as_cs",
    ),
    "point": ("x POINT FIRST", "s VARCHAR(20) CHARACTER SET latin1"),
    "vector": ("x VECTOR(3) FIRST", "s VARCHAR(20) CHARACTER SET latin1"),
    "others": (
        "x TEXT CHARACTER SET utf16, ADD y CHAR(3) CHARACTER SET ucs2, ADD z ENUM('é') CHARACTER SET latin1",
        "s VARCHAR(20) CHARACTER SET utf32",
    ),
}


def collated(*names: str, long: tuple[str, ...] = ()) -> list[Any]:
    found = []
    for parameter in variants(*names, long=long):
        name = parameter if isinstance(parameter, str) else parameter.values[0]
        marks = [] if isinstance(parameter, str) else [pytest.mark.fault]
        for case in COLLATED:
            has_vector = name.startswith("mysql-9") or "11.8" in name
            if (case == "uca1400" and not is_mariadb(name)) or (case == "vector" and not has_vector):
                continue
            found.append(pytest.param(name, case, marks=marks))
    return found


@pytest.mark.parametrize(("variant", "case"), collated("mysql-gtids", "mariadb-compressed"))
async def test_rows_between_two_changes_in_every_kind_of_text(database: Database, case: str) -> None:
    """The log's list of character sets is counted as the server counts, and its numbers are known."""
    added, text = COLLATED[case]
    database.execute(f"CREATE TABLE t (id INT PRIMARY KEY, {text})", "INSERT INTO t VALUES (1, 'é'), (2, 'ß')")
    reading = Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}")
    await reading.until(lambda: is_complete(reading))
    await reading.crash()
    database.execute(
        f"ALTER TABLE t ADD {added}", "INSERT INTO t (id, s) VALUES (4, 'é日')" if "latin1" not in text else "INSERT INTO t (id, s) VALUES (4, 'éñ')",
        "DELETE FROM t WHERE id = 1", "UPDATE t SET id = 20 WHERE id = 2", "ALTER TABLE t DROP x", "INSERT INTO t (id, s) VALUES (5, 'ö')",
    )  # fmt: skip
    await settle(reading, database)
    await reading.close()
    assert set(reading.table) == {(4,), (5,), (20,), (99,)}
    between = next(row for _, row in reading.history if 4 in row)
    assert {"é日", "éñ"} & set(between)


@pytest.mark.parametrize("variant", variants("mysql-files", long=("mysql-gtids", "mariadb")))
@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        ("VARCHAR(10) CHARACTER SET greek", "VARCHAR(10) CHARACTER SET utf16", "\uf8ff"),
        ("VARCHAR(10) CHARACTER SET latin1", "VARCHAR(10) CHARACTER SET utf8mb4", "жé"),
        ("INT", "INT UNSIGNED", 4_000_000_000),
        ("INT UNSIGNED", "INT", -7),
    ],
)
async def test_a_copy_that_is_newer_than_the_log_has_no_value_of_the_old_definition(
    database: Database, before: str, after: str, value: str | int
) -> None:
    """MySQL without GTIDs stores a chunk before the log is read up to it."""
    database.execute(f"CREATE TABLE t (id INT PRIMARY KEY, x {before})", "INSERT INTO t VALUES (1, NULL)")
    reading = Reading(database.server, f"{database.name}.t", connector=f"test/{database.name}", onLogGap="resnapshot")
    await reading.until(lambda: is_complete(reading))
    await reading.crash()
    database.execute("SET SESSION binlog_format = 'STATEMENT'", "INSERT INTO t VALUES (2, NULL)")
    database.execute(f"ALTER TABLE t MODIFY x {after}")
    database.server.execute(
        f"UPDATE t SET x = {value!r} WHERE id = 2" if isinstance(value, int) else f"UPDATE t SET x = _utf8mb4 x'{value.encode().hex()}' WHERE id = 2",
        database=database.name,
    )  # fmt: skip
    await settle(reading, database)
    await reading.close()
    assert {row[1] for _, row in reading.history if row[:1] == (2,)} - {None} == {value}
