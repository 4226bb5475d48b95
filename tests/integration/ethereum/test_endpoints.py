"""Endpoints that lag, lie, go away or are another chain: what is waited for, left, or refused."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from connector_runner.protocols.errors import SourceChangedError
from connector_runner.sources.ethereum import chain as chain_module
from connector_runner.sources.ethereum import heads
from connector_runner.sources.ethereum.endpoints import standstill
from tests.integration.ethereum.running import Lines, running, sqlite_dataset, until, until_head
from tests.servers.anvil import AnvilServer
from tests.servers.ports import free_port
from tests.simulators.ethereum.chains import EXPECTED, canonical, comparable
from tests.simulators.ethereum.contracts import Actors, erc20
from tests.simulators.ethereum.proxy import FaultProxy, cut, error, result

BLOCK, LOGS = "eth_getBlockByNumber", "eth_getLogs"
FOREIGN = "0x" + "ab" * 32


async def test_a_lagging_replica_is_waited_for(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    node, actors = chain
    first = node.head() - 5

    def stale(params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "result": node.block(first - 3)} if params[0] == "latest" else answer

    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    async with running({"url": proxy.url, "startBlock": first}, "blocks", dataset, log=log) as task:
        await until_head(dataset, node, task)
        fault = proxy.inject(BLOCK, change=stale, times=5)
        await until(lambda: fault.times == 0, "the stale answers are over", task)
        actors.pay(1)
        node.mine()
        await until_head(dataset, node, task)
    assert "retracted_blocks" not in log.counts


@pytest.mark.parametrize(("stream", "is_filtered"), [("logs", False), ("logs", True), ("token_transfers", True)])
async def test_a_lie_that_lasts_is_never_stored(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, stream: str, is_filtered: bool, tmp_path: Path
) -> None:
    """Logs are always left out: the stream stays before that block and says why, until the node returns them."""
    node, actors = chain
    actors.emit(erc20(actors.account, actors.other, 5), erc20(actors.account, "0x" + random.randbytes(20).hex(), 7))
    node.mine(2)
    first = node.head() - 1
    fault = proxy.inject(LOGS, change=result(lambda _p, found: found[:-1]))
    log = Lines()
    dataset = sqlite_dataset(tmp_path)
    # With receipts the logs are proven by their root; without, the bloom is what tells.
    proxy.inject("eth_getBlockReceipts", change=error(-32601, "the method eth_getBlockReceipts does not exist"))
    config = {"url": proxy.url, "startBlock": first, "addresses": [actors.emitter] if is_filtered else []}
    async with running(config, stream, dataset, log=log) as task:
        await until(lambda: any("do not make up its bloom" in line for line in log.lines), "it is said", task)
        assert dataset.query("SELECT count(*) FROM chain") in ([], [(0,)])
        fault.times = 0
        await until_head(dataset, node, task)
    assert dataset.query("SELECT count(*) FROM chain") == [(2,)]


async def test_another_chain_behind_the_same_address_replaces_nothing(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    node, _ = chain
    first = node.head() - 3
    dataset = sqlite_dataset(tmp_path)
    with AnvilServer(["--no-mining", "--chain-id", "77"]) as other:
        other.mine(node.head() + 5)
        async with running({"url": proxy.url, "startBlock": first}, "blocks", dataset) as task:
            await until_head(dataset, node, task)
            proxy.upstream = other.url
            with pytest.raises(SourceChangedError, match=r"chain 31337.* chain 77"):
                await asyncio.wait_for(task, 60)
    columns, _ = EXPECTED["blocks"]
    assert comparable(dataset.query(f"SELECT {columns} FROM chain")) == canonical(node, "blocks", first)


async def test_a_foreign_head_that_lasts_retracts_nothing_that_the_node_has(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One replica has a lower head on an abandoned branch, another one answers by number."""
    monkeypatch.setattr(chain_module, "PATIENCE_SECONDS", 0.2)
    node, actors = chain
    first = node.head() - 5

    def foreign(params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "result": {**node.block(first + 2), "hash": FOREIGN}} if params[0] == "latest" else answer

    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    async with running({"url": proxy.url, "startBlock": first}, "blocks", dataset, log=log) as task:
        await until_head(dataset, node, task)
        fault = proxy.inject(BLOCK, change=foreign)
        await until(lambda: log.counts.get("doubted_answers", 0) > 1, "the head is doubted", task)
        fault.times = 0
        actors.pay(1)
        node.mine()
        await until_head(dataset, node, task)
    assert "retracted_blocks" not in log.counts


async def test_a_block_that_does_not_follow_is_doubted_when_the_chain_agrees(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    node, actors = chain
    first = node.head() - 5
    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    async with running({"url": proxy.url, "startBlock": first}, "blocks", dataset, log=log) as task:
        await until_head(dataset, node, task)
        height = node.head() + 1

        def orphaned(_params: list[Any], found: Any) -> Any:
            return {**found, "parentHash": FOREIGN} if found and int(found["number"], 16) == height else found

        fault = proxy.inject(BLOCK, change=result(orphaned))
        actors.pay(1)
        node.mine()
        await until(lambda: log.counts.get("doubted_answers", 0) > 2, "the block is doubted", task)
        asked = len(proxy.requests)
        await until(lambda: log.counts["doubted_answers"] > 4, "it is doubted more", task)
        assert len(proxy.requests) - asked < 60  # it waits in between
        fault.times = 0
        await until_head(dataset, node, task)
    assert "retracted_blocks" not in log.counts


async def test_a_head_that_stands_still_is_reported_and_is_no_error(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "STANDSTILL_SECONDS", 0.5)
    node, actors = chain
    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    async with running({"url": proxy.url, "startBlock": node.head()}, "blocks", dataset, log=log) as task:
        await until(lambda: log.counts.get("head_standstills", 0) > 1, "a standstill is reported", task)
        actors.pay(1)
        node.mine()
        await until_head(dataset, node, task)
    told = [line for line in log.lines if "either the chain makes no blocks" in line]
    assert len(told) >= 2
    assert all(line.startswith("info") for line in told)
    assert not [line for line in log.lines if line.startswith("warning")]


async def test_fallbacks_take_over_and_must_be_of_the_same_chain(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, tmp_path: Path
) -> None:
    node, actors = chain
    dataset = sqlite_dataset(tmp_path)
    first = node.head() - 3
    with AnvilServer(["--no-mining", "--chain-id", "77"]) as other:
        config = {"url": proxy.url, "fallbackUrls": [other.url, node.websocket_url], "startBlock": first}
        log = Lines()
        async with running(config, "blocks", dataset, log=log) as task:
            await until_head(dataset, node, task)
            proxy.inject(change=cut)
            actors.pay(1)
            node.mine(2)
            await until_head(dataset, node, task)
        assert log.counts["endpoint_changes"] >= 2
        async with running({"url": other.url}, "blocks", dataset) as task:
            with pytest.raises(SourceChangedError, match=r"chain 31337, genesis 0x\w+.* chain 77, genesis 0x"):
                await asyncio.wait_for(task, 60)


@pytest.mark.parametrize("finality", ["latest", 3])
async def test_an_endpoint_that_lags_is_left_though_it_moves(
    chain: tuple[AnvilServer, Actors], proxy: FaultProxy, finality: str | int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(heads, "COMPARE_SECONDS", 0.5)
    node, actors = chain

    def lagging(params: list[Any], found: Any) -> Any:
        if not params:
            return hex(int(found, 16) - 8)
        return node.block(node.head() - 8) if params[0] == "latest" else found

    proxy.inject(BLOCK, "eth_blockNumber", change=result(lagging))
    dataset = sqlite_dataset(tmp_path)
    log = Lines()
    config = {"url": proxy.url, "fallbackUrls": [node.url], "startBlock": node.head() - 12, "finality": finality}
    behind = finality if isinstance(finality, int) else 0
    async with running(config, "blocks", dataset, log=log) as task:

        def is_near() -> bool:
            actors.pay(1)
            node.mine()
            return bool(dataset.position().get("number", 0) >= node.head() - behind - 3)

        await until(is_near, "the endpoint that is ahead is used", task)
    assert log.counts["endpoint_changes"] == 1


async def test_an_unreachable_node_is_retried_and_its_key_is_not_shown(tmp_path: Path) -> None:
    log = Lines()
    port = free_port()
    config = {
        "url": f"http://user:tiptopsecret@127.0.0.1:{port}/v3/keykeykeykey?token=moresecret",
        "headers": {"X-Api-Key": "verysecretheader"},
    }
    async with running(config, "blocks", sqlite_dataset(tmp_path), log=log) as task:
        await until(lambda: any("can't be reached" in line for line in log.lines), "the node is said to be away", task)
    text = "\n".join(log.lines)
    assert f"127.0.0.1:{port} (http)" in text
    assert not any(secret in text for secret in ("tiptop", "keykey", "moresecret", "verysecret"))
