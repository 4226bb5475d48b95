"""A selection that changes while its runner runs: orders that change, and tables that are made meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.live_orders import PodSelection
from tests.integration.mysql.selecting import TABLES, Selection, create, targets

EACH = pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb", long=("mysql-files",)))
ONE = pytest.mark.parametrize("variant", variants("mysql-gtids"))


@ONE
def test_orders_that_change_reach_the_running_runner(database: Database, tmp_path: Path) -> None:
    create(database, *TABLES)
    name = database.name
    runner = PodSelection(tmp_path, database, "pod", include=[f"{name}.orders"])
    runner.start()
    try:
        runner.until_equal(targets(database, ("orders",)))
        runner.order(include=[f"{name}.*"], exclude=[f"{name}.customers"])
        runner.until_equal(targets(database, ("orders", "items")))
        runner.order(include=[f"{name}.items"])
        runner.until(lambda: runner.output().count("the selection is claimed") == 2)
        database.execute("INSERT INTO orders VALUES (3, 'away')", "INSERT INTO items VALUES (3, 'three')")
        runner.until_equal(targets(database, ("items",)))
        assert runner.table(f"{name}_orders") == [(1, "one"), (2, "two")]
        runner.order(include=[f"{name}.nothing"])
        runner.until(lambda: "the selection stays as it is" in runner.output())
        runner.order(include=["a..b"])
        runner.until(lambda: "two in a row" in runner.output())
        runner.order(include=[f"{name}.*"])
        runner.until_equal(targets(database))
        runner.kill()
        database.execute("INSERT INTO customers VALUES (3, 'later')")
        runner.start()  # with the manifest of old, but the present orders
        runner.until_equal(targets(database))
        runner.stop()
    finally:
        if runner.is_running:
            runner.kill()


@EACH
@pytest.mark.parametrize("added", ["follow", "ignore"])
def test_tables_that_are_made_while_it_runs(
    database: Database, selection: Callable[..., Selection], added: str
) -> None:
    create(database, "orders", "items")
    name = database.name
    runner = selection("sqlite:///many.db", "later", include=[f"{name}.*"], exclude=[f"{name}.no*"], added=added)
    runner.start()
    runner.until_equal(targets(database, ("orders", "items")))
    create(database, "customers", "notes", "_orders_gho")
    database.execute("INSERT INTO orders VALUES (3, 'three')")
    if added == "follow":
        runner.until_equal(targets(database))
        database.execute("INSERT INTO customers VALUES (3, 'three')")
    runner.until_equal(targets(database, ("orders", "items")))
    runner.kill()
    runner.start()
    runner.until_equal(targets(database, TABLES if added == "follow" else ("orders", "items")))
    database.execute("INSERT INTO items VALUES (4, 'four')")
    runner.until_equal(targets(database, TABLES if added == "follow" else ("orders", "items")))
    runner.stop()
    found = {
        table for (table,) in runner.ask(f"SELECT name FROM sqlite_master WHERE name LIKE '{name}%' AND type = 'table'")
    }
    made = {table for table in found if not table.endswith(("_dead_letters", "_incidents"))}
    assert made == {f"{name}_{table}" for table in (TABLES if added == "follow" else ("orders", "items"))}
    if added == "ignore":
        assert f"ignored, because they were made later and added is ignore: {name}.customers" in runner.output()
