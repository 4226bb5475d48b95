"""Labels of ENUM and SET on real servers: exact, or refused with the reason, in copy and log."""

from __future__ import annotations

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from tests.integration.mysql.conftest import VARIANTS, Database, variants
from tests.integration.mysql.reading import Reading


@pytest.mark.parametrize("variant", variants("mysql-gtids", "mysql-files"))
async def test_labels_that_the_server_does_not_show(database: Database, variant: str) -> None:
    """information_schema is utf8mb3: an emoji reads '?' there."""
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('🎈', 'a', '?'), s SET('🎉', 'b'))",
        "INSERT INTO t VALUES (1, 1, 3)",
    )
    reading = Reading(database.server, f"{database.name}.t")
    if variant.endswith("files"):  # no labels in its log
        with pytest.raises(ActionRequiredError, match="binlog_row_metadata"):
            await reading.open()
        return
    async with reading:
        await reading.until(lambda: len(reading.table) == 1)
        database.execute("INSERT INTO t VALUES (2, 1, 3), (3, 3, 1)")
        await reading.until(lambda: len(reading.table) == 3)
        assert reading.table == {(1,): (1, "🎈", "🎉,b"), (2,): (2, "🎈", "🎉,b"), (3,): (3, "?", "🎉")}


@pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb-compressed"))
@pytest.mark.parametrize("kind", ["ENUM", "SET"])
@pytest.mark.parametrize("charset", ["utf32", "utf16"])
async def test_labels_that_a_change_of_charset_left_unreadable(
    database: Database, variant: str, kind: str, charset: str
) -> None:
    """CONVERT TO leaves the labels' bytes as they were, which neither copy nor log must take for text, nor for nothing."""
    assert VARIANTS[variant].has_names
    database.execute(
        f"CREATE TABLE t (id INT PRIMARY KEY, e {kind}('ßc') CHARACTER SET utf8mb4)", "INSERT INTO t VALUES (1, NULL)"
    )
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == 1)
        database.execute(f"ALTER TABLE t CONVERT TO CHARACTER SET {charset}", "INSERT INTO t VALUES (2, NULL)")
        await reading.until(lambda: len(reading.table) == 2)
        database.execute("INSERT INTO t VALUES (3, 1)")
        with pytest.raises(ActionRequiredError, match=f"column e: .*label 1 .*not valid text in {charset}") as in_log:
            await reading.until(lambda: len(reading.table) == 3)
    async with Reading(database.server, f"{database.name}.t") as again:
        with pytest.raises(ActionRequiredError, match=f"column e: .*not valid text in {charset}") as in_copy:
            await again.until(lambda: len(again.table) == 3)
    assert in_log.value.reason == in_copy.value.reason == "UnreadableLabel"
    assert set(reading.table) == {(1,), (2,)}


@pytest.mark.parametrize("variant", variants("mysql-files"))
@pytest.mark.parametrize("kind", ["ENUM", "SET"])
@pytest.mark.parametrize(
    ("old", "new", "label"),
    [("latin1", "utf8mb4", "ß"), ("latin1", "utf8mb4", "caé"), ("latin1", "utf32", "ß"), ("utf8mb4", "utf32", "ßc")],
)
async def test_labels_that_a_change_of_charset_left_unreadable_without_names(
    database: Database, variant: str, kind: str, old: str, new: str, label: str
) -> None:
    """Without names in the log its rows would have what the server shows of such a label: a part of it, or nothing."""
    assert not VARIANTS[variant].has_names
    database.execute(
        f"CREATE TABLE t (id INT PRIMARY KEY, e {kind}('{label}') CHARACTER SET {old})",
        "INSERT INTO t VALUES (1, NULL)",
    )
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == 1)
        database.execute(f"ALTER TABLE t CONVERT TO CHARACTER SET {new}", "INSERT INTO t VALUES (2, 1)")
        with pytest.raises(
            ActionRequiredError, match=f"column e: .*{label}.* is not valid text in {new}.*CONVERT TO"
        ) as failure:
            await reading.until(lambda: len(reading.table) == 2)
    assert failure.value.reason == "UnreadableLabel"
    assert set(reading.table) == {(1,)}


@pytest.mark.parametrize("variant", variants("mariadb"))
async def test_labels_that_mariadb_shows_as_question_marks(database: Database, variant: str) -> None:
    """Where MySQL shows a part or nothing."""
    assert not VARIANTS[variant].has_names
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, e ENUM('ß') CHARACTER SET latin1)", "INSERT INTO t VALUES (1, NULL)"
    )
    async with Reading(database.server, f"{database.name}.t") as reading:
        await reading.until(lambda: len(reading.table) == 1)
        database.execute("ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4", "INSERT INTO t VALUES (2, 1)")
        with pytest.raises(ActionRequiredError, match=r"CONVERT TO.*one of its labels has a question mark") as failure:
            await reading.until(lambda: len(reading.table) == 2)
    assert failure.value.reason == "Preflight"
