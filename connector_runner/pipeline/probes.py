"""Probes and metrics on one port."""

from __future__ import annotations

from aiohttp import web

from connector_runner.pipeline.health import Health
from connector_runner.pipeline.metrics import PrometheusMeters
from connector_runner.protocols.errors import InvalidConfigError


def parse_address(text: str) -> tuple[str, int]:
    """Parses `host:port`, `[v6]:port` or `:port` (all addresses).

    Raises:
        InvalidConfigError: It has none of these forms.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise InvalidConfigError([f"probe address: expected host:port, found {text!r}"])
    return host.strip("[]"), int(port)


async def serve_probes(address: str, health: Health, meters: PrometheusMeters) -> tuple[web.AppRunner, int]:
    """Serves `/healthz` (an answer means that the event loop runs), `/readyz` (200, or 503 with the reasons) and `/metrics`.

    Returns:
        The server, to be cleaned up, and its port (useful when port 0 was requested).
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(text="\n".join(problems or ["ready"]) + "\n", status=503 if problems else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=meters.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    host, port = parse_address(address)
    await web.TCPSite(runner, host or None, port, shutdown_timeout=0.5).start()
    return runner, runner.addresses[0][1]
