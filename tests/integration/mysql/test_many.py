"""Many tables of one server by one reader: a transaction over tables is one step, and each table ends as its source."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from connector_runner.protocols.batch import Batch, Incident, Operation, Row, whole_position
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.source import Checkpoint, Source, SourceContext, WriteMode
from connector_runner.sources.mysql import build_source
from tests.integration.mysql.conftest import Database, variants
from tests.integration.mysql.reading import PATIENCE, build_config
from tests.kit.report import RecordingReport

EACH = pytest.mark.parametrize("variant", variants("mysql-gtids", "mariadb", long=("mysql-files", "mysql-compressed")))
TOTAL = 40 * 100


class ManyReading:
    """A connector of many streams and the dataset it fills, as its ledger keeps it: one position, and a place a stream."""

    def __init__(self, database: Database, names: list[str], **options: Any) -> None:
        self.database = database
        self.streams = {f"{database.name}.{name}": name for name in names}
        self.config = build_config(database.server, **options)
        self.tables: dict[str, dict[Row, Row]] = {name: {} for name in names}
        self.places: dict[str, Any] = {}
        self.position: Any = None
        self.identity = ""
        self.versions: dict[str, str] = {}
        self.incidents: list[Incident] = []
        self.told = RecordingReport("rows")
        self.steps = 0
        self.after_step: Callable[[], None] = lambda: None
        self._source: Source | None = None
        self._iterator: Any = None

    def checkpoints(self) -> dict[str, Checkpoint | None]:
        return {
            stream: None if name not in self.places
            else Checkpoint(whole_position(self.position, self.places[name]), self.identity, self.versions[name])
            for stream, name in self.streams.items()
        }  # fmt: skip

    async def open(self) -> None:
        self._source = build_source(SourceContext(self.config, "test/many", WriteMode.UPSERT, self.told))
        opened = await self._source.open(self.checkpoints())
        assert opened.schemas.keys() == self.streams.keys()
        self.identity = opened.identity
        self._iterator = self._source.batches().__aiter__()

    async def step(self) -> None:
        """Takes what becomes visible together."""
        if self._iterator is None:
            await self.open()
        group: list[Batch] = [await asyncio.wait_for(self._iterator.__anext__(), PATIENCE)]
        while group[-1].more:
            group.append(await asyncio.wait_for(self._iterator.__anext__(), PATIENCE))
        for batch in group:
            self.store(batch)
        self.steps += 1
        self.after_step()

    def store(self, batch: Batch) -> None:
        name = self.streams[batch.schema.stream]
        table, keys = self.tables[name], batch.schema.key_indices
        for operation, row in zip(batch.operations or bytes(len(batch.rows)), batch.rows, strict=True):
            if operation == Operation.REPLACE:
                table.clear()
            elif operation == Operation.DELETE:
                table.pop(tuple(row[key] for key in keys), None)
            else:
                table[tuple(row[key] for key in keys)] = row
        self.position, self.places[name] = json.loads(json.dumps([batch.position, batch.place]))
        self.versions[name] = batch.schema.version
        self.incidents += batch.incidents

    @property
    def are_copied(self) -> bool:
        return len(self.places) == len(self.streams) and not any("copy" in place for place in self.places.values())

    async def until(self, is_done: Callable[[], bool], *, crashes: random.Random | None = None) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_done():
            assert time.monotonic() < deadline, "not reached"
            try:
                await self.step()
            except TransientError:
                await self.crash()
            if crashes is not None and crashes.random() < 0.05:
                await self.crash()

    async def crash(self) -> None:
        source, self._source, self._iterator = self._source, None, None
        if source is not None:
            await source.close()

    def differences(self) -> list[str]:
        """The tables that are not as their source."""
        found = []
        for name, table in self.tables.items():
            rows = self.database.query(f"SELECT * FROM {name}")
            if {(row[0],): row for row in rows} != {
                key: row[: len(rows[0])] if rows else row for key, row in table.items()
            }:
                found.append(name)
        return found


@contextmanager
def writing(database: Database, work: Callable[[Any, random.Random, int], None], *, writers: int = 2) -> Iterator[None]:
    """Sessions that write until the end of the block."""
    ends = threading.Event()
    failures: list[Exception] = []

    def write(number: int) -> None:
        draw = random.Random(number)
        try:
            with database.server.session(database=database.name) as cursor:
                while not ends.is_set():
                    work(cursor, draw, number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join(60)
    assert not failures, failures


def accounts(database: Database, count: int) -> list[str]:
    names = [f"a{number}" for number in range(count)]
    for name in names:
        database.execute(f"CREATE TABLE {name} (id INT PRIMARY KEY, v INT NOT NULL)")
        database.execute(
            f"INSERT INTO {name} VALUES {', '.join(f'({key}, {TOTAL // count // 10})' for key in range(10))}"
        )
    return names


@EACH
async def test_money_that_moves_between_tables_is_never_seen_on_its_way(database: Database, variant: str) -> None:
    names = accounts(database, 20)

    def work(cursor: Any, draw: random.Random, _number: int) -> None:
        one, other = sorted(draw.sample(names, 2))
        amount, key = draw.randrange(-50, 50), draw.randrange(10)
        cursor.execute("START TRANSACTION")
        cursor.execute(f"UPDATE {one} SET v = v - {amount} WHERE id = {key}")
        cursor.execute(f"UPDATE {other} SET v = v + {amount} WHERE id = {key}")
        cursor.execute("COMMIT")
        if draw.random() < 0.001:
            cursor.execute(f"ALTER TABLE {draw.choice(names[:5])} COMMENT = 'c{draw.random()}'")

    reading = ManyReading(database, names, chunkRows=4)
    sums: list[int] = []

    def check() -> None:
        if reading.are_copied:
            sums.append(sum(int(row[1]) for table in reading.tables.values() for row in table.values()))

    reading.after_step = check
    try:
        with writing(database, work):
            crashes = random.Random(7)
            await reading.until(lambda: reading.are_copied and len(sums) > 60, crashes=crashes)
        await reading.until(lambda: not reading.differences())
    finally:
        await reading.crash()
    assert set(sums) == {TOTAL}


@EACH
async def test_a_table_that_goes_stands_aside_and_the_others_go_on(database: Database, variant: str) -> None:
    names = accounts(database, 4)
    reading = ManyReading(database, names)
    try:
        await reading.until(lambda: reading.are_copied)
        database.execute(
            "DROP TABLE a1",
            "INSERT INTO a0 VALUES (77, 1)",
            "ALTER TABLE a2 ADD COLUMN w INT",
            "INSERT INTO a2 VALUES (77, 1, 2)",
        )
        await reading.until(lambda: (77,) in reading.tables["a0"] and (77,) in reading.tables["a2"])
    finally:
        await reading.crash()
    (parked,) = [incident for incident in reading.incidents if incident.kind == "parked"]
    assert parked.subject == f"{database.name}.a1"
    assert "DROP TABLE" in parked.message
    assert "log" in reading.places["a1"]
    assert len(reading.tables["a1"]) == 10, "the dataset keeps its last state"
    assert reading.tables["a2"][77,] == (77, 1, 2)


@EACH
async def test_a_large_transaction_is_resumed_inside_for_each_table(database: Database, variant: str) -> None:
    database.execute(
        "CREATE TABLE l (id INT PRIMARY KEY, v VARCHAR(200))", "CREATE TABLE m (id INT PRIMARY KEY, v VARCHAR(200))"
    )
    reading = ManyReading(database, ["l", "m"])
    inside = 0
    try:
        await reading.until(lambda: reading.are_copied)
        with database.server.session(database=database.name) as cursor:
            cursor.execute("START TRANSACTION")
            for first in range(0, 6000, 500):
                for name in ("l", "m"):
                    rows = ", ".join(f"({key}, REPEAT('x', 150))" for key in range(first, first + 500))
                    cursor.execute(f"INSERT INTO {name} VALUES {rows}")
            cursor.execute("COMMIT")
        while len(reading.tables["l"]) + len(reading.tables["m"]) < 12000:
            before = len(reading.tables["l"]) + len(reading.tables["m"])
            await reading.step()
            is_further = len(reading.tables["l"]) + len(reading.tables["m"]) > before
            if "rows" in reading.position["log"] and is_further and inside < 5:
                inside += 1
                await reading.crash()
    finally:
        await reading.crash()
    assert inside == 5
    assert not reading.differences()
