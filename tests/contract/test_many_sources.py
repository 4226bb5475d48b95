"""What every source of several streams must do with them; beside `test_sources`, which has the promises of one stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from connector_runner.protocols.batch import Batch, Position, whole_position
from connector_runner.protocols.errors import ConnectorError, UnknownStreamError
from connector_runner.protocols.source import Checkpoint, Source, SourceContext, WriteMode
from connector_runner.schemas.config import config_problems, fill_defaults
from tests.contract.leftovers import nothing_left
from tests.contract.worlds import CoinbaseWorld, EthereumWorld, MysqlSharedWorld, Servers, World
from tests.kit.reading import DEADLINE, Reading, Table
from tests.kit.report import RecordingReport
from tests.scripted.source import TestRegistry

REGISTRY = TestRegistry()
MOST_POSITIONS = 8


@dataclass(frozen=True)
class ManyCase:
    """Streams of one source that are read together.

    Attributes:
        connector_type: The source.
        streams: What is read.
        build: The worlds of the streams, on the same server.
        server: Which of several kinds of servers it is; "" for the only one.
        changes_all: Each world changes something of its own; else the first one changes all.
    """

    connector_type: str
    streams: tuple[str, ...]
    build: Callable[[Servers, str], World] = field(repr=False)
    changes_all: bool
    server: str = ""

    def __str__(self) -> str:
        return f"{self.server or self.connector_type.lower()}-{len(self.streams)}"


def _coinbase(*streams: str) -> ManyCase:
    return ManyCase("COINBASE", streams, lambda servers, stream: CoinbaseWorld(servers.coinbase(), stream), True)


def _ethereum(*streams: str) -> ManyCase:
    return ManyCase("ETHEREUM", streams, lambda servers, stream: EthereumWorld(*servers.chain(), stream), False)


def _mysql(server: str, *streams: str) -> ManyCase:
    def build(servers: Servers, stream: str) -> World:
        return MysqlSharedWorld(servers.database(server), stream)

    return ManyCase("MYSQL", streams, build, True, server)


CASES = (
    _coinbase("matches", "level2_batch", "status"),
    _coinbase("ticker", "matches", "full", "heartbeat", "auctionfeed"),
    _ethereum("blocks", "transactions", "receipts", "logs", "token_transfers", "traces", "events.Transfer"),
    _mysql("mysql", "many_a.t", "many_b.t", "many_c.t"),
    _mysql("mariadb", "many_a.t", "many_b.t", "many_c.t"),
)


class Many:
    """A source that is read into a table for each stream, as the pipeline reads it."""

    def __init__(self, source: Source, streams: Sequence[str], before: Many | None = None) -> None:
        known: Mapping[str, Checkpoint | None] = before.checkpoints() if before is not None else dict.fromkeys(streams)
        tables: dict[str, Table] = before.tables() if before is not None else {}
        self.source = source
        self.streams = {stream: Reading(source, stream, known.get(stream), tables.get(stream)) for stream in streams}
        self.position: Position = {}
        self.places: dict[str, Position] = {}
        self.identity = ""
        self._open: list[Batch] = []
        self._iterator: AsyncIterator[Batch] | None = None

    def tables(self) -> dict[str, Table]:
        """The rows of each stream by key."""
        return {stream: one.table for stream, one in self.streams.items()}

    def checkpoints(self) -> dict[str, Checkpoint | None]:
        """Where each stream stands, after the last whole transaction."""
        found = {}
        for stream, one in self.streams.items():
            at = one.checkpoint
            if stream in self.places and at is not None:
                at = Checkpoint(whole_position(self.position, self.places[stream]), self.identity, at.schema_version)
            found[stream] = at
        return found

    async def open(self) -> Mapping[str, Any]:
        opened = await self.source.open(self.checkpoints())
        self.identity = opened.identity
        for one in self.streams.values():
            one.opened = opened
        self._iterator = self.source.batches().__aiter__()
        return opened.schemas

    async def step(self) -> None:
        """Reads to the end of a transaction."""
        assert self._iterator is not None
        while True:
            batch = await self._iterator.__anext__()
            assert batch.place is not None, "one of several streams has a place"
            self._open.append(batch)
            if not batch.more:
                break
        for batch in self._open:
            stream = batch.schema.stream
            self.places[stream] = batch.place or {}
            whole = whole_position(self._open[-1].position, self.places[stream])
            self.streams[stream].store(replace(batch, position=whole, place=None))
        self.position = self._open[-1].position
        self._open = []

    async def until(self, is_done: Callable[[Many], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not is_done(self):
                await self.step()


class Worlds:
    """The worlds of all streams of a case."""

    def __init__(self, case: ManyCase, servers: Servers) -> None:
        self.case = case
        self.worlds = {stream: case.build(servers, stream) for stream in case.streams}

    def source(self, report: RecordingReport | None = None, **changes: Any) -> Source:
        schema = REGISTRY.schema(self.case.connector_type)
        config: dict[str, Any] = {}
        for world in self.worlds.values():
            config |= world.config
        config = fill_defaults({**config, **changes}, schema)
        assert not config_problems(config, schema)
        context = SourceContext(config, "contract/test", WriteMode.UPSERT, report or RecordingReport())
        return REGISTRY.build(self.case.connector_type, context)

    def read(self, before: Many | None = None) -> Many:
        return Many(self.source(), self.case.streams, before)

    def change(self) -> None:
        for world in [*self.worlds.values()][: None if self.case.changes_all else 1]:
            world.change()

    def is_complete(self, many: Many) -> bool:
        at = many.checkpoints()
        for stream, one in many.streams.items():
            found = at[stream]
            one.checkpoint = found if found is not None else one.checkpoint
        return all(self.worlds[stream].is_complete(one) for stream, one in many.streams.items())

    async def follow(self, many: Many) -> None:
        """Reads everything through every change."""
        for _ in range(2):
            for one in many.streams.values():
                one.mark()
            self.change()
            await many.until(self.is_complete)


def _marked(case: ManyCase) -> Any:
    """MariaDB's streams are tried with the long suites: the ordinary one has them for one server of the kind."""
    return pytest.param(case, marks=pytest.mark.fault if case.server == "mariadb" else ())


@pytest.fixture(params=list(map(_marked, CASES)), ids=[str(case) for case in CASES])
def worlds(request: pytest.FixtureRequest, servers: Servers) -> Worlds:
    return Worlds(request.param, servers)


async def test_open_gives_what_discovery_lists_and_every_stream_gets_its_rows(worlds: Worlds) -> None:
    async with nothing_left():
        source = worlds.source()
        listed = {stream.id: stream for stream in (await source.discover(None)).streams}
        await source.close()
        many = worlds.read()
        schemas = await many.open()
        await worlds.follow(many)
        await many.source.close()
    assert set(schemas) == set(worlds.case.streams)
    for stream, one in many.streams.items():
        assert [(column.name, column.type) for column in listed[stream].columns] == [
            (column.name, str(column.type)) for column in schemas[stream].columns
        ]
        assert one.operations, f"{stream} has rows"
        one.check_given_away()


async def test_runs_that_end_anywhere_go_on_from_there(worlds: Worlds) -> None:
    """Each run reads some transactions and leaves; the last one must have what a run without an end has."""
    many: Many | None = None
    for number in range(MOST_POSITIONS):
        worlds.change()
        many = worlds.read(many)
        await many.open()
        for one in many.streams.values():
            one.mark()
        for _ in range(number % 4 + 1):
            if not worlds.is_complete(many):
                await many.step()
        await many.source.close()
    many = worlds.read(many)
    await many.open()
    await worlds.follow(many)
    await many.source.close()
    whole = worlds.read()
    await whole.open()
    if worlds.case.connector_type == "ETHEREUM":
        await whole.until(worlds.is_complete)
        assert whole.tables() == many.tables()
    await whole.source.close()


@pytest.mark.parametrize("when", ["new", "opened", "reading"])
async def test_close_is_safe_at_any_time_and_twice(worlds: Worlds, when: str) -> None:
    async with nothing_left():
        many, task = worlds.read(), None
        if when != "new":
            await many.open()
        if when == "reading":
            task = asyncio.create_task(many.step())
            await asyncio.sleep(0)
        await many.source.close()
        await many.source.close()
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectorError, StopAsyncIteration):
                await task


async def test_a_stream_that_is_not_there_fails_alone_or_ends_the_run(worlds: Worlds) -> None:
    source = worlds.source()
    opened = await source.open({**dict.fromkeys(worlds.case.streams), "no_such_stream": None})
    await source.close()
    assert set(opened.schemas) == set(worlds.case.streams)
    assert set(opened.failed) == {"no_such_stream"}
    source = worlds.source()
    with pytest.raises(UnknownStreamError):
        await source.open({"no_such_stream": None, "nor_this_one": None})
    await source.close()
