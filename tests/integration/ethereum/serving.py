"""Endpoints for tests of transports: a server with a handler of its own, a transport to it, a pool over proxies."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from connector_runner.pipeline.telemetry import Telemetry
from connector_runner.sources.ethereum.endpoints.pool import EndpointPool
from connector_runner.sources.ethereum.rpc.sockets import build_transport
from connector_runner.sources.ethereum.rpc.transport import Call, Transport
from connector_runner.sources.ethereum.settings import Endpoint, parse_settings
from tests.integration.ethereum.running import Counters, Lines
from tests.simulators.ethereum.proxy import FaultProxy

SECRET = "verysecretheader"
LOGS: Call = ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "0x1"}])
BLOCK: Call = ("eth_getBlockByNumber", ["latest", True])
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
