"""A selection of many tables from a manifest, by real processes: into SQLite and PostgreSQL, killed, changed, and back to one table."""

from __future__ import annotations

import json
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.mysql.conftest import Database, start, variants
from tests.integration.mysql.running import Runner
from tests.integration.mysql.selecting import TABLES, Selection, create, targets
from tests.servers.postgresql import PostgresServer

EACH = pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb", long=("mysql-files",)))
ONE = pytest.mark.parametrize("variant", variants("mysql-gtids"))
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with PostgresServer() as server:
        yield server.url()


@EACH
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_selection_is_carried_through_kills(
    database: Database, selection: Callable[..., Selection], postgres: str, kind: str
) -> None:
    create(database, *TABLES, "_orders_gho")
    database.execute("CREATE TABLE keyless (v INT)", "CREATE VIEW seen AS SELECT * FROM orders")
    url = postgres if kind == "postgresql" else "sqlite:///many.db"
    runner = selection(url, f"s{database.name}", include=[f"{database.name}.*"])
    random_ = random.Random(17)
    runner.start()
    runner.until_equal(targets(database))
    for number in range(3, 30):
        names = random_.sample(TABLES, 2)
        with database.server.session(database=database.name) as cursor:
            cursor.execute("BEGIN")
            for name in names:
                cursor.execute(f"INSERT INTO {name} VALUES ({number}, 'row {number}')")
            cursor.execute("COMMIT")
        if number % 9 == 0:
            runner.kill()
            runner.start()
    runner.until_equal(targets(database))
    said = runner.output()
    assert f"{database.name}.keyless is left out: " in said
    assert f"{database.name}.seen is left out: " in said
    assert "left aside, because only their exact names select them" in said
    assert runner.table(f"{database.name}_keyless") == []
    runner.stop()


@EACH
def test_from_one_stream_to_many_and_back_goes_on_exactly(
    database: Database, selection: Callable[..., Selection]
) -> None:
    create(database, *TABLES)
    runner = selection("sqlite:///many.db", "turn", include=["x"])
    orders, pattern = f"{database.name}.orders", [f"{database.name}.*"]
    runner.select(selectedStream=orders, table="warehouse")
    runner.start()
    runner.until_equal({"orders": "warehouse"})
    runner.stop()
    database.execute("INSERT INTO orders VALUES (3, 'while it was stopped')")
    into = targets(database) | {"orders": "warehouse"}
    runner.select(streams={"include": pattern})
    runner.start()
    runner.until_equal(into)
    runner.stop()
    database.execute("DELETE FROM orders WHERE id = 1", "INSERT INTO items VALUES (9, 'nine')")
    runner.select(selectedStream=orders, table="warehouse")
    runner.start()
    runner.until_equal({"orders": "warehouse"})
    runner.stop()
    assert runner.table(f"{database.name}_items") == [(1, "one"), (2, "two")]
    runner.select(streams={"include": pattern})
    runner.start()
    runner.until_equal(into)
    runner.stop()


@ONE
def test_the_example_of_many_tables_does_what_it_says(variant: str, tmp_path: Path) -> None:
    folder = ROOT / "examples" / "mysql"
    connector, dataset, secret = yaml.safe_load_all((folder / "many.yaml").read_text())
    lines = (folder / "shop.sql").read_text().split(";\n")
    with start(variant) as server:
        server.execute(*(line for line in lines if line.strip()))
        connector["spec"]["config"] |= {"host": server.host, "port": server.port}
        runner = Runner(tmp_path, server, "", "sqlite:///shop.db", "shop")
        runner.manifest.write_text(yaml.safe_dump_all([connector, dataset, secret]))
        listed = runner.command("discover")
        runner.start()
        runner.until(lambda: len(runner.ask("SELECT * FROM orders")) == 3)
        runner.until(lambda: len(runner.ask("SELECT * FROM payments")) == 1)
        assert runner.kill(signal.SIGTERM) == 143
        assert "takes 2 of 3 streams" in " ".join(listed.split())
        assert runner.ask("SELECT name FROM sqlite_master WHERE name LIKE 'audit%'") == []
        assert "shop.payments" in runner.command("checkpoint", "show")
        assert "Ada" in runner.command("rows", "--stream", "shop.orders")


@ONE
def test_a_selection_that_matches_nothing_ends_with_the_nearest_names(
    database: Database, selection: Callable[..., Selection]
) -> None:
    create(database, *TABLES)
    runner = selection("sqlite:///many.db", "none", include=[f"{database.name}.order"])
    runner.start()
    assert runner.wait() == 78
    assert f"did you mean {database.name}.orders" in runner.output()
    assert "UnknownStream" in runner.output()


@ONE
def test_streams_that_meet_in_a_table_are_refused_before_anything_is_written(
    database: Database, selection: Callable[..., Selection]
) -> None:
    create(database, *TABLES)
    runner = selection("sqlite:///many.db", "meet", include=[f"{database.name}.*"])
    runner.select(streams={"include": [f"{database.name}.*"]}, table="{database}")
    runner.start()
    assert runner.wait() == 78
    assert "meet in table" in runner.output()
    assert runner.ask("SELECT name FROM sqlite_master") == []


@ONE
def test_back_to_one_stream_goes_on_in_the_table_that_it_has(
    database: Database, selection: Callable[..., Selection]
) -> None:
    create(database, *TABLES)
    runner = selection("sqlite:///many.db", "kept", include=[f"{database.name}.*"])
    runner.start()
    runner.until_equal(targets(database))
    runner.stop()
    database.execute("INSERT INTO orders VALUES (3, 'later')")
    runner.select(selectedStream=f"{database.name}.orders", table="elsewhere")
    runner.start()
    runner.until_equal({"orders": f"{database.name}_orders"})
    runner.stop()
    assert "it goes on there" in runner.output()
    assert runner.ask("SELECT name FROM sqlite_master WHERE name LIKE 'elsewhere%'") == []
    (checkpoint,) = json.loads(runner.command("checkpoint", "show"))
    assert checkpoint["table"] == f"{database.name}_orders"
    assert "later" in runner.command("rows")


@ONE
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_commands_take_one_stream_of_many(
    database: Database, selection: Callable[..., Selection], postgres: str, kind: str
) -> None:
    create(database, *TABLES)
    orders, items = f"{database.name}.orders", f"{database.name}.items"
    url = postgres if kind == "postgresql" else "sqlite:///many.db"
    runner = selection(url, f"c{database.name}", include=[f"{database.name}.*"], exclude=[f"{database.name}.customers"])
    listed = runner.command("discover")
    assert "spec.streams takes 2 of" in listed
    if kind == "postgresql":
        assert "has no checkpoint" in runner.command("checkpoint", "show", code=78)
    runner.start()
    runner.until_equal(targets(database, ("orders", "items")))
    runner.stop()
    shown = runner.command("checkpoint", "show")
    assert orders in shown
    assert items in shown
    (one,) = json.loads(runner.command("checkpoint", "show", "--stream", orders))
    assert (one["stream"], one["table"], "log" in one["position"]) == (orders, f"{database.name}_orders", True)
    assert "say which with --stream" in runner.command("rows", code=78)
    assert "two" in runner.command("rows", "--stream", items)
    assert "it has " + items in runner.command("rows", "--stream", items[:-1], code=78)
    assert "or --all" in runner.command("checkpoint", "reset", "--yes", code=78)
    assert runner.command("checkpoint", "reset", "--yes", "--stream", orders) == "1 checkpoint(s) reset\n"
    (one,) = json.loads(runner.command("checkpoint", "show", "--stream", items))
    assert one["position"]
    database.execute("INSERT INTO orders VALUES (3, 'three')", "INSERT INTO items VALUES (3, 'three')")
    runner.start()
    runner.until_equal(targets(database, ("orders", "items")))
    runner.stop()
    assert runner.command("checkpoint", "reset", "--yes", "--all") == "2 checkpoint(s) reset\n"


@ONE
@pytest.mark.parametrize("ledger", ["", pytest.param("ops", marks=pytest.mark.fault)])
def test_each_database_of_the_source_has_its_schema(
    database: Database, selection: Callable[..., Selection], ledger: str
) -> None:
    """`{database}.{name}`: a schema a database, one ledger, and a database whose schema is missing stands aside until it is there."""
    other = f"{database.name}_b"
    create(database, *TABLES)
    database.execute(f"CREATE DATABASE {other}")
    database.execute(f"CREATE TABLE {other}.orders (id INT PRIMARY KEY, v VARCHAR(40))")
    database.execute(f"INSERT INTO {other}.orders VALUES (7, 'seven')")
    with PostgresServer() as server:
        server.execute(f"CREATE SCHEMA {database.name}", "CREATE SCHEMA ops")
        runner = selection(server.url(), f"h{database.name}", include=[f"{database.name}.*", f"{other}.*"])
        runner.select(streams={"include": [f"{database.name}.*", f"{other}.*"]}, table="{database}.{name}")
        if ledger:
            runner.set_dataset(ledgerSchema=ledger)
        runner.start()
        runner.until_equal({name: f"{database.name}.{name}" for name in TABLES})
        runner.until(lambda: f"the dataset has no schema {other}" in runner.output())
        runner.kill()
        server.execute(f"CREATE SCHEMA {other}")
        database.execute("INSERT INTO orders VALUES (3, 'three')")
        runner.start()
        runner.until_equal(
            {name: f"{database.name}.{name}" for name in TABLES} | {f"{other}.orders": f"{other}.orders"}
        )
        runner.stop()
        home = ledger or database.name
        rows = server.query(f"SELECT count(*) FROM {home}._connector_checkpoints WHERE stream LIKE '%.%'")
        assert rows == [(4,)]
        shown = runner.command("checkpoint", "show")
        assert f"{other}.orders" in shown
        assert "seven" in runner.command("rows", "--stream", f"{other}.orders")
        assert runner.command("checkpoint", "reset", "--yes", "--all") == "4 checkpoint(s) reset\n"
    database.execute(f"DROP DATABASE {other}")


@ONE
def test_a_table_is_taken_over_from_a_running_selection(
    database: Database, selection: Callable[..., Selection]
) -> None:
    """The selection's runner notices, and carries the other tables on without being started again."""
    create(database, *TABLES)
    orders, into = f"{database.name}.orders", targets(database)
    old = selection("sqlite:///many.db", "old", include=[f"{database.name}.*"])
    old.start()
    old.until_equal(into)
    new = selection("sqlite:///many.db", "new", include=["x"])
    new.select(selectedStream=orders, table=into["orders"])
    said = new.command("run", code=78)
    found = re.search(r'"takeOver": (\{[^}]*\})', said.replace("\\", ""))
    assert found is not None, said
    new.select(selectedStream=orders, table=into["orders"], takeOver=json.loads(found[1]))
    new.start()
    database.execute("INSERT INTO orders VALUES (3, 'three')", "INSERT INTO items VALUES (3, 'three')")
    new.until_equal({"orders": into["orders"]})
    old.until(lambda: "were taken over: " in old.output())
    database.execute("INSERT INTO items VALUES (4, 'four')", "INSERT INTO orders VALUES (4, 'four')")
    old.until_equal({"items": into["items"]})
    new.until_equal({"orders": into["orders"]})
    old.stop()
    new.stop()


@EACH
@pytest.mark.parametrize(
    "how", ["DROP TABLE orders", pytest.param("RENAME TABLE orders TO put_away", marks=pytest.mark.fault)]
)
def test_a_table_that_goes_while_the_runner_is_away_is_read_to_its_end(
    database: Database, selection: Callable[..., Selection], how: str
) -> None:
    create(database, *TABLES)
    into = targets(database)
    names = [f"{database.name}.{name}" for name in TABLES]
    runner = selection("sqlite:///many.db", "away", include=[f"{database.name}.o*", *names[1:]])
    runner.start()
    runner.until_equal(into)
    runner.stop()
    database.execute(
        "INSERT INTO orders VALUES (3, 'just before')",
        "UPDATE orders SET v = 'changed' WHERE id = 1",
        how,
        "INSERT INTO items VALUES (3, 'three')",
    )
    for turn in range(2):
        runner.start()
        runner.until_equal({"items": into["items"], "customers": into["customers"]})
        runner.until(lambda: runner.table(into["orders"]) == [(1, "changed"), (2, "two"), (3, "just before")])
        runner.until(
            lambda: f"{names[0]} is paused" in runner.output() or f"{names[0]} can't be read" in runner.output()
        )
        runner.stop()
        database.execute(f"INSERT INTO items VALUES ({10 + turn}, 'later')")
    assert f"{names[0]}" in runner.output()
    incidents = runner.ask(f"SELECT message FROM {into['orders']}_incidents WHERE kind = 'parked'")
    assert [how.split()[0] in message for (message,) in incidents[:1]] == [True], incidents
