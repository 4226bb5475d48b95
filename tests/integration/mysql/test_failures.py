"""Failures that users meet before the first row, each with its message."""

from __future__ import annotations

import pytest

from connector_runner.protocols.errors import (
    ActionRequiredError,
    InvalidConfigError,
    TransientError,
    UnknownStreamError,
)
from connector_runner.sources.mysql.server.connection import connect
from connector_runner.sources.mysql.server.queries import read_snapshot_position
from connector_runner.sources.mysql.settings import parse_settings
from tests.integration.mysql.conftest import Database, make_table, start, variants
from tests.integration.mysql.reading import Reading, build_config
from tests.integration.mysql.test_soak import is_complete
from tests.integration.mysql.topology import log_updates, name_a_primary

SECRET = "never-to-be-shown"


@pytest.fixture(params=variants("mysql-gtids", "mariadb"))
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_a_wrong_password_is_a_config_error_at_once(database: Database) -> None:
    stream = make_table(database)
    reading = Reading(database.server, stream, password=SECRET)
    with pytest.raises(InvalidConfigError, match=r"config\.password.*Access denied.*admin") as failure:
        await reading.open()
    assert failure.value.reason == "AccessDenied"
    assert SECRET not in str(failure.value) + repr(failure.value.__context__)


async def test_a_server_that_is_not_there_is_transient(database: Database) -> None:
    reading = Reading(database.server, "d.t", port=1)
    with pytest.raises(TransientError, match=r"connecting to 127\.0\.0\.1:1"):
        await reading.open()


async def test_an_unknown_table_is_told_with_what_there_is(database: Database) -> None:
    make_table(database, "orders")
    with pytest.raises(UnknownStreamError, match=rf"{database.name}\.order'.*did you mean.*{database.name}\.orders"):
        await Reading(database.server, f"{database.name}.order").open()


async def test_missing_grants_are_listed_at_once_with_their_cure(database: Database) -> None:
    stream = make_table(database)
    user = f"u{database.name[:8]}"
    database.execute(f"CREATE USER {user}@'%' IDENTIFIED BY 'pw'", f"GRANT SELECT ON {database.name}.* TO {user}@'%'")
    reading = Reading(database.server, stream, user=user, password="pw")
    with pytest.raises(ActionRequiredError, match=rf"GRANT REPLICATION SLAVE ON \*\.\* TO '{user}'@'%'"):
        await reading.open()
    catalogue = await reading.build().discover(None)
    (found,) = catalogue.streams
    assert found.modes == ("INCREMENTAL", "FULL_TABLE")
    assert "GRANT REPLICATION SLAVE" in found.unavailable["LOG_BASED"]
    database.execute(f"GRANT REPLICATION SLAVE ON *.* TO {user}@'%'")
    await reading.until(lambda: is_complete(reading))  # SELECT and REPLICATION SLAVE are enough
    database.execute("INSERT INTO t VALUES (2, 'two')")
    await reading.until(lambda: (2,) in reading.table)
    await reading.close()
    database.execute(f"DROP USER {user}@'%'")


async def test_a_missing_select_is_told(database: Database) -> None:
    stream = make_table(database)
    user = f"u{database.name[:8]}"
    database.execute(f"CREATE USER {user}@'%' IDENTIFIED BY 'pw'", f"GRANT INSERT ON {stream} TO {user}@'%'")
    with pytest.raises(
        ActionRequiredError, match=rf"lacks SELECT: GRANT SELECT ON `{database.name}`\.`t` TO '{user}'@'%'"
    ):
        await Reading(database.server, stream, user=user, password="pw").open()
    database.execute(f"DROP USER {user}@'%'")


async def test_the_smallest_account_sees_cascades(database: Database) -> None:
    make_table(database)
    user = f"u{database.name[:8]}"
    database.execute(
        "CREATE TABLE `ch``ild` (id INT PRIMARY KEY, p INT, CONSTRAINT `go``es` FOREIGN KEY (p) REFERENCES t (id) ON DELETE SET NULL)",
        "CREATE TABLE safe (id INT PRIMARY KEY, p INT, note VARCHAR(90) DEFAULT 'ON DELETE CASCADE', FOREIGN KEY (p) REFERENCES t (id))",
        f"CREATE USER {user}@'%' IDENTIFIED BY 'pw'", f"GRANT SELECT ON {database.name}.* TO {user}@'%'",
        f"GRANT REPLICATION SLAVE ON *.* TO {user}@'%'",
    )  # fmt: skip
    reading = Reading(database.server, f"{database.name}.ch`ild", user=user, password="pw", database=database.name)
    catalogue = await reading.build().discover(None)
    found = {stream.id.partition(".")[2]: stream.unavailable.get("LOG_BASED", "") for stream in catalogue.streams}
    assert found["safe"] == ""
    assert "the foreign key go`es changes its rows" in found["ch`ild"]
    with pytest.raises(ActionRequiredError, match="the foreign key go`es"):
        await reading.open()
    database.execute(f"DROP USER {user}@'%'")


async def test_a_replica_that_does_not_log_what_it_applies_is_refused(variant: str) -> None:
    with start(variant, log_updates(variant, "OFF")) as server:
        server.execute("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)")
        async with Reading(server, "d.t") as reading:
            await reading.until(lambda: is_complete(reading))  # a server that applies nothing logs all it does
        name_a_primary(server)
        with pytest.raises(ActionRequiredError, match=r"it is a replica and log_\w+_updates is OFF.*updates=ON"):
            await Reading(server, "d.t").open()


async def test_what_the_log_can_not_show_is_refused(database: Database, variant: str) -> None:
    make_table(database)
    database.execute(
        "CREATE TABLE nokey (a INT)",
        "CREATE TABLE uniq (a INT NOT NULL, b INT NOT NULL, c INT, UNIQUE (a, b), UNIQUE (c))",
        "CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT goes FOREIGN KEY (p) REFERENCES t (id) ON DELETE CASCADE)",
        "CREATE TABLE approx (f FLOAT PRIMARY KEY)",
        "CREATE VIEW v AS SELECT * FROM t",
    )
    catalogue = await Reading(database.server, "x.y", database=database.name).build().discover(None)
    found = {stream.id.partition(".")[2]: stream for stream in catalogue.streams}
    assert catalogue.total == 6
    assert set(found) == {"t", "nokey", "uniq", "child", "approx", "v"}
    assert found["t"].modes == ("LOG_BASED", "INCREMENTAL", "FULL_TABLE")
    assert found["uniq"].key == ("a", "b")
    assert "neither a primary key nor a unique index" in found["nokey"].unavailable["LOG_BASED"]
    assert "FLOAT" in found["approx"].unavailable["LOG_BASED"]
    assert "it is a view" in found["v"].unavailable["LOG_BASED"]
    if variant.startswith("mysql-9"):  # its log shows what a foreign key does
        assert found["child"].modes == found["t"].modes
        return
    assert "foreign key goes" in found["child"].unavailable["LOG_BASED"]
    with pytest.raises(ActionRequiredError, match=r"foreign key goes.*onCascade: ignore"):
        await Reading(database.server, f"{database.name}.child").open()
    async with Reading(database.server, f"{database.name}.child", onCascade="ignore") as reading:
        await reading.until(lambda: is_complete(reading))


async def test_server_settings_are_told_with_the_statement_that_mends_them(variant: str) -> None:
    options = ["--skip-log-bin", "--binlog-format=STATEMENT", "--binlog-row-image=MINIMAL"]
    with start(variant, *options, is_bare=True) as server:
        server.execute("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)")
        with pytest.raises(ActionRequiredError) as failure:
            await Reading(server, "d.t").open()
        for part in ("log_bin is OFF", "SET GLOBAL binlog_format = 'ROW'", "SET GLOBAL binlog_row_image = 'FULL'"):
            assert part in failure.value.message


@pytest.mark.parametrize("option", ["--binlog-ignore-db=d", "--binlog-do-db=another"])
async def test_a_filtered_database_is_refused(variant: str, option: str) -> None:
    with start(variant, option, is_bare=True) as server:
        server.execute("CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)")
        with pytest.raises(ActionRequiredError, match="keeps the database d out of the log"):
            await Reading(server, "d.t").open()


@pytest.mark.parametrize("variant", variants("mariadb"))
def test_a_log_that_is_not_in_files_is_refused(variant: str) -> None:
    with start(variant, "--skip-log-bin", is_bare=True) as server:
        connection = connect(parse_settings(build_config(server), "test/files"), purpose="start")
        with pytest.raises(ActionRequiredError, match="LOG_BASED needs a log in files"):
            read_snapshot_position(connection)
        connection.discard()


async def test_only_a_copy_ends_the_stream(database: Database) -> None:
    stream = make_table(database)
    async with Reading(database.server, stream, snapshot="only") as reading:
        while await reading.step():
            pass
        assert set(reading.table) == {(1,)}
        assert reading.told.steps[-1] == (1, 1)


async def test_never_starts_with_the_next_change(database: Database) -> None:
    stream = make_table(database)
    async with Reading(database.server, stream, snapshot="never") as reading:
        await reading.open()
        database.execute("INSERT INTO t VALUES (2, 'two')")
        await reading.until(lambda: bool(reading.table))
        assert set(reading.table) == {(2,)}
