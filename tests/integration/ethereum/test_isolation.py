"""A stream that can't be read stands aside: the others go on, it keeps its place, and joins them exactly once it is mended."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError, UnknownStreamError
from connector_runner.protocols.source import Source, SourceContext, WriteMode
from connector_runner.schemas.outcome import ExitCode
from connector_runner.sources.ethereum import build_source, catching_up
from tests.integration.ethereum.many import ALL, START, Dataset, alone, grow, read, read_to_head
from tests.integration.ethereum.running import Lines, checked
from tests.kit.datasets import SqliteDataset
from tests.kit.pipeline import Run, context
from tests.kit.waiting import until
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EVENTS
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import Change, FaultProxy, error, result

TRACES = ("debug_traceBlockByHash", "trace_block")
OTHERS = tuple(stream for stream in ALL if stream != "traces")
UNSUPPORTED = error(-32601, "the method does not exist/is not available")
KINDS: dict[str, tuple[Change, str]] = {
    "not offered": (UNSUPPORTED, "MethodMissing"),
    "pruned": (error(4444, "pruned history unavailable"), "PrunedHistory"),
    "failing": (error(-32000, "something that nobody foresaw"), ""),
    "incomplete": (result(lambda _params, found: found and []), "NodeInconsistent"),
}


@pytest.fixture
def node() -> Iterator[AnvilServer]:
    with AnvilServer() as server:
        yield server


@pytest.fixture
async def proxy(node: AnvilServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(node.url) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "PATIENT_TRIES", 3)
    monkeypatch.setattr(catching_up, "RETRY_SECONDS", 0.5)


def config_of(url: str) -> dict[str, Any]:
    return {"url": url, "startBlock": START, "maxBlockRange": 7, "events": EVENTS}


def stand(dataset: Dataset, node: AnvilServer, *streams: str) -> bool:
    head = node.block("latest")
    return dataset.blocks_of(streams) == {(int(head["number"], 16), head["hash"])}


async def read_until(
    url: str, streams: tuple[str, ...], dataset: Dataset, is_enough: Callable[[], bool], **more: Any
) -> None:
    if not is_enough():
        await asyncio.wait_for(read(config_of(url), streams, dataset, is_enough, **more), 60)


def told(dataset: Dataset) -> list[tuple[str, str]]:
    return [(incident.kind, incident.subject) for incident in dataset.incidents]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_old", [False, True], ids=["from the start", "later"])
async def test_one_stream_that_fails_does_not_stop_the_others_and_joins_them(
    node: AnvilServer, proxy: FaultProxy, kind: str, is_old: bool
) -> None:
    change, reason = KINDS[kind]
    chance, actors, dataset = random.Random(3), Actors(node), Dataset()
    grow(node, actors, chance, 12)
    if is_old:
        await read_until(proxy.url, ALL, dataset, lambda: stand(dataset, node, *ALL))
        grow(node, actors, chance, 4)
    fault = proxy.inject(*TRACES, change=change)
    telemetry, standings = Telemetry(Lines(), NoMeters()), list[tuple[int, int]]()

    def has_joined() -> bool:
        counts = telemetry.streams.counts()
        standings.append((counts["failed"], counts["copying"]))
        return ("joined", "traces") in told(dataset)

    reading = asyncio.create_task(
        asyncio.wait_for(read(config_of(proxy.url), ALL, dataset, has_joined, telemetry=telemetry), 60)
    )
    while not (stand(dataset, node, *OTHERS) and ("parked", "traces") in told(dataset)):
        assert not reading.done(), reading
        await asyncio.sleep(0.02)
    (parked,) = dataset.incidents
    assert parked.detail["reason"] == reason or not reason
    place = dataset.places["traces"]
    assert place["number"] == parked.detail["block"] < dataset.position["number"]
    grow(node, actors, chance, 3)
    while not stand(dataset, node, *OTHERS):
        assert not reading.done(), reading
        await asyncio.sleep(0.02)
    assert dataset.places["traces"]["number"] < dataset.position["number"]
    assert standings[-1] == (1, 0)
    proxy.faults.remove(fault)
    await reading
    assert standings[-2:] == [(0, 1), (0, 0)], "it catches up, and is whole"
    assert "number" not in dataset.places["traces"]
    await read_to_head(node, config_of(node.url), ALL, dataset)
    for stream in ALL:
        assert dataset.tables.get(stream, {}) == await alone(node, config_of(node.url), stream), stream


async def test_a_later_start_with_the_cure_catches_it_up(node: AnvilServer, proxy: FaultProxy) -> None:
    chance, actors, dataset = random.Random(4), Actors(node), Dataset()
    grow(node, actors, chance, 12)
    proxy.inject(*TRACES, change=UNSUPPORTED)
    await read_until(proxy.url, ALL, dataset, lambda: stand(dataset, node, *OTHERS))
    assert told(dataset) == [("parked", "traces")]
    node.reorganise(4, actors.replacement(7))
    node.mine(2)
    await read_until(proxy.url, ALL, dataset, lambda: stand(dataset, node, *OTHERS))
    await read_until(node.url, ALL, dataset, lambda: stand(dataset, node, *ALL))
    for stream in ALL:
        assert dataset.tables.get(stream, {}) == await alone(node, config_of(node.url), stream), stream


@pytest.mark.fault
@pytest.mark.parametrize("seed", [1, 2])
async def test_faults_come_and_go_while_the_chain_is_replaced_and_runs_are_killed(
    node: AnvilServer, proxy: FaultProxy, seed: int
) -> None:
    chance, actors, dataset = random.Random(seed), Actors(node), Dataset()
    grow(node, actors, chance, 15)
    methods = (TRACES, ("eth_getBlockReceipts", "eth_getTransactionReceipt"), ("eth_getLogs",))
    for _ in range(6):
        fault = proxy.inject(*chance.choice(methods), change=chance.choice([*KINDS.values()])[0])
        left = [chance.randint(3, 20)]

        def is_killed(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] <= 0

        reading = asyncio.create_task(read(config_of(proxy.url), ALL, dataset, is_killed))
        grow(node, actors, chance, chance.randint(1, 3))
        if chance.random() < 0.5:
            node.reorganise(chance.randint(1, 6), actors.replacement(chance.randrange(1, 10**9)))
        await asyncio.wait([reading], timeout=chance.uniform(0.2, 2))
        reading.cancel()
        for ended in await asyncio.gather(reading, return_exceptions=True):
            assert ended is None or isinstance(ended, ConnectorError | asyncio.CancelledError), ended
        proxy.faults.remove(fault)
    node.mine(3)
    await read_until(node.url, ALL, dataset, lambda: stand(dataset, node, *ALL))
    for stream in ALL:
        assert dataset.tables.get(stream, {}) == await alone(node, config_of(node.url), stream), stream


async def test_streams_that_are_behind_go_on_when_the_furthest_one_fails(node: AnvilServer, proxy: FaultProxy) -> None:
    chance, actors, dataset = random.Random(5), Actors(node), Dataset()
    grow(node, actors, chance, 10)
    await read_until(node.url, ("traces",), dataset, lambda: stand(dataset, node, "traces"))
    dataset.drop({"traces"})
    dataset.position = {}
    grow(node, actors, chance, 3)
    proxy.inject(*TRACES, change=UNSUPPORTED)
    streams = ("traces", "blocks", "logs")
    await read_until(proxy.url, streams, dataset, lambda: stand(dataset, node, "blocks", "logs"))
    assert told(dataset) == [("parked", "traces")]
    await read_until(node.url, streams, dataset, lambda: stand(dataset, node, *streams))
    for stream in streams:
        assert dataset.tables.get(stream, {}) == await alone(node, config_of(node.url), stream), stream


async def test_a_node_that_is_gone_parks_no_stream(node: AnvilServer, proxy: FaultProxy) -> None:
    chance, actors, dataset = random.Random(6), Actors(node), Dataset()
    grow(node, actors, chance, 5)
    await read_until(proxy.url, ALL, dataset, lambda: stand(dataset, node, *ALL))
    grow(node, actors, chance, 2)
    proxy.inject(*TRACES, "eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getLogs", change=error(-32000, "busy"))
    with pytest.raises(TransientError):
        await read_until(proxy.url, ALL, dataset, lambda: stand(dataset, node, *ALL))
    assert told(dataset) == []


async def test_what_every_stream_needs_ends_the_run(node: AnvilServer, proxy: FaultProxy) -> None:
    chance, actors, dataset = random.Random(7), Actors(node), Dataset()
    grow(node, actors, chance, 5)
    proxy.inject("eth_getBlockReceipts", "eth_getTransactionReceipt", change=error(4444, "pruned history unavailable"))
    streams = ("receipts",)
    with pytest.raises(ActionRequiredError, match="pruned"):
        await read_until(proxy.url, streams, dataset, lambda: False)
    with pytest.raises(ActionRequiredError, match="pruned"):
        await read_until(proxy.url, ("receipts", "blocks"), dataset, lambda: False, isolates=False)
    assert told(dataset) == []


async def test_streams_that_are_not_there_are_left_out_by_name(node: AnvilServer) -> None:
    node.mine(5)
    dataset = Dataset()
    await read_until(node.url, ("blocks", "events.Missing"), dataset, lambda: stand(dataset, node, "blocks"))
    for streams, isolates in ((("blocks", "events.Missing"), False), (("events.Missing", "events.Other"), True)):
        with pytest.raises(UnknownStreamError, match=r"events\.Missing"):
            await read_until(node.url, streams, dataset, lambda: False, isolates=isolates)


async def test_an_event_that_is_no_longer_configured_keeps_its_place_until_it_is_put_back(
    node: AnvilServer, tmp_path: Path
) -> None:
    """With the real pipeline, which keeps the place of a stream that has no schema now."""
    chance, actors, dataset = random.Random(8), Actors(node), SqliteDataset(tmp_path)
    tables = {"blocks": "blocks", "events.Transfer": "events"}
    runs: list[Run] = []

    def build(config: Mapping[str, Any]) -> Source:
        return build_source(SourceContext(config, "default/test", WriteMode.UPSERT, runs[-1].telemetry))

    def stored(columns: str, table: str) -> set[tuple[Any, ...]]:
        try:
            return {tuple(row) for row in dataset.query(f"SELECT {columns} FROM {table}")}
        except sqlite3.OperationalError:  # it is not made yet
            return set()

    async def has(columns: str, table: str, expected: set[tuple[Any, ...]]) -> None:
        await until(
            lambda: runs[-1].has_ended or stored(columns, table) == expected,
            f"all rows of {table}: {runs[-1].log.text()}",
        )
        assert not runs[-1].has_ended, runs[-1].log.text()

    for number, events in enumerate((EVENTS, [], [], EVENTS), 1):
        grow(node, actors, chance, 6)
        config = checked({**config_of(node.url), "events": events})
        truth = {stream: await alone(node, config_of(node.url), stream) for stream in tables}
        runs.append(Run(partial(build, config), context(dataset, tables=tables, is_selection=True, run=number)).start())
        await has("block_hash", "blocks", set(truth["blocks"]))
        if events:
            await has("block_hash, log_index", "events", set(truth["events.Transfer"]))
        else:
            assert runs[-1].telemetry.streams.counts()["failed"] == 1
        assert await runs[-1].stop() is ExitCode.TERMINATED
        assert ("which is not in abi or events any more" in runs[-1].log.text()) is not bool(events)
