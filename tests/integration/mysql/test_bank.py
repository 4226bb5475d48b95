"""Money that moves between many tables, by real processes: its sum holds in every state that a reader of the dataset sees, whatever is
killed meanwhile, and in the end each table equals its source."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import yaml

from tests.integration.mysql.conftest import start, variants
from tests.integration.mysql.running import Runner
from tests.kit.waiting import wait_until
from tests.servers.mysqld import DatabaseServer
from tests.servers.postgresql import PostgresServer

OPENING, KEYS, PATIENCE = 100, 10, 240.0
JOINED, CHANGE_EVERY = 5, 50
NOT_THERE = (pymysql.MySQLError, psycopg.OperationalError, OSError)


class Bank:
    """The tables, who writes to them, and who watches the dataset.

    Attributes:
        sums: The different sums that were seen once all tables had joined, and how often any was seen.
        changes: How often a table got another column.
    """

    def __init__(self, server: DatabaseServer, runner: Runner, tables: int, seed: int) -> None:
        self.server, self.runner, self.seed = server, runner, seed
        self.names = [f"a{number}" for number in range(tables)]
        self.total = tables * KEYS * OPENING
        self.sums: set[int] = set()
        self.seen = self.moves = self.changes = 0
        self._column: dict[str, str] = {}
        self._changing = threading.Lock()
        self._ends = threading.Event()
        self._failures: list[BaseException] = []

    def create(self) -> None:
        rows = ", ".join(f"({key}, {OPENING})" for key in range(KEYS))
        self.server.execute("CREATE DATABASE d")
        for name in self.names:
            self.server.execute(
                f"CREATE TABLE {name} (id INT PRIMARY KEY, v INT NOT NULL)",
                f"INSERT INTO {name} VALUES {rows}",
                database="d",
            )

    @contextmanager
    def open(self) -> Iterator[None]:
        """Writes and watches until the end of the block."""
        threads = [
            threading.Thread(target=self._guard, args=(work,)) for work in (self._write, self._write, self._watch)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ends.set()
            for thread in threads:
                thread.join(60)
        assert not self._failures, self._failures

    def _guard(self, work: Any) -> None:
        try:
            work(random.Random(self.seed + threading.get_ident()))
        except BaseException as error:
            self._failures.append(error)

    def _write(self, draw: random.Random) -> None:
        while not self._ends.is_set():
            with suppress(*NOT_THERE), self.server.session(database="d") as cursor:
                while not self._ends.is_set():
                    self._move(cursor, draw)
                    self.moves += 1
                    if self.moves % CHANGE_EVERY == 0 and self.seen > JOINED:
                        self._change(cursor, draw)
                    self._ends.wait(0.002)  # a pace that the reader keeps up with on a busy machine

    def _move(self, cursor: Any, draw: random.Random) -> None:
        """One transaction over up to five tables."""
        count = draw.choice([2, 2, 3, 5])
        amounts = [draw.randrange(-20, 20) for _ in range(count - 1)]
        cursor.execute("START TRANSACTION")
        for name, amount in zip(sorted(draw.sample(self.names, count)), [*amounts, -sum(amounts)], strict=True):
            cursor.execute(f"UPDATE {name} SET v = v + {amount} WHERE id = {draw.randrange(KEYS)}")
        cursor.execute("COMMIT")

    def _change(self, cursor: Any, draw: random.Random) -> None:
        """One more column, if the dataset has a row from after the last one (and with it a position behind that change).

        Two changes that the reader has not come to yet leave rows between them that a log without full metadata does not describe:
        such a table has to be copied again, which is another test's matter.
        """
        name = draw.choice(self.names[:5])
        with self._changing:
            if name in self._column and not self._is_known(name, self._column[name]):
                return
            self._column[name] = column = f"c{draw.randrange(10**6)}"
            cursor.execute(f"ALTER TABLE {name} ADD COLUMN {column} INT")
            cursor.execute(f"UPDATE {name} SET {column} = 1 WHERE id = 0")
            cursor.execute("COMMIT")
            self.changes += 1

    def _is_known(self, name: str, column: str) -> bool:
        with suppress(psycopg.errors.UndefinedColumn):
            return bool(self.runner.ask(f'SELECT 1 FROM "d_{name}" WHERE {column} = 1'))
        return False

    def _watch(self, _draw: random.Random) -> None:
        parts = " + ".join(f'(SELECT sum(v) FROM "d_{name}")' for name in self.names)
        text = "CAST(position AS TEXT)"
        joined = (
            f"SELECT count(*) FROM _connector_checkpoints WHERE stream LIKE 'd.%' AND {text} LIKE '%_table%' "
            f"AND {text} NOT LIKE '%\"copy\"%' AND {text} NOT LIKE '%\"log\"%'"
        )
        while not self._ends.is_set():
            with suppress(*NOT_THERE):
                for total, count in self.runner.ask(f"SELECT {parts}, ({joined})"):
                    if count == len(self.names) and total is not None:
                        self.sums.add(int(total))
                        self.seen += 1
            time.sleep(0.005)  # so that the others have a share of the processor

    def arrives(self, number: int) -> None:
        """Waits until a row that is written now is in the dataset: whoever carries it is back, and has read on."""

        def write() -> bool:
            self.server.execute(f"INSERT INTO {self.names[0]} (id, v) VALUES ({KEYS + number}, 0)", database="d")
            return True

        self.until(write, f"row {number} written")
        query = f'SELECT 1 FROM "d_{self.names[0]}" WHERE id = {KEYS + number}'
        self.until(lambda: self.runner.ask(query), f"row {number} carried")

    def until(self, is_done: Any, what: str) -> None:
        """Waits; a dataset or server that is not there at the moment is no answer."""

        def ask() -> bool:
            with suppress(*NOT_THERE):
                return bool(is_done())
            return False

        wait_until(ask, lambda: f"{what}; said was:\n{self.runner.output()[-3000:]}", PATIENCE, pause=0.1)

    def differing(self) -> list[str]:
        """The tables of the dataset that are not as their source."""
        found = []
        for name in self.names:
            wanted = self.server.query(f"SELECT id, v FROM {name} ORDER BY id", database="d")
            if self.runner.ask(f'SELECT id, v FROM "d_{name}" ORDER BY id') != [tuple(row) for row in wanted]:
                found.append(name)
        return found


def select_all(runner: Runner) -> None:
    connector, dataset, secret = yaml.safe_load_all(runner.manifest.read_text())
    connector["spec"].pop("selectedStream")
    connector["spec"]["streams"] = {"include": ["d.*"]}
    dataset["spec"].pop("table")
    runner.manifest.write_text(yaml.safe_dump_all([connector, dataset, secret]))


def run_bank(
    variant: str, url: str, folder: Path, tables: int, kills: list[str], dataset: PostgresServer | None = None
) -> None:
    with start(variant) as server:
        runner = Runner(folder, server, "d.x", url, "bank")
        select_all(runner)
        bank = Bank(server, runner, tables, seed=len(kills))
        bank.create()
        runner.start()
        try:
            with bank.open():
                bank.until(lambda: bank.seen > JOINED, "all tables joined")
                for number, kill in enumerate(kills):
                    if kill == "runner":
                        runner.kill()
                        runner.start()
                    else:
                        victim: Any = server if kill == "server" else dataset
                        victim.kill()
                        victim.start()
                    bank.arrives(number)
                    before, moves = bank.seen, bank.moves
                    bank.until(lambda: bank.seen > before + 20 and bank.moves > moves + 20, f"back after {kill}")  # noqa: B023
                bank.until(lambda: bank.changes > 1, "tables changed")
            bank.until(lambda: not bank.differing(), "equal")
            assert runner.kill(signal.SIGTERM) == 143, runner.output()
        finally:
            if runner.ended is None and runner._process is not None:
                runner.kill()
    assert bank.sums == {bank.total}
    for told in ("parked", "resnapshot"):
        assert not any(runner.ask(f"SELECT 1 FROM \"d_{name}_incidents\" WHERE kind = '{told}'") for name in bank.names)


@pytest.mark.parametrize("variant", variants("mariadb", long=("mysql-gtids",)))
def test_the_sum_holds_whatever_is_killed(variant: str, tmp_path: Path) -> None:
    run_bank(variant, "sqlite:///bank.db", tmp_path, 8, ["runner", "server"])


@pytest.mark.fault
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("variant", ["mysql-gtids", "mysql-files", "mysql-compressed", "mariadb"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_sum_of_sixty_tables_holds_whatever_is_killed(variant: str, kind: str, tmp_path: Path) -> None:
    kills = ["runner", "server", "runner", "dataset", "runner", "server", "dataset", "runner"]
    if kind == "sqlite":
        run_bank(variant, "sqlite:///bank.db", tmp_path, 60, [kill for kill in kills if kill != "dataset"])
        return
    with PostgresServer() as dataset:
        run_bank(variant, dataset.url(), tmp_path, 60, kills, dataset)
