"""A selection that changes while its runner runs: orders that change, and tables that are made meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connector_runner.manifests import orders_from_file
from connector_runner.schemas.manifest import encode_variables
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.selecting import TABLES, Selection, create, targets
from tests.servers.mysqld import ADMIN_PASSWORD

EACH = pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb", long=("mysql-files",)))
ONE = pytest.mark.parametrize("variant", variants("mysql-gtids"))
ROOT = Path(__file__).parents[3]


class PodSelection(Selection):
    """A runner that gets its orders as in a pod: the manifest in the environment, the selection also in a folder that changes."""

    def __init__(self, folder: Path, database: Database, name: str, **streams: Any) -> None:
        super().__init__(folder, database, "sqlite:///many.db", name, **streams)
        self.orders = folder / "orders"
        self.folder = folder
        manifest = orders_from_file(self.manifest).manifest
        assert manifest.dataset is not None
        login = {**manifest.config, "password": ADMIN_PASSWORD}
        dataset = msgspec.structs.replace(manifest.dataset, url=self.url)
        self.inner = msgspec.structs.replace(manifest, config=login, config_from=0, secrets=(), dataset=dataset)

    def order(self, **streams: Any) -> None:
        """Changes the orders as the kubelet does: whole, by a rename."""
        self.orders.mkdir(exist_ok=True)
        fresh = self.folder / "fresh.json"
        fresh.write_text(json.dumps({**streams, "number": 1}))
        fresh.rename(self.orders / "selection.json")

    def start(self) -> None:
        self.inner = msgspec.structs.replace(self.inner, run=self.inner.run + 1)
        environment = {**os.environ, "CONNECTOR_ORDERS_DIR": str(self.orders), **encode_variables(self.inner)}
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "connector_runner.cli", "run"],
                cwd=self.folder, env=environment, stdout=output, stderr=output,
            )  # fmt: skip


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
