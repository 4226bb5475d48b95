"""Every stream against a real node, over every transport: the dataset holds what the node answers, exactly."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector_runner.protocols.source import WriteMode
from tests.integration.ethereum.running import Lines, running, sqlite_dataset, until, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EVENTS, EXPECTED, busy_block, canonical, comparable
from tests.simulators.ethereum.contracts import Actors


@pytest.fixture(scope="module")
def chain() -> Iterator[tuple[AnvilServer, Actors]]:
    with AnvilServer() as node:
        actors = Actors(node)
        chance = random.Random(1)
        for _ in range(60):
            busy_block(actors, chance)
            node.mine()
        node.mine(150)  # older blocks are beyond reorganisation now: read by range
        yield node, actors


@pytest.mark.parametrize(
    ("stream", "transport"),
    [
        *((stream, "http") for stream in EXPECTED),
        ("transactions", "websocket"),
        ("logs", "websocket"),
        ("receipts", "ipc"),
    ],
)
async def test_backfill_and_head_equal_the_node(
    chain: tuple[AnvilServer, Actors], stream: str, transport: str, tmp_path: Path
) -> None:
    node, actors = chain
    url = {"http": node.url, "websocket": node.websocket_url, "ipc": node.ipc_path}[transport]
    dataset = sqlite_dataset(tmp_path)
    config = {"url": url, "startBlock": "earliest", "maxBlockRange": 50, "events": EVENTS}
    async with running(config, stream, dataset) as task:
        await until_head(dataset, node, task)
        for seed in range(3):
            busy_block(actors, random.Random(seed))
            node.mine()
            await until_head(dataset, node, task)
    columns, _ = EXPECTED[stream]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, stream)
    assert dataset.query("SELECT * FROM chain_dead_letters") == []


async def test_a_reorganisation_is_one_transaction_in_upsert_and_told_in_append(
    chain: tuple[AnvilServer, Actors], tmp_path: Path
) -> None:
    node, actors = chain
    actors.pay(1)
    node.mine(5)
    log = Lines()
    first = node.head() - 10
    upsert, append = sqlite_dataset(tmp_path / "u"), sqlite_dataset(tmp_path / "a")
    (tmp_path / "u").mkdir()
    (tmp_path / "a").mkdir()
    config = {"url": node.url, "startBlock": first}
    async with (
        running(config, "blocks", upsert, log=log) as one,
        running(config, "blocks", append, mode=WriteMode.APPEND) as two,
    ):
        await until_head(upsert, node, one)
        await until_head(append, node, two)
        before = comparable(append.query("SELECT block_hash, block_number FROM chain"))
        node.reorganise(4, actors.replacement(1))
        await until_head(upsert, node, one)
        await until_head(append, node, two)
    columns, _ = EXPECTED["blocks"]
    assert comparable(upsert.query(f"SELECT {columns} FROM chain")) == canonical(node, "blocks", first)
    assert log.counts.get("retracted_blocks") == 4, (log.counts, log.lines)
    history = append.query("SELECT _op, block_hash, block_number FROM chain ORDER BY _id")
    assert max(len(row[0]) for row in append.query("SELECT _position FROM chain")) < 200  # the ring is the checkpoint's
    assert len(append.position()["_ring"]) > 10
    gone = [row[1] for row in history if row[0] == "delete"]
    assert len(gone) == 4
    assert set(gone) < {row[0] for row in before}
    live = {row[1] for row in history if row[0] != "delete"} - set(gone)
    assert live == {row[0] for row in canonical(node, "blocks", first)}


async def test_it_goes_on_where_it_was_after_a_stop(chain: tuple[AnvilServer, Actors], tmp_path: Path) -> None:
    node, actors = chain
    dataset = sqlite_dataset(tmp_path)
    first = node.head() - 20
    for _ in range(3):
        async with running({"url": node.url, "startBlock": first}, "transactions", dataset) as task:
            await until_head(dataset, node, task)
        busy_block(actors, random.Random(7))
        node.mine(2)
        node.reorganise(1, actors.replacement(2))
    async with running({"url": node.url, "startBlock": "latest"}, "transactions", dataset) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED["transactions"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "transactions", first)


@pytest.mark.parametrize("finality", ["safe", "finalized", 3])
async def test_finality_holds_blocks_back(finality: str | int, tmp_path: Path) -> None:
    with AnvilServer(["--no-mining", "--slots-in-an-epoch", "2"]) as node:
        node.mine(20)
        dataset = sqlite_dataset(tmp_path)

        def allowed() -> int:
            return int(node.block(finality)["number"], 16) if isinstance(finality, str) else node.head() - finality

        async with running({"url": node.url, "startBlock": 5, "finality": finality}, "blocks", dataset) as task:
            for _ in range(3):
                await until(lambda: dataset.position().get("number") == allowed(), "the allowed block is there", task)
                assert dataset.query("SELECT min(block_number), max(block_number) FROM chain") == [(5, allowed())]
                node.mine(2)
