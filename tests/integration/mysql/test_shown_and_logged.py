"""What a table's definition shows of statements is in the log: else a look ahead misses the statement, and old rows lose its effect."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from connector_runner.sources.mysql.server import definitions
from connector_runner.sources.mysql.server.connection import connect
from connector_runner.sources.mysql.server.definitions import read_definition, read_table
from connector_runner.sources.mysql.settings import parse_settings
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.reading import build_config

STATEMENTS = 400
"""Without the metadata lock a look in seven sees one of them too early on MySQL."""


@pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb"))
@pytest.mark.parametrize("engine", ["InnoDB", "MyISAM"])
def test_a_statement_is_shown_when_it_is_in_the_log(
    database: Database, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute(f"CREATE TABLE t (id INT PRIMARY KEY, v INT DEFAULT 0) ENGINE={engine}")
    settings = parse_settings(build_config(database.server), "test/shown")
    connection, other = (connect(settings, purpose="definitions") for _ in range(2))
    ends, read_keys = list[tuple[object, ...]](), definitions._read_keys

    def look_at_the_log(*arguments: Any) -> Any:
        ends.append(other.rows("SHOW MASTER STATUS")[0][:2])  # right after the columns
        return read_keys(*arguments)

    monkeypatch.setattr(definitions, "_read_keys", look_at_the_log)
    altering = threading.Thread(
        target=lambda: database.execute(*(f"ALTER TABLE t ALTER v SET DEFAULT {at}" for at in range(1, STATEMENTS + 1)))
    )
    looks = list[tuple[int, tuple[object, ...]]]()
    altering.start()
    while altering.is_alive():
        definition = read_definition(connection, database.name, "t")
        assert definition is not None
        looks.append((int(definition.columns[1].default or 0), ends[-1]))
    altering.join()
    connection.close()
    other.close()
    logged = {
        int(found[1]): (file, row[4])
        for file in {end[0] for _, end in looks}
        for row in database.query(f"SHOW BINLOG EVENTS IN '{file}'")
        if f"`{database.name}`" in str(row[5]) and (found := re.search(r"SET DEFAULT (\d+)", str(row[5])))
    }
    assert len({shown for shown, _ in looks}) > 10
    assert [(shown, end) for shown, end in looks if shown and logged[shown] > end] == []


@pytest.mark.parametrize("variant", variants("mysql-gtids"))
def test_a_table_that_goes_meanwhile_is_none(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.execute("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=MyISAM")
    connection = connect(parse_settings(build_config(database.server), "test/shown"), purpose="definitions")
    query = connection.query

    def drop_first(statement: str, *rest: object) -> object:
        if statement == "START TRANSACTION":
            database.execute("DROP TABLE t")
        return query(statement, *rest)

    monkeypatch.setattr(connection, "query", drop_first)
    assert read_table(connection, database.name, "t") is None
    connection.close()
