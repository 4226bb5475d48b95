"""/healthz, /readyz and /metrics: healthy means that loop and queue make progress, not that this task answers."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from connector_operator.metrics import render_metrics


async def serve_probes(address: str, is_alive: Callable[[], bool], is_ready: Callable[[], bool]) -> web.AppRunner:
    """Starts the server; the caller must clean up the runner.

    Raises:
        OSError: The address can't be bound.
    """

    def answer(holds: bool, name: str) -> web.Response:
        return web.Response(text=f"{name}: {'ok' if holds else 'no'}\n", status=200 if holds else 503)

    async def healthz(_: web.Request) -> web.Response:
        return answer(is_alive(), "alive")

    async def readyz(_: web.Request) -> web.Response:
        return answer(is_ready(), "ready")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=render_metrics(), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, _, port = address.rpartition(":")
    await web.TCPSite(runner, host.strip("[]"), int(port)).start()
    return runner
