"""Random reorganisations, rollbacks and kills while rows flow: afterwards the dataset is the canonical chain, block by block."""

import asyncio
import random
from collections.abc import Iterator

import pytest

from tests.integration.ethereum.chains import EVENTS, EXPECTED, busy_block, canonical, comparable
from tests.integration.ethereum.running import Dataset, Lines, running, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.contracts import Actors

START = 3


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


async def survive(node: AnvilServer, dataset: Dataset, stream: str, url: str, rounds: int, seed: int) -> Lines:
    """Disturbs the chain, kills the runner now and then, and compares at the end."""
    chance = random.Random(seed)
    actors = Actors(node)
    node.mine(25)
    log = Lines()
    config = {"url": url, "startBlock": START, "maxBlockRange": 7, "events": EVENTS}
    done = 0
    while done < rounds:
        async with running(config, stream, dataset, log=log) as task:
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
    async with running(config, stream, dataset, log=log) as task:
        await until_head(dataset, node, task)
    columns, _ = EXPECTED[stream]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, stream, START)
    assert dataset.query("SELECT * FROM chain_dead_letters") == []
    return log


@pytest.mark.parametrize(
    ("stream", "transport"), [("transactions", "websocket"), ("logs", "http"), ("token_transfers", "http")]
)
async def test_random_reorganisations(node: AnvilServer, dataset: Dataset, stream: str, transport: str) -> None:
    url = node.websocket_url if transport == "websocket" else node.url
    log = await survive(node, dataset, stream, url, rounds=40, seed=len(stream))
    assert log.counts.get("retracted_blocks", 0) > 10, log.counts


@pytest.mark.fault
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stream", EXPECTED)
@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_hundreds_of_reorganisations(node: AnvilServer, dataset: Dataset, stream: str, transport: str) -> None:
    url = node.websocket_url if transport == "websocket" else node.url
    log = await survive(node, dataset, stream, url, rounds=300, seed=len(stream))
    assert log.counts.get("retracted_blocks", 0) > 100, log.counts  # those in quick succession are seen as one
