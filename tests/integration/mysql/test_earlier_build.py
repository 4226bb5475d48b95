"""The build before selections (49d065b), beside and after a selection that took over what it filled: it ends with 78 and changes no row."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connector_runner.schemas.outcome import ExitCode
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.selecting import Selection, create
from tests.servers.postgresql import PostgresServer
from tests.simulators.record_server import RecordServer

COMMIT = "49d065b292841c3f4c621ebb53ed75f959b49f5a"
ROOT = Path(__file__).parents[3]
NAMES = ("orders", "items")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the runner is that of the earlier build, from the history of this repository."""
    folder = tmp_path_factory.mktemp("earlier")
    done = subprocess.run(
        ["git", "archive", COMMIT, "connector_runner"], cwd=ROOT, capture_output=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, f"this needs the repository's history, which has {COMMIT}: {done.stderr.decode()}"
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture(params=["sqlite", "postgresql", "http"])
def target(request: pytest.FixtureRequest) -> Iterator[tuple[str, RecordServer | None]]:
    if request.param == "postgresql":
        with PostgresServer() as server:
            yield server.url(), None
    elif request.param == "http":
        records = RecordServer()
        yield records.url, records
        records.close()
    else:
        yield "sqlite:///many.db", None


class Carried:
    """What lies in the dataset: rows by table, or what was posted."""

    def __init__(self, runner: Selection, records: RecordServer | None, tables: dict[str, str]) -> None:
        self._runner, self._records, self._tables = runner, records, tables

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        if self._records is None:
            return {name: self._runner.table(table) for name, table in self._tables.items()}
        newest = {int(record["id"]): record["v"].strip('"') for _, record in self._records.received}
        return {
            "orders": sorted((key, value) for key, value in newest.items() if key < 100),
            "items": sorted((key, value) for key, value in newest.items() if key >= 100),
        }

    def until(self, wanted: dict[str, list[tuple[object, ...]]]) -> None:
        def is_there() -> bool:
            found = self.rows()
            return all(found[name] == rows for name, rows in wanted.items())

        self._runner.until(is_there)


def truth(database: Database, *names: str) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: [tuple(row) for row in database.query(f"SELECT id, v FROM {name} ORDER BY id")] for name in names or NAMES
    }


@pytest.mark.fault
@pytest.mark.parametrize("variant", variants("mysql-gtids", long=("mariadb",)))
@pytest.mark.parametrize("is_alive", [False, True], ids=["stopped", "alive"])
def test_an_earlier_build_refuses_what_a_selection_has_taken_over(
    database: Database, selection: Callable[..., Selection], earlier: dict[str, str],
    target: tuple[str, RecordServer | None], is_alive: bool,
) -> None:  # fmt: skip
    create(database, *NAMES)
    database.execute("UPDATE items SET id = id + 100")
    url, records = target
    orders, tables = f"{database.name}.orders", {name: f"{database.name}_{name}" for name in NAMES}
    old, new = (selection(url, f"e{database.name}", include=["x"]) for _ in range(2))
    old.manifest, old._output = old.manifest.with_name("old.yaml"), old._output.with_name("old.log")
    old.manifest.write_text(new.manifest.read_text())
    old.environment = earlier
    old.select(selectedStream=orders, table=tables["orders"])
    new.select(streams={"include": [f"{database.name}.*"]})
    old.start()
    Carried(old, records, tables).until(truth(database, "orders"))
    if not is_alive:
        old.stop()
    new.start()
    carried = Carried(new, records, tables)
    database.execute("INSERT INTO orders VALUES (3, 'three')", "INSERT INTO items VALUES (103, 'three')")
    carried.until(truth(database))
    if is_alive:
        assert old.wait() == ExitCode.ACTION_REQUIRED, old.output()[-3000:]
        assert "FenceLost" in old.output()
    new.stop()
    database.execute("INSERT INTO orders VALUES (4, 'four')", "INSERT INTO items VALUES (104, 'four')")
    before, posted = carried.rows(), len(records.received) if records is not None else 0
    old.start()
    assert old.wait() == ExitCode.ACTION_REQUIRED, old.output()[-3000:]
    assert carried.rows() == before
    assert records is None or len(records.received) == posted
    new.start()
    carried.until(truth(database))
    new.stop()
