"""Subscriptions that skip, swap and die: heads are only a wake-up, so that the dataset follows all the same."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.ethereum.running import Lines, running, sqlite_dataset, until, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EXPECTED, canonical, comparable
from tests.simulators.ethereum.contracts import Actors, LogEntry, word
from tests.simulators.ethereum.proxy import FaultProxy, error, result

Notice = dict[str, Any]
START = 1


@pytest.fixture
def node() -> Iterator[AnvilServer]:
    with AnvilServer() as server:
        yield server


@pytest.fixture
async def proxy(node: AnvilServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(node.url) as server:
        yield server


def every_other() -> Callable[[Notice], list[Notice]]:
    heads: list[Notice] = []

    def change(notice: Notice) -> list[Notice]:
        heads.append(notice)
        return [notice] if len(heads) % 2 else []

    return change


def swapped() -> Callable[[Notice], list[Notice]]:
    heads: list[Notice] = []

    def change(notice: Notice) -> list[Notice]:
        heads.append(notice)
        return heads[-2:][::-1] if len(heads) % 2 == 0 else []

    return change


def foreign() -> Callable[[Notice], list[Notice]]:
    def change(notice: Notice) -> list[Notice]:
        head = {**notice["params"]["result"], "hash": "0x" + "ab" * 32}
        return [{**notice, "params": {**notice["params"], "result": head}}] * 2

    return change


def dead() -> Callable[[Notice], list[Notice]]:
    return lambda _notice: []


@pytest.mark.parametrize("notices", [every_other, swapped, foreign, dead])
async def test_heads_that_are_not_what_they_should_be(
    node: AnvilServer, proxy: FaultProxy, notices: Callable[[], Callable[[Notice], list[Notice]]], tmp_path: Path
) -> None:
    actors = Actors(node)
    proxy.notices = notices()
    dataset = sqlite_dataset(tmp_path)
    config = {"url": proxy.websocket_url, "startBlock": START}
    async with running(config, "transactions", dataset) as task:
        await until(lambda: "eth_subscribe" in proxy.requests, "the subscription is made", task)
        for serial in range(4):
            actors.pay(serial)
            node.mine()
            if serial == 2:
                node.reorganise(2, actors.replacement(3))
            await until_head(dataset, node, task)
    columns, _ = EXPECTED["transactions"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "transactions", START)


def sealed(notice: Notice) -> list[Notice]:
    """As BSC, Polygon, Linea and clique chains announce them; and what no chain does yet."""
    head = {
        **notice["params"]["result"],
        "extraData": "0x" + "ab" * 97,
        "slotNumber": {"new": ["member"]},
        "gasLimit": None,
    }
    return [{**notice, "params": {**notice["params"], "result": head}}]


async def test_heads_with_longer_members_keep_their_subscription(
    node: AnvilServer, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.notices = sealed
    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    async with running({"url": proxy.websocket_url, "startBlock": START}, "blocks", dataset, log=log) as task:
        await until(lambda: "eth_subscribe" in proxy.requests, "the subscription is made", task)
        for _ in range(5):
            node.mine()
            await until_head(dataset, node, task)
    assert proxy.requests.count("eth_subscribe") == 1
    assert "subscription_breaks" not in log.counts


async def test_sockets_that_end_are_made_again(node: AnvilServer, proxy: FaultProxy, tmp_path: Path) -> None:
    actors = Actors(node)
    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    config = {"url": proxy.websocket_url, "startBlock": START}
    async with running(config, "transactions", dataset, log=log) as task:
        for serial in range(3):

            def is_subscribed(times: int = serial) -> bool:
                return proxy.requests.count("eth_subscribe") > times

            await until(is_subscribed, "the subscription is made", task)
            await proxy.cut_sockets()
            actors.pay(serial)
            node.mine()
            await until_head(dataset, node, task)
    columns, _ = EXPECTED["transactions"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "transactions", START)


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("eth_getLogs", error(-32005, "query returned more than 10000 results")),
        ("eth_getLogs", result(lambda _params, found: found[:-1])),
        ("eth_getBlockByNumber", result(lambda _params, _found: None)),
        ("eth_getBlockByNumber", error(429, "Too Many Requests")),
    ],
)
async def test_faults_of_answers_over_a_socket(
    node: AnvilServer, proxy: FaultProxy, method: str, change: Any, tmp_path: Path
) -> None:
    actors = Actors(node)
    node.mine(5)
    fault = proxy.inject(method, change=change, times=3)
    dataset = sqlite_dataset(tmp_path)
    if method == "eth_getLogs":  # which nobody asks of a node that has receipts
        proxy.inject("eth_getBlockReceipts", change=error(-32601, "the method eth_getBlockReceipts does not exist"))
    config = {"url": proxy.websocket_url, "startBlock": START}
    async with running(config, "logs", dataset) as task:
        for serial in range(3):
            actors.emit(LogEntry((word(serial),)), LogEntry((word(serial + 100),)))
            node.mine()
            await until_head(dataset, node, task)
    columns, _ = EXPECTED["logs"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "logs", START)
    assert fault.hits == 3
