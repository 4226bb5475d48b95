"""A selection that changes at random while rows are written all the time: nothing of a stream that was ever selected is lost or doubled."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.live_orders import PodSelection
from tests.integration.mysql.selecting import create, targets

EACH = pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb"))
NAMES = ("keep", "a_one", "a_two", "b_one", "b_two", "c")
SECONDS = 60.0


def draw(chance: random.Random, database: str) -> dict[str, Any]:
    """A selection that always has the table `keep`."""
    patterns = [f"{database}.{text}" for text in ("a_*", "b_*", "*_one", "c", "*", "a_one", "b_two")]
    include = [f"{database}.keep", *chance.sample(patterns, chance.randint(0, 3))]
    return {"include": include, "exclude": chance.sample(patterns[:4], chance.randint(0, 1))}


@contextmanager
def writing(database: Database, seed: int, *, only_inserts: bool) -> Iterator[None]:
    """Inserts rows of all tables, and updates and deletes some, several in one transaction, until the block ends."""
    chance, ended = random.Random(seed), threading.Event()

    def change(cursor: Any, number: int) -> None:
        for name in chance.sample(NAMES, chance.randint(1, 4)):
            cursor.execute(f"INSERT INTO {name} VALUES ({number}, 'row {number}')")
            if not only_inserts and number % 5 == 0:
                cursor.execute(f"UPDATE {name} SET v = 'changed by {number}' WHERE id % 7 = {number % 7}")
                cursor.execute(f"DELETE FROM {name} WHERE id = {number - 20}")

    def work() -> None:
        with closing(database.server.connect(database=database.name, autocommit=False)) as session:
            number = 1000
            while not ended.wait(0.02):
                with session.cursor() as cursor:
                    cursor.execute(f"INSERT INTO keep VALUES ({-number}, 'kept {number}')")
                    change(cursor, number)
                session.commit()
                number += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Watch:
    """Notes when the table `keep` of the dataset has new rows."""

    def __init__(self, runner: PodSelection, table: str) -> None:
        self._runner = runner
        self._table = table
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.grown: list[float] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        least = 0
        while not self._ended.wait(0.02):
            with suppress(Exception):  # no table yet
                found = self._runner.ask(f'SELECT min(id) FROM "{self._table}"')[0][0]
                if found < least:
                    least = found
                    self.grown.append(time.monotonic())

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time in which no row came."""
        moments = [moment for moment in self.grown if since <= moment <= until]
        return max((later - before for before, later in pairwise(moments)), default=until - since)


@pytest.mark.fault
@pytest.mark.timeout(400)
@EACH
@pytest.mark.parametrize("mode", ["upsert", "append"])
def test_selections_that_change_at_random_lose_and_double_nothing(
    database: Database, tmp_path: Path, variant: str, mode: str
) -> None:
    create(database, *NAMES)
    name, chance = database.name, random.Random(17)
    begins_with = "keep" if mode == "upsert" else "*"
    runner = PodSelection(tmp_path, database, "pod", {"writeMode": mode}, include=[f"{name}.{begins_with}"])
    runner.start()
    try:
        if mode == "append":  # a history holds what changes during a copy twice, so all copies come first
            runner.until_equal(targets(database, NAMES))
            database.execute(*[f"INSERT INTO {table} VALUES (3, 'followed')" for table in NAMES])
            runner.until_equal(targets(database, NAMES))
        with writing(database, 18, only_inserts=mode == "append"), Watch(runner, f"{name}_keep") as watch:
            runner.until(lambda: len(watch.grown) > 10)
            began = time.monotonic()
            time.sleep(SECONDS / 4)
            changing = time.monotonic()
            while time.monotonic() < changing + SECONDS:
                runner.order(**draw(chance, name))
                time.sleep(chance.uniform(1, 8))
            ended = time.monotonic()
        runner.order(include=[f"{name}.*"])
        runner.until_equal(targets(database, NAMES))
        changes = runner.output().count("the selection is claimed")
        assert changes > 3
        still, gap = watch.longest_gap(began, changing), watch.longest_gap(changing, ended)
        print(
            f"{variant} {mode}: {changes} changes; longest time without a row {gap:.2f} s, without changes {still:.2f} s"
        )
        runner.stop()
    finally:
        if runner.is_running:
            runner.kill()
