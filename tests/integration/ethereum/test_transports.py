"""Transports against servers that misbehave: what a body means, how much is read, what is closed, what is never sent on."""

import asyncio
from functools import partial

import pytest
from aiohttp import web
from web3.providers.persistent import WebSocketProvider

from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.sources.ethereum.discovery import probe_endpoint
from connector_runner.sources.ethereum.errors import NodeFailure, Verdict
from connector_runner.sources.ethereum.rpc import http, sockets
from connector_runner.sources.ethereum.rpc.subscription import HeadSubscription
from connector_runner.sources.ethereum.rpc.transport import Call
from connector_runner.sources.ethereum.rpc.web3_client import build_web3
from connector_runner.sources.ethereum.settings import Settings, parse_settings
from tests.integration.ethereum.running import Counters, Lines, until
from tests.integration.ethereum.serving import BLOCK, LOGS, SECRET, redirecting, serving, transport_to


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
    """Sent in chunks, so that its size is not known beforehand."""
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
