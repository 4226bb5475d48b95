"""Events of one name: a dataset goes on with the event that it was begun with, and is refused by name when that is gone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.protocols.source import WriteMode
from tests.integration.ethereum.running import Dataset, running, sqlite_dataset, until_head
from tests.integration.ethereum.test_tokens_and_events import ERC20, ERC721
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.contracts import Actors, LogEntry, erc20, erc721, topic, word

STREAM = "events.Transfer"


@pytest.fixture
def chain() -> Iterator[tuple[AnvilServer, Actors]]:
    with AnvilServer() as node:
        yield node, Actors(node)


def emit(actors: Actors, node: AnvilServer, amount: int) -> None:
    actors.emit(erc20(actors.account, actors.other, amount), erc721(actors.account, actors.other, 1000 + amount))
    node.mine()


async def run(node: AnvilServer, dataset: Dataset, serial: int, *abi: dict[str, Any], stream: str = STREAM) -> None:
    config = {"url": node.url, "startBlock": 1, "abi": json.dumps(abi)}
    async with running(config, stream, dataset, run=serial) as task:
        await until_head(dataset, node, task)


def forget(dataset: Dataset, *names: str) -> None:
    """As an older version wrote the position."""
    position = {name: value for name, value in dataset.position().items() if name not in names}
    dataset.execute(f"UPDATE _connector_checkpoints SET position = '{json.dumps(position)}'")


@pytest.mark.parametrize("is_old", [False, True])
async def test_another_order_in_the_abi_changes_nothing(
    chain: tuple[AnvilServer, Actors], is_old: bool, tmp_path: Path
) -> None:
    node, actors = chain
    one, two = sqlite_dataset(tmp_path), Dataset(f"sqlite:///{tmp_path}/two.db")
    emit(actors, node, 1)
    await run(node, one, 1, ERC20, ERC721)
    await run(node, two, 1, ERC20, ERC721, stream="events.Transfer_2")
    for dataset in (one, two):
        if is_old:
            forget(dataset, "_event", "_since", "_told", "_left_out")
    for serial, abi in ((2, (ERC721, ERC20)), (3, (ERC20,)), (4, (ERC721, ERC20))):
        emit(actors, node, serial)
        await run(node, one, serial, *abi)
        if len(abi) > 1:
            await run(node, two, serial, *abi, stream="events.Transfer_2")
    assert one.query('SELECT "value" FROM chain ORDER BY block_number') == [("1",), ("2",), ("3",), ("4",)]
    assert two.query('SELECT "tokenId" FROM chain ORDER BY block_number') == [
        ("1001",),
        ("1002",),
        ("1003",),
        ("1004",),
    ]


@pytest.mark.parametrize("is_old", [False, True])
async def test_an_event_that_is_gone_is_refused_by_name(
    chain: tuple[AnvilServer, Actors], is_old: bool, tmp_path: Path
) -> None:
    node, actors = chain
    dataset = sqlite_dataset(tmp_path)
    emit(actors, node, 1)
    await run(node, dataset, 1, ERC20)
    if is_old:
        forget(dataset, "_event", "_since")
    emit(actors, node, 2)
    config = {"url": node.url, "startBlock": 1, "abi": json.dumps([ERC721])}
    async with running(config, STREAM, dataset, run=2) as task:
        with pytest.raises(ActionRequiredError, match="not in abi or events any more") as caught:
            await task
    assert caught.value.reason == "EventChanged"
    assert dataset.query("SELECT count(*) FROM chain") == [(1,)]


async def test_an_old_position_of_any_stream_goes_on(chain: tuple[AnvilServer, Actors], tmp_path: Path) -> None:
    node, actors = chain
    dataset = sqlite_dataset(tmp_path)
    emit(actors, node, 1)
    await run(node, dataset, 1, stream="token_transfers")
    forget(dataset, "_since", "_told", "_left_out", "_bloom_refuted", "_event")
    assert set(dataset.position()) == {"number", "hash", "start", "_ring"}
    emit(actors, node, 2)
    await run(node, dataset, 2, stream="token_transfers")
    assert dataset.query("SELECT count(*) FROM chain") == [(4,)]


async def test_a_parameter_with_the_name_of_a_column_of_a_history(
    chain: tuple[AnvilServer, Actors], tmp_path: Path
) -> None:
    node, actors = chain
    dataset = sqlite_dataset(tmp_path)
    actors.emit(LogEntry((topic("Marked(uint256)"),), word(7)))
    node.mine()
    config = {"url": node.url, "startBlock": 1, "events": ["Marked(uint256 _id)"]}
    async with running(config, "events.Marked", dataset, mode=WriteMode.APPEND) as task:
        await until_head(dataset, node, task)
    assert dataset.query('SELECT "_id", "_id_2" FROM chain') == [(1, "7")]
