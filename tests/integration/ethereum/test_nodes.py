"""Endpoints of servers that misbehave: which one is used next, and when a refusal is final."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.sources.ethereum.errors import StaleAnswerError
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.settings import LogFilter
from connector_runner.sources.ethereum.verify.proofs import Prover
from tests.integration.ethereum.running import Lines
from tests.integration.ethereum.serving import connected
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import FaultProxy, Page, cut, error, result

OWN_CLASSES = ("EndpointPool", "Fetcher", "BlockFetcher", "HttpTransport")


@pytest.fixture(scope="module")
def node() -> Iterator[AnvilServer]:
    with AnvilServer() as server:
        actors = Actors(server)
        actors.pay(1)
        server.mine()
        yield server


@pytest.fixture
async def proxies(node: AnvilServer) -> AsyncIterator[list[FaultProxy]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(FaultProxy(node.url)) for _ in range(3)]


async def test_requests_that_fail_at_once_change_the_endpoint_once(proxies: list[FaultProxy]) -> None:
    log = Lines()
    async with connected(proxies, log) as nodes:
        proxies[0].inject(change=lambda _p, _a: Page(401))
        await asyncio.gather(*(nodes.call("eth_blockNumber") for _ in range(8)))
        assert nodes.endpoint.url == proxies[1].url
    assert log.counts["endpoint_changes"] == 1
    assert not proxies[2].requests


async def test_a_refusal_is_final_only_when_all_refuse(proxies: list[FaultProxy]) -> None:
    async with connected(proxies[:2]) as nodes:
        proxies[0].inject(change=lambda _p, _a: Page(401))
        second = proxies[1].inject(change=cut)
        with pytest.raises(TransientError):
            await nodes.call("eth_blockNumber")
        second.change = lambda _p, _a: Page(403)
        with pytest.raises(ActionRequiredError, match="configFrom"):
            await nodes.call("eth_blockNumber")


async def test_an_endpoint_that_asks_to_wait_is_left_alone_meanwhile(proxies: list[FaultProxy]) -> None:
    async with connected(proxies[:2]) as nodes:
        limit = proxies[0].inject(change=lambda _p, _a: Page(429, "slow down", {"Retry-After": "60"}))
        proxies[1].inject("eth_blockNumber", change=error(-32603, "internal error"), times=2)
        await nodes.call("eth_blockNumber")
        assert limit.hits == 1
        proxies[1].inject(change=lambda _p, _a: Page(429, "slow down", {"Retry-After": "90"}))
        with pytest.raises(TransientError) as caught:
            await nodes.call("eth_blockNumber")
    assert (caught.value.reason, caught.value.retry_after) == ("RateLimited", 90.0)
    assert limit.hits == 1


async def test_an_endpoint_that_is_behind_is_left_for_one_of_the_same_chain(
    proxies: list[FaultProxy], node: AnvilServer
) -> None:
    proxies[0].inject("eth_blockNumber", change=result(lambda _p, found: hex(int(found, 16) - 1)))
    proxies[1].inject("eth_blockNumber", change=result(lambda _p, found: hex(int(found, 16) + 100)))
    proxies[1].inject("eth_chainId", change=result(lambda _p, _f: "0x99"))
    async with connected(proxies) as nodes:
        await nodes.leave_if_behind(2)
        assert nodes.endpoint.url == proxies[0].url
        await nodes.leave_if_behind(1)
        assert nodes.endpoint.url == proxies[2].url
        await nodes.leave_if_behind(1)
        assert nodes.endpoint.url == proxies[2].url


async def test_what_one_endpoint_lacks_another_one_is_asked_for(proxies: list[FaultProxy], node: AnvilServer) -> None:
    lacking = error(-32601, "Method not found")
    proxies[0].inject("eth_getBlockReceipts", change=lacking)
    async with connected(proxies[:2]) as nodes:
        fetcher = Fetcher(nodes, 10)
        header, block, _ = await fetcher.block(node.head(), full=False)
        receipts, _, _ = await fetcher.receipts(header, block["transactions"])
        await nodes.rotate("for this test")
        assert (await fetcher.receipts(header, block["transactions"]))[0] == receipts
    assert "eth_getTransactionReceipt" in proxies[0].requests
    assert "eth_getBlockReceipts" in proxies[1].requests
    assert "eth_getTransactionReceipt" not in proxies[1].requests


async def test_traces_are_asked_for_where_they_are_offered(proxies: list[FaultProxy], node: AnvilServer) -> None:
    lacking = error(-32601, "Method not found")
    for proxy in proxies[:2]:
        proxy.inject("debug_traceBlockByHash", "trace_block", change=lacking)
    log = Lines()
    async with connected(proxies, log) as nodes:
        fetcher = Fetcher(nodes, 10)
        header, _ = await fetcher.header(node.head())
        for _ in range(3):  # an endpoint is left at most once a round
            found = await asyncio.gather(*(fetcher.traces(header) for _ in range(8)), return_exceptions=True)
            assert all(isinstance(answer, tuple | StaleAnswerError) for answer in found)
        assert all(isinstance(answer, tuple) for answer in found)
        assert nodes.endpoint.url == proxies[2].url
        assert log.counts["endpoint_changes"] == 2
        proxies[2].inject("debug_traceBlockByHash", "trace_block", change=lacking)
        refusals: list[Exception] = []
        while not refusals or isinstance(refusals[-1], StaleAnswerError):
            assert len(refusals) < 6
            with pytest.raises((StaleAnswerError, ActionRequiredError)) as caught:
                await fetcher.traces(header)
            refusals.append(caught.value)
        assert "neither debug_traceBlockByHash nor trace_block" in str(refusals[-1])


def own_tasks() -> list[str]:
    """The source's, not those of servers."""
    names = [str(getattr(task.get_coro(), "__qualname__", "")) for task in asyncio.all_tasks()]
    return [name for name in names if name.split(".")[0] in OWN_CLASSES]


async def test_what_was_asked_beside_a_failure_is_given_up(proxies: list[FaultProxy], node: AnvilServer) -> None:
    """Otherwise it would continue and open a connection that is never closed."""
    async with connected(proxies[:1]) as nodes:
        fetcher = Fetcher(nodes, 10, Prover(proves_all=False, head_from=1000))
        proxies[0].inject("eth_getLogs", change=lambda _p, _a: Page(429, "slow down", {"Retry-After": "9"}))
        proxies[0].inject("eth_getBlockByNumber", change=result(lambda _p, _found: None))
        with pytest.raises(StaleAnswerError):
            await fetcher.logs_of_range(0, node.head(), LogFilter())
        assert own_tasks() == []
