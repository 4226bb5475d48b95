"""Several streams of one chain by one reader: the same rows as each alone, in whole transactions, for about the requests of one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Batch, Operation, Position, whole_position
from connector_runner.protocols.source import Checkpoint, SourceContext, WriteMode
from connector_runner.sources.ethereum import build_source
from tests.integration.ethereum.running import Lines, checked
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EVENTS, busy_block, canonical, comparable
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import FaultProxy

START = 3
ALL = ("blocks", "transactions", "receipts", "logs", "token_transfers", "events.Transfer", "traces")
Table = dict[tuple[Any, ...], tuple[Any, ...]]


@pytest.fixture
def node() -> Iterator[AnvilServer]:
    with AnvilServer() as server:
        yield server


@dataclass
class Dataset:
    """What a dataset would hold: a table and a place a stream, and the reader's position."""

    tables: dict[str, Table] = field(default_factory=dict)
    places: dict[str, Position] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    position: Position = field(default_factory=dict)
    identity: str = ""

    def checkpoint(self, stream: str) -> Checkpoint | None:
        if stream not in self.places:
            return None
        return Checkpoint(whole_position(self.position, self.places[stream]), self.identity, self.versions[stream])

    def blocks_of(self, streams: Iterable[str]) -> set[tuple[int, str]]:
        """The positions of the streams."""
        found = (self.checkpoint(stream) for stream in streams)
        return {(-1, "") if one is None else (one.position["number"], one.position["hash"]) for one in found}

    def commit(self, batches: list[Batch]) -> None:
        """One transaction of the source."""
        assert len({id(batch.schema) for batch in batches}) == len(batches), "a stream has one batch a transaction"
        for batch in batches:
            stream = batch.schema.stream
            table = self.tables.setdefault(stream, {})
            for operation, row in zip(batch.operations or bytes(len(batch.rows)), batch.rows, strict=True):
                if operation == Operation.REPLACE:
                    for key in [key for key in table if key[: len(row)] == row]:
                        del table[key]
                else:
                    table[tuple(row[place] for place in batch.schema.key_indices)] = row
            self.places[stream] = batch.place or {}
            self.versions[stream] = batch.schema.version
        self.position = batches[-1].position

    def drop(self, streams: set[str]) -> None:
        """Streams that are let go keep their own position."""
        for stream in streams & set(self.places):
            self.places[stream] = whole_position(self.position, self.places[stream])


async def read(config: dict[str, Any], streams: Iterable[str], dataset: Dataset, is_enough: Callable[[], bool]) -> None:
    """Reads until it is enough, and leaves without a word, as a killed runner does."""
    context = SourceContext(checked(config), "tests/chain", WriteMode.UPSERT, Telemetry(Lines(), NoMeters()))
    source = build_source(context)
    try:
        opened = await source.open({stream: dataset.checkpoint(stream) for stream in streams})
        dataset.identity = opened.identity
        for stream, schema in opened.schemas.items():
            dataset.versions.setdefault(stream, schema.version)
        begun: list[Batch] = []
        async with aclosing(source.batches()) as batches:  # type: ignore[type-var]
            async for batch in batches:
                begun.append(batch)
                if not batch.more:
                    dataset.commit(begun)
                    begun = []
                    if is_enough():
                        return
    finally:
        await source.close()


async def read_to_head(node: AnvilServer, config: dict[str, Any], streams: Iterable[str], dataset: Dataset) -> None:
    chosen = tuple(streams)

    def is_there() -> bool:
        head = node.block("latest")
        return dataset.blocks_of(chosen) == {(int(head["number"], 16), head["hash"])}

    if not is_there():
        await asyncio.wait_for(read(config, chosen, dataset, is_there), 60)


async def alone(node: AnvilServer, config: dict[str, Any], stream: str) -> Table:
    """What a reader of this stream alone makes of the chain as it is now."""
    dataset = Dataset()
    await read_to_head(node, config, [stream], dataset)
    return dataset.tables.get(stream, {})


def grow(node: AnvilServer, actors: Actors, chance: random.Random, blocks: int) -> None:
    for _ in range(blocks):
        busy_block(actors, chance)
        node.mine()


@pytest.mark.parametrize("proves", [True, False])
async def test_the_same_rows_as_each_alone(node: AnvilServer, proves: bool) -> None:
    config = {"url": node.url, "startBlock": START, "maxBlockRange": 7, "events": EVENTS, "proveBackfill": proves}
    chance, actors = random.Random(3), Actors(node)
    grow(node, actors, chance, 8)
    node.mine(140)  # older blocks are read as those that don't change any more
    grow(node, actors, chance, 4)
    dataset = Dataset()
    await read_to_head(node, config, ALL, dataset)
    for stream in ALL:
        assert dataset.tables.get(stream, {}) == await alone(node, config, stream), stream
    assert dataset.places == {stream: {"_event": EVENT if stream.startswith("events") else ""} for stream in ALL}
    keys = comparable(list(dataset.tables["receipts"]))
    assert keys == [row[:2] for row in canonical(node, "receipts", START)]


EVENT = "Transfer(address indexed,address indexed,uint256)"


@pytest.mark.parametrize("seed", [1, 2])
async def test_reorganisations_kills_and_changed_selections(node: AnvilServer, seed: int) -> None:
    config = {"url": node.url, "startBlock": START, "maxBlockRange": 5, "events": EVENTS}
    chance, actors = random.Random(seed), Actors(node)
    grow(node, actors, chance, 25)
    dataset, before = Dataset(), set[str]()
    for _ in range(8):
        selection = set(chance.sample(ALL, chance.randint(2, len(ALL))))
        dataset.drop(before - selection)
        left = [chance.randint(1, 6)]

        def is_killed(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] <= 0

        reading = asyncio.create_task(read(config, sorted(selection), dataset, is_killed))
        grow(node, actors, chance, chance.randint(1, 3))
        if chance.random() < 0.6:
            depth = chance.randint(1, 8)
            node.reorganise(depth, actors.replacement(chance.randrange(1, 10**9)))
        await asyncio.wait_for(reading, 60)
        before = selection
    node.mine(3)
    dataset.drop(before)
    await read_to_head(node, config, ALL, dataset)
    for stream in ALL:
        assert dataset.tables.get(stream, {}) == await alone(node, config, stream), stream


async def test_an_added_stream_reads_on_its_own_until_it_joins(node: AnvilServer) -> None:
    config = {"url": node.url, "startBlock": START, "maxBlockRange": 5}
    chance, actors = random.Random(9), Actors(node)
    grow(node, actors, chance, 20)
    dataset = Dataset()
    await read_to_head(node, config, ["blocks"], dataset)
    alone_position = dataset.position
    assert dataset.places == {"blocks": {}}
    dataset.drop({"blocks"})  # from one stream to several: its whole position is its place
    dataset.position = {}
    places: list[Position] = []

    def is_enough() -> bool:
        places.append(dataset.places.get("logs", {}))
        return all("number" not in dataset.places.get(stream, {"number": 0}) for stream in ("blocks", "logs"))

    await asyncio.wait_for(read(config, ["blocks", "logs"], dataset, is_enough), 60)
    assert any("number" in place for place in places)  # it stood on its own
    assert dataset.places == {"blocks": {"_event": ""}, "logs": {"_event": ""}}
    assert (dataset.position["number"], dataset.position["hash"]) == (alone_position["number"], alone_position["hash"])
    assert dataset.tables["logs"] == await alone(node, config, "logs")


async def test_a_stream_without_rows_has_begun_all_the_same(node: AnvilServer) -> None:
    node.mine(10)
    config = {"url": node.url, "startBlock": START}
    dataset = Dataset()
    await read_to_head(node, config, ["blocks", "logs", "withdrawals"], dataset)
    assert dataset.places == {name: {"_event": ""} for name in ("blocks", "logs", "withdrawals")}
    await read_to_head(node, config, ["blocks", "logs", "withdrawals", "receipts", "traces"], dataset)
    assert set(dataset.places) == {"blocks", "logs", "withdrawals", "receipts", "traces"}


async def test_requests(node: AnvilServer) -> None:
    """Four streams ask for what the most expensive of them asks for, and one in seven more at most."""
    chance, actors = random.Random(4), Actors(node)
    grow(node, actors, chance, 40)

    async def requests(streams: Iterable[str]) -> int:
        async with FaultProxy(node.url) as proxy:
            config = {"url": proxy.url, "startBlock": START}
            await read_to_head(node, config, streams, Dataset())
            return len(proxy.requests)

    each = [await requests([stream]) for stream in ALL[:4]]
    together = await requests(ALL[:4])
    assert together <= 1.15 * max(each), (each, together)
