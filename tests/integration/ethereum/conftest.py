"""Datasets and a chain for the tests of this folder."""

import random
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.ethereum.running import Dataset, sqlite_dataset
from tests.servers.anvil import AnvilServer
from tests.servers.postgresql import PostgresServer
from tests.simulators.ethereum.chains import busy_block
from tests.simulators.ethereum.contracts import Actors, LogEntry
from tests.simulators.ethereum.proxy import FaultProxy


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    """An empty one."""
    if request.param == "sqlite":
        return sqlite_dataset(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"d{uuid.uuid4().hex[:10]}"
    server.execute(f"CREATE DATABASE {name}")
    return Dataset(server.url(name))


@pytest.fixture(scope="module")
def chain() -> Iterator[tuple[AnvilServer, Actors]]:
    with AnvilServer() as node:
        actors = Actors(node)
        chance = random.Random(5)
        for _ in range(12):
            busy_block(actors, chance)
            # The last log of each block has a topic of its own: one without could be left out unseen (docs/ethereum.md).
            actors.emit(LogEntry((b"x" * 32,), b"one"), LogEntry((chance.randbytes(32),)))
            node.mine()
        node.mine(130)
        actors.emit(LogEntry((b"z" * 32,)))
        node.mine()
        yield node, actors


@pytest.fixture
async def proxy(chain: tuple[AnvilServer, Actors]) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(chain[0].url) as server:
        yield server
