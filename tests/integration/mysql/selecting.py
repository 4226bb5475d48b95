"""A runner of a selection, as a process; what it selects may be changed between two runs."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.integration.mysql.running import Runner

if TYPE_CHECKING:  # conftest builds these
    from tests.integration.mysql.conftest import Database

TABLES = ("orders", "items", "customers")


def create(database: Database, *names: str) -> None:
    for name in names:
        database.execute(
            f"CREATE TABLE {name} (id INT PRIMARY KEY, v VARCHAR(40))",
            f"INSERT INTO {name} VALUES (1, 'one'), (2, 'two')",
        )


class Selection(Runner):
    """A runner whose manifest has `streams`; what it selects may be changed between two runs."""

    def __init__(self, folder: Path, database: Database, url: str, name: str, **streams: Any) -> None:
        super().__init__(folder, database.server, "", url, name)
        self.database = database
        self.select(streams=streams)

    def select(self, *, table: str = "", **spec: Any) -> None:
        """Writes the manifest anew, with `streams` or with `selectedStream`."""
        connector, dataset, secret = yaml.safe_load_all(self.manifest.read_text())
        for field in ("selectedStream", "streams", "onStreamFailure", "takeOver"):
            connector["spec"].pop(field, None)
        connector["spec"] |= spec
        dataset["spec"].pop("table", None)
        dataset["spec"] |= {"table": table} if table else {}
        self.manifest.write_text(yaml.safe_dump_all([connector, dataset, secret]))

    def set_dataset(self, **fields: Any) -> None:
        """Sets fields of the Dataset's spec."""
        connector, dataset, secret = yaml.safe_load_all(self.manifest.read_text())
        dataset["spec"] |= fields
        self.manifest.write_text(yaml.safe_dump_all([connector, dataset, secret]))

    def table(self, name: str) -> list[tuple[Any, ...]]:
        quoted = name.replace(".", '"."')  # with its schema, if any
        return self.ask(f'SELECT id, v FROM "{quoted}" ORDER BY id')

    def until_equal(self, tables: dict[str, str]) -> None:
        """Waits until each table of the dataset has the rows of its table in the source."""
        for name, table in tables.items():
            wanted = [tuple(row) for row in self.database.query(f"SELECT id, v FROM {name} ORDER BY id")]
            self.until(lambda table=table, wanted=wanted: self.table(table) == wanted)  # type: ignore[misc]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self.ended is None

    def stop(self) -> None:
        assert self.kill(signal.SIGTERM) == 143, self.output()


def targets(database: Database, names: tuple[str, ...] = TABLES) -> dict[str, str]:
    return {name: f"{database.name}_{name}" for name in names}
