"""Several streams of one chain by one reader: the same rows as each alone, in whole transactions, for about the requests of one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator

import pytest

from connector_runner.pipeline.progress import build_progress
from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.batch import Position
from connector_runner.schemas.progress import Progress
from tests.integration.ethereum.many import ALL, START, Dataset, alone, grow, read, read_to_head
from tests.integration.ethereum.running import Lines
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EVENTS, canonical, comparable
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import FaultProxy


@pytest.fixture
def node() -> Iterator[AnvilServer]:
    with AnvilServer() as server:
        yield server


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


async def test_how_far_an_added_stream_is_and_a_whole_selection_before_is_reported(node: AnvilServer) -> None:
    config = {"url": node.url, "startBlock": START, "maxBlockRange": 5}
    chance, actors, dataset = random.Random(10), Actors(node), Dataset()
    grow(node, actors, chance, 20)
    last = int(node.block("latest")["number"], 16)
    telemetry = Telemetry(Lines(), NoMeters())
    seen: list[Progress] = []

    def has_joined() -> bool:
        seen.append(build_progress(telemetry, None, 0.0))
        standing = [dataset.places.get(stream, {"number": 0}) for stream in selection]
        return all("number" not in place for place in standing) and dataset.position["number"] == last

    selection: tuple[str, ...] = ("blocks", "receipts")
    await asyncio.wait_for(read(config, selection, dataset, has_joined, telemetry=telemetry), 60)
    began = [progress for progress in seen if 0 < progress.done < (progress.total or 0)]
    assert began, "it is not read at once"
    assert {(progress.copying, progress.following) for progress in began} == {(2, 0)}
    assert (seen[-1].copying, seen[-1].following) == (0, 2)
    seen.clear()
    selection = ("blocks", "logs", "receipts")
    await asyncio.wait_for(read(config, selection, dataset, has_joined, telemetry=telemetry), 60)
    behind = [progress for progress in seen if progress.copying]
    assert {(progress.copying, progress.following, progress.total) for progress in behind} == {(1, 2, last - START + 1)}
    assert {copy.stream for progress in behind for copy in progress.copies} == {"logs"}
    done = [progress.done for progress in behind]
    assert done == sorted(done)
    assert done[0] < last - START + 1, "nearly nothing"
    assert len(set(done)) > 2, "it grows"
    assert (seen[-1].copying, seen[-1].following, seen[-1].copies) == (0, 3, ())


async def test_streams_that_share_an_older_position_do_not_move_with_the_reader(node: AnvilServer) -> None:
    """A stream that comes in further on becomes the reader's; a kill after the first transaction loses nothing of the others."""
    config = {"url": node.url, "startBlock": START, "maxBlockRange": 5}
    chance, actors = random.Random(11), Actors(node)
    grow(node, actors, chance, 20)
    dataset, further = Dataset(), Dataset()
    await asyncio.wait_for(
        read(config, ["blocks", "logs"], dataset, lambda: dataset.position["number"] >= START + 4), 60
    )
    older = dataset.position["number"]
    await read_to_head(node, config, ["receipts"], further)
    assert older < further.position["number"]
    dataset.tables["receipts"], dataset.versions["receipts"] = further.tables["receipts"], further.versions["receipts"]
    dataset.places["receipts"] = further.position
    three = ["blocks", "logs", "receipts"]
    await asyncio.wait_for(read(config, three, dataset, lambda: True), 60)
    stands = {stream: checkpoint.position["number"] for stream in three if (checkpoint := dataset.checkpoint(stream))}
    assert stands == {"blocks": older, "logs": older, "receipts": further.position["number"]}
    await read_to_head(node, config, three, dataset)
    for stream in three:
        assert dataset.tables[stream] == await alone(node, config, stream), stream


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
