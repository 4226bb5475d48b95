"""A connector of many streams in the tests' own process, the dataset it fills, and what writes to its tables meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from connector_runner.protocols.batch import Batch, Incident, Operation, Row, whole_position
from connector_runner.protocols.errors import TransientError
from connector_runner.protocols.source import Checkpoint, Opened, Source, SourceContext, WriteMode
from connector_runner.sources.mysql import build_source
from tests.integration.mysql.conftest import Database
from tests.integration.mysql.reading import PATIENCE, build_config
from tests.kit.report import RecordingReport

TOTAL = 40 * 100


class ManyReading:
    """A connector of many streams and the dataset it fills, as its ledger keeps it: one position, and a place a stream."""

    def __init__(self, database: Database, names: list[str], *, isolates: bool = True, **options: Any) -> None:
        self.database, self.isolates = database, isolates
        self.opened: Opened | None = None
        self.appeared: list[str] = []
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

    def add(self, stream: str, name: str) -> None:
        """Selects one more stream, from the next start on."""
        self.streams[stream] = name
        self.tables.setdefault(name, {})

    def checkpoints(self) -> dict[str, Checkpoint | None]:
        return {
            stream: None if name not in self.places
            else Checkpoint(whole_position(self.position, self.places[name]), self.identity, self.versions[name])
            for stream, name in self.streams.items()
        }  # fmt: skip

    async def open(self) -> None:
        context = SourceContext(
            self.config, "test/many", WriteMode.UPSERT, self.told, isolates=self.isolates, appeared=self.appeared.append
        )
        self._source = build_source(context)
        opened = self.opened = await self._source.open(self.checkpoints())
        assert opened.schemas.keys() | opened.failed.keys() == self.streams.keys()
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
    def are_joined(self) -> bool:
        return len(self.places) == len(self.streams) and not any("log" in place for place in self.places.values())

    @property
    def are_copied(self) -> bool:
        return len(self.places) == len(self.streams) and not any("copy" in place for place in self.places.values())

    async def until(self, is_done: Callable[[], bool], *, crashes: random.Random | None = None) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_done():
            assert time.monotonic() < deadline, f"not reached; the last notes: {self.told.losses[-5:]}"
            try:
                await self.step()
            except TimeoutError:
                raise AssertionError(f"nothing came; the last notes: {self.told.losses[-5:]}") from None
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
        return self.differences_of(*self.tables)

    def differences_of(self, *names: str) -> list[str]:
        """Those of these tables that are not as their source."""
        found = []
        for name in names:
            table = self.tables[name]
            rows = self.database.query(f"SELECT * FROM {name}")
            width = len(rows[0]) if rows else 0
            held = {
                key: (*row, *[None] * (width - len(row)))[:width] for key, row in table.items()
            }  # new columns have no values
            if {(row[0],): row for row in rows} != held:
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
                while not ends.wait(0.002):  # a pace that a reader in the same process keeps up with on a busy machine
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
