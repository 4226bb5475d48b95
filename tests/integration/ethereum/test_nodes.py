"""Endpoints and transports against servers that misbehave: who is asked next, what is judged, what is never sent on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from aiohttp import web
from web3.providers.persistent import WebSocketProvider

from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.protocols.errors import ActionRequiredError, TransientError
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.sources.ethereum.discovery import probe_endpoint
from connector_runner.sources.ethereum.endpoints.pool import EndpointPool
from connector_runner.sources.ethereum.errors import NodeFailure, StaleAnswerError, Verdict
from connector_runner.sources.ethereum.fetch.logs import Fetcher
from connector_runner.sources.ethereum.rpc import http, sockets
from connector_runner.sources.ethereum.rpc.sockets import build_transport
from connector_runner.sources.ethereum.rpc.subscription import HeadSubscription
from connector_runner.sources.ethereum.rpc.transport import Call, Transport
from connector_runner.sources.ethereum.rpc.web3_client import build_web3
from connector_runner.sources.ethereum.settings import Endpoint, LogFilter, Settings, parse_settings
from connector_runner.sources.ethereum.verify.proofs import Prover
from tests.integration.ethereum.running import Counters, Lines, until
from tests.servers.anvil import AnvilServer
from tests.simulators.ethereum.contracts import Actors
from tests.simulators.ethereum.proxy import FaultProxy, Page, cut, error, result

SECRET = "verysecretheader"
LOGS: Call = ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "0x1"}])
BLOCK: Call = ("eth_getBlockByNumber", ["latest", True])
OWN_CLASSES = ("EndpointPool", "Fetcher", "BlockFetcher", "HttpTransport")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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


@asynccontextmanager
async def connected(proxies: list[FaultProxy], log: Lines | None = None) -> AsyncIterator[EndpointPool]:
    first, *others = (proxy.url for proxy in proxies)
    log = log or Lines()
    nodes = EndpointPool(parse_settings({"url": first, "fallbackUrls": others}), Telemetry(log, Counters(log)))
    await nodes.connect(None)
    try:
        yield nodes
    finally:
        await nodes.close()


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
    """Else it would go on by itself, and open a connection that nobody closes."""
    async with connected(proxies[:1]) as nodes:
        fetcher = Fetcher(nodes, 10, Prover(proves_all=False, head_from=1000))
        proxies[0].inject("eth_getLogs", change=lambda _p, _a: Page(429, "slow down", {"Retry-After": "9"}))
        proxies[0].inject("eth_getBlockByNumber", change=result(lambda _p, _found: None))
        with pytest.raises(StaleAnswerError):
            await fetcher.logs_of_range(0, node.head(), LogFilter())
        assert own_tasks() == []


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def transport_to(url: str) -> AsyncIterator[Transport]:
    transport = build_transport(parse_settings({"url": url, "headers": {"X-Api-Key": SECRET}}).endpoints[0])
    try:
        await transport.connect()
        yield transport
    finally:
        await transport.close()


@pytest.mark.parametrize(
    ("status", "body", "verdict", "reason", "retry_after"),
    [
        (401, '{"message": "who are you?"}', Verdict.FINAL, "Unauthorised", None),
        (403, '{"code": 7}', Verdict.FINAL, "Unauthorised", None),
        (429, '{"message": "not so fast"}', Verdict.TRANSIENT, "RateLimited", 5.0),
        (429, "[]", Verdict.TRANSIENT, "RateLimited", 5.0),
        (503, '{"error": "a text"}', Verdict.TRANSIENT, "Unavailable", 5.0),
        (429, '{"id": 1, "error": {"code": -32000, "message": "no"}}', Verdict.TRANSIENT, "RateLimited", 5.0),
        (200, '{"message": "what?"}', Verdict.TRANSIENT, "Unavailable", None),
    ],
)
async def test_a_body_without_an_answer_is_judged_by_its_status(
    status: int, body: str, verdict: Verdict, reason: str, retry_after: float | None
) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        headers = {"Retry-After": "5"} if retry_after else {}
        return web.Response(status=status, text=body, content_type="application/json", headers=headers)

    async with serving(answer) as place, transport_to(f"http://{place}") as transport:
        for calls in ([LOGS], [LOGS, BLOCK]):
            with pytest.raises(NodeFailure) as caught:
                await transport.send(calls)
            failure = caught.value
            assert (failure.verdict, failure.reason, failure.retry_after) == (verdict, reason, retry_after)


@pytest.mark.parametrize("call", [LOGS, BLOCK])
async def test_an_answer_that_is_too_large_is_not_read_to_its_end(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent in chunks, so that nobody says beforehand how large it is."""
    monkeypatch.setattr(http, "MOST_BYTES", 2**20)
    monkeypatch.setattr(http, "MOST_LOG_BYTES", 2**20)
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 2**16)
        except ConnectionError:
            return response
        finally:
            ended.set()

    async with serving(endless) as place, transport_to(f"http://{place}") as transport:
        with pytest.raises(NodeFailure, match=r"more than 1 MB") as caught:
            await transport.send([call])
        assert (caught.value.verdict is Verdict.SHRINK) == (call is LOGS)
        await asyncio.wait_for(ended.wait(), 30)


async def test_a_message_that_is_too_large_makes_log_queries_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MOST_BYTES", 2**20)

    async def large(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.receive()
        await socket.send_str('{"id": 1, "result": "' + "x" * 2**21 + '"}')
        await socket.receive()
        return socket

    async with serving(large) as place, transport_to(f"ws://{place}") as transport:
        logs, block = await asyncio.gather(transport.send([LOGS]), transport.send([BLOCK]), return_exceptions=True)
        assert transport.is_broken
    assert isinstance(logs, NodeFailure)
    assert isinstance(block, NodeFailure)
    assert (logs.verdict, block.verdict) == (Verdict.SHRINK, Verdict.TRANSIENT)


async def deaf(ended: asyncio.Event, request: web.Request) -> web.StreamResponse:
    """Never answers that a socket is to be closed; `ended`: the connection below it is gone."""
    socket = web.WebSocketResponse(autoclose=False)
    await socket.prepare(request)
    await until(lambda: request.transport is None or request.transport.is_closing(), "the connection is gone")
    ended.set()
    return socket


async def test_a_closing_that_is_interrupted_leaves_no_socket_open() -> None:
    ended = asyncio.Event()
    async with serving(partial(deaf, ended)) as place, transport_to(f"ws://{place}") as transport:
        closing = asyncio.create_task(transport.close())
        await asyncio.sleep(0)  # it has begun
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_subscription_whose_end_is_interrupted_leaves_no_socket_open() -> None:
    ended = asyncio.Event()
    async with serving(partial(deaf, ended)) as place:
        provider = build_web3(parse_settings({"url": f"ws://{place}"}).endpoints[0]).provider
        assert isinstance(provider, WebSocketProvider)
        await provider.connect()
        closing = asyncio.create_task(provider.disconnect())
        await until(lambda: not provider.is_open(), "the closing has begun")
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await asyncio.wait_for(ended.wait(), 5)


@asynccontextmanager
async def redirecting(scheme: str) -> AsyncIterator[tuple[Endpoint, list[web.Request]]]:
    """An endpoint with a key in a header, whose server redirects to another port; and what is asked for there."""
    asked: list[web.Request] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return web.Response(text="{}")

    async with serving(elsewhere) as other:

        async def redirect(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": f"{scheme}://{other}/"})

        async with serving(redirect) as place:
            config = {"url": f"{scheme}://{place}", "headers": {"X-Api-Key": SECRET}}
            yield parse_settings(config).endpoints[0], asked


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_keys_do_not_follow_a_redirection(scheme: str) -> None:
    async with redirecting(scheme) as (endpoint, asked):
        with pytest.raises(NodeFailure, match="redirects to another address") as caught:
            async with transport_to(endpoint.url) as transport:
                await transport.send([BLOCK])
    assert caught.value.verdict is Verdict.FINAL
    assert not asked


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_keys_do_not_follow_a_redirection_in_discovery(scheme: str) -> None:
    async with redirecting(scheme) as (endpoint, asked):
        with pytest.raises(NodeFailure, match="redirects to another address") as caught:
            await probe_endpoint(endpoint, Settings((endpoint,)), RateLimit(None))
    assert caught.value.verdict is Verdict.FINAL
    assert not asked


async def test_keys_do_not_follow_a_redirection_of_the_subscription() -> None:
    log = Lines()
    async with redirecting("ws") as (endpoint, asked):
        feed = HeadSubscription(endpoint, Telemetry(log, Counters(log)))
        try:
            await until(lambda: any("no subscription to new heads" in line for line in log.lines), "it is refused")
        finally:
            await feed.close()
    assert not asked
    assert SECRET not in "\n".join(log.lines)
