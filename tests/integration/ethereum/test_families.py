"""Chains that commit to less than Ethereum does are read as far as possible, and what is not proven is reported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector_runner.pipeline.telemetry import NoMeters, Telemetry
from connector_runner.protocols.source import SourceContext, WriteMode
from connector_runner.sources.ethereum import build_source
from tests.integration.ethereum.running import Dataset, Lines, checked, running, sqlite_dataset, until, until_head
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.chains import EVENTS, EXPECTED, canonical, comparable
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import FaultProxy, error, result

BLOCK, CHAIN = "eth_getBlockByNumber", "eth_chainId"
FOREIGN, NO_BLOOM = "0x" + "ab" * 32, "0x" + "00" * 256
EMPTY = {"transactionsRoot": FOREIGN, "receiptsRoot": FOREIGN, "withdrawalsRoot": FOREIGN, "gasUsed": "0x7"}
SHAPES: dict[str, tuple[int, dict[str, Any]]] = {
    "zksync": (324, {**EMPTY, "logsBloom": NO_BLOOM}),
    "sei": (1329, {**EMPTY, "logsBloom": NO_BLOOM}),
    "polygon": (137, {"transactionsRoot": FOREIGN, "receiptsRoot": FOREIGN, "logsBloom": NO_BLOOM, "gasUsed": "0x7"}),
    "avalanche": (43114, {"logsBloom": NO_BLOOM}),
    "cosmos-evm": (25, {"transactionsRoot": FOREIGN, "receiptsRoot": FOREIGN, "gasUsed": "0x7"}),
    "op-stack": (10, {"withdrawalsRoot": FOREIGN}),
    "filecoin": (314, {**EMPTY, "logsBloom": "0x" + "ff" * 256}),
    "relaxed": (4242, {**EMPTY, "logsBloom": "0x"}),
}


def shaped(proxy: FaultProxy, chain: int, members: dict[str, Any]) -> None:
    """Another chain id, and blocks of another shape."""
    proxy.inject(CHAIN, change=result(lambda _p, _f: hex(chain)))
    proxy.inject(BLOCK, change=result(lambda _p, found: found and {**found, **members}))


def rows(dataset: Dataset, stream: str) -> Any:
    return comparable(dataset.query(f"SELECT {EXPECTED[stream][0]} FROM chain"))


def told(dataset: Dataset) -> list[tuple[str, str]]:
    return [*dataset.query("SELECT kind, message FROM chain_incidents ORDER BY rowid")]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stream", ["blocks", "transactions", "receipts", "logs", "token_transfers", "traces"])
async def test_a_chain_of_another_family_is_read_whole_and_told(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, stream: str, shape: str, tmp_path: Path
) -> None:
    node, actors = chain
    number, members = SHAPES[shape]
    shaped(proxy, number, members)
    config: dict[str, Any] = {"url": proxy.url, "startBlock": 1, "addresses": [actors.emitter]}
    if shape == "relaxed":
        config["proofs"] = "relaxed"
    dataset = sqlite_dataset(tmp_path)
    async with running(config, stream, dataset) as task:
        await until_head(dataset, node, task)
    assert rows(dataset, stream) == canonical(node, stream, 1)
    ((kind, message),) = told(dataset)
    assert kind == "unproven"
    assert f"chain {number}, family {shape}" in message


async def notes(config: dict[str, Any]) -> str:
    telemetry = Telemetry(lambda *_args, **_fields: None, NoMeters())
    source = build_source(SourceContext(checked(config), "tests/chain", WriteMode.UPSERT, telemetry))
    try:
        return "\n".join((await source.discover(None)).notes)
    finally:
        await source.close()


async def test_discovery_tells_the_family(chain: tuple[AnvilServer, Actors], proxy: FaultProxy) -> None:
    proxy.inject(CHAIN, change=result(lambda _p, _f: "0x89"))
    assert "chain 137, family polygon" in await notes({"url": proxy.url})
    assert "proofs: ethereum is set" in await notes({"url": proxy.url, "proofs": "ethereum"})
    assert "family relaxed" in await notes({"url": chain[0].url, "proofs": "relaxed"})
    proxy.inject(CHAIN, change=result(lambda _p, _f: "0x1092"))
    proxy.faults.reverse()
    assert "chain 4242 is in no known family" in await notes({"url": proxy.url})


@pytest.mark.parametrize("stream", ["blocks", "receipts"])
async def test_a_chain_of_no_known_family_is_never_guessed(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, stream: str, tmp_path: Path
) -> None:
    shaped(proxy, 4242, EMPTY)
    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    async with running({"url": proxy.url, "startBlock": 1}, stream, dataset, log=log) as task:
        await until(lambda: any("NodeInconsistent" in line for line in log.lines), "it is told", task)
    assert dataset.query("SELECT block_hash FROM chain") == []


async def test_a_deposit_without_a_nonce(chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path) -> None:
    node, _ = chain

    def deposits(_params: list[Any], found: Any) -> Any:
        def one(item: Any) -> Any:
            left = {
                name: value
                for name, value in item.items()
                if name not in ("nonce", "v", "r", "s", "yParity", "gasPrice")
            }
            return {**left, "type": "0x7e", "mint": "0x5"}

        whole = found and found["transactions"] and isinstance(found["transactions"][0], dict)
        return {**found, "transactions": [*map(one, found["transactions"])]} if whole else found

    shaped(proxy, 10, {})
    proxy.faults.pop()
    proxy.inject(BLOCK, change=result(deposits))
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": proxy.url, "startBlock": 1}, "transactions", dataset) as task:
        await until_head(dataset, node, task)
    found = dataset.query("SELECT DISTINCT type, nonce, extra FROM chain")
    assert [(kind, nonce, json.loads(extra)) for kind, nonce, extra in found] == [
        (0x7E, 0, {"mint": "0x5", "nonce": None})
    ]
    assert any("type 0x7e" in message for _, message in told(dataset))


def is_absent(node: AnvilServer, number: int) -> bool:
    return number % 5 == 0 and 0 < number < node.head()


def without_some(node: AnvilServer, gone: Callable[[], Any]) -> Any:
    """Each fifth height has no block; the one after it names the one before it as its parent."""

    def change(params: list[Any], answer: dict[str, Any]) -> Any:
        found = answer.get("result")
        if not found:
            return answer
        number = int(found["number"], 16)
        if is_absent(node, number):
            return gone()([], answer)
        if is_absent(node, number - 1):
            found = {**found, "parentHash": node.block(number - 2)["hash"]}
        return {**answer, "result": found}

    return change


@pytest.mark.parametrize(
    "gone",
    [
        lambda: result(lambda _p, _f: None),
        lambda: error(12, "requested epoch was a null round (5)"),
        lambda: error(-32000, "null round"),
    ],
)
@pytest.mark.parametrize("stream", ["blocks", "transactions", "receipts", "logs", "token_transfers", "traces"])
async def test_heights_without_a_block(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, stream: str, gone: Any, tmp_path: Path
) -> None:
    node, _ = chain
    proxy.inject(CHAIN, change=result(lambda _p, _f: "0x13a"))
    once = proxy.inject(BLOCK, change=result(lambda _p, found: found), times=0)
    proxy.inject(BLOCK, change=without_some(node, gone))
    dataset = sqlite_dataset(tmp_path)
    config = {"url": proxy.url, "startBlock": 3, "maxBlockRange": 8}
    for run in (1, 2):
        async with running(config, stream, dataset, run=run) as task:
            if run == 1:
                await until(lambda: dataset.position().get("number", 0) > 20, "some blocks are there", task)
            else:
                await until_head(dataset, node, task)
    assert once.hits == 0
    hashes = [node.block(height)["hash"] for height in range(3, node.head() + 1) if not is_absent(node, height)]
    columns, make = EXPECTED[stream]
    if stream == "blocks":
        assert dataset.query("SELECT block_hash FROM chain ORDER BY block_number") == [(own,) for own in hashes]
        return
    expected = comparable([row for own in hashes for row in make(node, node.rpc("eth_getBlockByHash", own, False))])
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == expected


async def test_a_block_that_a_replica_does_not_have_yet_is_no_height_without_one(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    node, _ = chain
    proxy.inject(CHAIN, change=result(lambda _p, _f: "0x13a"))
    lacking = 7

    def lagging(params: list[Any], found: Any) -> Any:
        return None if params[0] == hex(lacking) and proxy.requests.count("eth_getLogs") < 9 else found

    proxy.inject(BLOCK, change=result(lagging))
    dataset = sqlite_dataset(tmp_path)
    async with running({"url": proxy.url, "startBlock": 1, "events": EVENTS}, "logs", dataset) as task:
        await until_head(dataset, node, task)
    assert rows(dataset, "logs") == canonical(node, "logs", 1)
