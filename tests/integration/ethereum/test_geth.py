"""geth itself: its call traces, its reorganisations by debug_setHead, and kills of the node while rows flow."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.ethereum.running import Lines, running, sqlite_dataset, until, until_head
from tests.servers.geth import GethServer, geth
from tests.simulators.ethereum.chains import EXPECTED, busy_block, canonical, comparable
from tests.simulators.ethereum.contracts import Actors

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1500)]  # the first run builds geth
FIRST = 1


@pytest.fixture
def node() -> Iterator[GethServer]:
    geth()
    with GethServer() as server:
        yield server


async def grow(node: GethServer, actors: Actors, blocks: int) -> None:
    """geth mines a block as soon as there is a transaction."""
    for _ in range(blocks):
        before = node.head()
        actors.pay(random.randrange(10**9))
        busy_block(actors, random.Random(before))
        await until(lambda before=before: node.head() > before, "a block is mined")  # type: ignore[misc]


async def until_equal(node: GethServer, stream: str, folder: Path, url: str, log: Lines) -> None:
    dataset = sqlite_dataset(folder)
    async with running({"url": url, "startBlock": FIRST}, stream, dataset, log=log) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED[stream]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, stream, FIRST)


@pytest.mark.parametrize("stream", ["blocks", "transactions", "receipts", "logs", "token_transfers"])
async def test_streams_and_set_head(node: GethServer, stream: str, tmp_path: Path) -> None:
    actors = Actors(node)
    log = Lines()
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": node.websocket_url, "startBlock": FIRST}, stream, dataset, log=log) as task:
        for _ in range(3):
            await grow(node, actors, 8)
            await until_head(dataset, node, task)
            node.rpc("debug_setHead", hex(node.head() - 3))
            await grow(node, actors, 5)
            await until_head(dataset, node, task)
    assert log.counts.get("retracted_blocks", 0) >= 3, log.counts
    await until_equal(node, stream, tmp_path, node.url, log)


async def test_traces_are_those_of_each_transaction(node: GethServer, tmp_path: Path) -> None:
    actors = Actors(node)
    await grow(node, actors, 15)
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": node.ipc_path, "startBlock": FIRST}, "traces", dataset) as task:
        await until_head(dataset, node, task)
    expected = []

    def walk(own: str, call: dict[str, object], path: str) -> None:
        inner: list[dict[str, object]] = call.get("calls", [])  # type: ignore[assignment]
        expected.append((own, path, str(call["type"]).lower(), call["from"], call.get("to"), len(inner)))
        for index, child in enumerate(inner):
            walk(own, child, f"{path}.{index}" if path else str(index))

    for number in range(FIRST, node.head() + 1):
        for own in node.block(number)["transactions"]:
            walk(own, node.rpc("debug_traceTransaction", own, {"tracer": "callTracer"}), "")
    found = dataset.query(
        "SELECT transaction_hash, trace_address, type, from_address, to_address, subtraces FROM chain"
    )
    assert sorted(found) == sorted(expected)


async def test_the_node_is_killed_while_rows_flow(node: GethServer, tmp_path: Path) -> None:
    """A killed development node goes back to where it was last stopped: a rollback, then other blocks at the same heights."""
    actors = Actors(node)
    await grow(node, actors, 5)
    node.stop()
    node.start()
    log = Lines()
    dataset = sqlite_dataset(tmp_path)
    highest = 0
    async with running({"url": node.url, "startBlock": FIRST}, "transactions", dataset, log=log) as task:
        for _ in range(3):
            await grow(node, actors, 10)
            await until_head(dataset, node, task)
            highest = max(highest, node.head())
            node.kill()
            node.start()
        await grow(node, actors, highest + 2 - node.head())
        await until_head(dataset, node, task)
    await until_equal(node, "transactions", tmp_path, node.url, log)
