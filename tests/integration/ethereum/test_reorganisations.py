"""Random reorganisations, rollbacks and kills while rows flow: afterwards the dataset is the canonical chain, block by block."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from connector_runner.protocols.sink import SinkContext
from connector_runner.protocols.source import WriteMode
from connector_runner.registry import build_inspector
from connector_runner.sources.ethereum.errors import DeepReorganisationError
from tests.integration.ethereum.running import Dataset, Lines, running, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EVENTS, EXPECTED, busy_block, canonical, comparable
from tests.simulators.ethereum.contracts import Actors

START = 3
KEYS = {"transactions": ("block_hash", "transaction_index"), "logs": ("block_hash", "log_index")}


@pytest.fixture
def node() -> Iterator[AnvilServer]:
    with AnvilServer() as server:
        yield server


async def disturb(node: AnvilServer, actors: Actors, chance: random.Random) -> None:
    """One thing that happens to chains."""
    depth = chance.randint(1, 20)
    match chance.choice(["mine", "mine", "reorganise", "reorganise", "rollback"]):
        case "mine":
            for _ in range(chance.randint(1, 4)):
                busy_block(actors, chance)
                node.mine()
        case "reorganise" if node.head() > depth + START:
            node.reorganise(depth, actors.replacement(chance.randrange(1, 10**9)))
        case "rollback" if node.head() > depth + START:
            node.rollback(depth)
            if chance.random() < 0.5:
                await asyncio.sleep(chance.random() / 5)  # the runner may see the lower head, or not
            actors.pay(chance.randrange(10**9))
            node.mine(depth + chance.randint(0, 2))


async def survive(
    node: AnvilServer,
    dataset: Dataset,
    stream: str,
    url: str,
    rounds: int,
    seed: int,
    mode: WriteMode = WriteMode.UPSERT,
) -> Lines:
    """Disturbs the chain, kills the runner now and then, and compares at the end."""
    chance = random.Random(seed)
    actors = Actors(node)
    node.mine(25)
    log = Lines()
    config = {"url": url, "startBlock": START, "maxBlockRange": 7, "events": EVENTS}
    done = 0
    while done < rounds:
        async with running(config, stream, dataset, log=log, mode=mode) as task:
            await until_head(dataset, node, task)  # so that there is something to retract
            for _ in range(chance.randint(3, 12)):
                await disturb(node, actors, chance)
                done += 1
                if chance.random() < 0.5:
                    await asyncio.sleep(chance.random() / 10)
                assert not task.done(), task
            if chance.random() < 0.5:
                task.cancel()  # no last commit: as a kill leaves it
    actors.pay(5)
    node.mine(25)  # above every height there ever was
    async with running(config, stream, dataset, log=log, mode=mode) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED[stream]
    rows = "chain"
    if mode is WriteMode.APPEND:  # live are those whose latest entry is no retraction
        latest = f"SELECT max(_id) FROM chain GROUP BY {', '.join(KEYS[stream])}"
        rows = f"chain WHERE _id IN ({latest}) AND _op <> 'delete'"
    assert comparable(dataset.query(f"SELECT {columns} FROM {rows}")) == canonical(node, stream, START)
    assert dataset.query("SELECT * FROM chain_dead_letters") == []
    return log


@pytest.mark.parametrize(
    ("stream", "transport"), [("transactions", "websocket"), ("logs", "http"), ("token_transfers", "http")]
)
async def test_random_reorganisations(node: AnvilServer, dataset: Dataset, stream: str, transport: str) -> None:
    url = node.websocket_url if transport == "websocket" else node.url
    log = await survive(node, dataset, stream, url, rounds=40, seed=len(stream))
    assert log.counts.get("retracted_blocks", 0) > 10, log.counts


@pytest.mark.parametrize("stream", KEYS)
async def test_random_reorganisations_of_a_history(node: AnvilServer, dataset: Dataset, stream: str) -> None:
    log = await survive(node, dataset, stream, node.websocket_url, rounds=25, seed=3, mode=WriteMode.APPEND)
    assert log.counts.get("retracted_blocks", 0) > 5, log.counts
    state = "CASE WHEN _op = 'delete' THEN -1 ELSE 1 END"
    entries = f"SELECT sum({state}) FROM chain GROUP BY {', '.join(KEYS[stream])}"
    assert {int(row[0]) for row in dataset.query(entries)} <= {0, 1}  # nothing is there twice, or retracted twice


async def test_deeper_than_the_ring_ends_with_a_cure_that_works(node: AnvilServer, dataset: Dataset) -> None:
    actors = Actors(node)
    chance = random.Random(7)
    for _ in range(10):
        busy_block(actors, chance)
        node.mine()
    node.mine(140)
    columns, _ = EXPECTED["blocks"]
    config = {"url": node.url, "startBlock": START}
    async with running(config, "blocks", dataset) as task:
        await until_head(dataset, node, task)
        node.reorganise(145, actors.replacement(1))
        with pytest.raises(DeepReorganisationError, match=r"at most \d+, .*checkpoint reset.*startBlock"):
            await asyncio.wait_for(task, 60)
    stored = dict(dataset.query("SELECT block_number, block_hash FROM chain"))
    first = min(number for number, own in stored.items() if node.block(number)["hash"] != own)
    dataset.execute(f"DELETE FROM chain WHERE block_number >= {first}")
    inspector = build_inspector(SinkContext(lambda: dataset.url, {"blocks": dataset.table}, "tests/chain", uid="uid"))
    assert inspector.reset_checkpoints() == 1
    inspector.close()
    async with running({**config, "startBlock": first}, "blocks", dataset) as task:
        await until_head(dataset, node, task)
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "blocks", START)


@pytest.mark.fault
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stream", EXPECTED)
@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_hundreds_of_reorganisations(node: AnvilServer, dataset: Dataset, stream: str, transport: str) -> None:
    url = node.websocket_url if transport == "websocket" else node.url
    log = await survive(node, dataset, stream, url, rounds=300, seed=len(stream))
    assert log.counts.get("retracted_blocks", 0) > 100, log.counts  # those in quick succession are seen as one
