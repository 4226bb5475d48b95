"""What the API server passes on from a pod may be a redirect: the caller's token must not follow it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connector_operator.api.cluster import Cluster, Location
from connector_operator.api.problems import ProblemError


async def ask_json(cluster: Cluster) -> object:
    return await cluster.request("secret", "GET", "/from")


async def ask_text(cluster: Cluster) -> object:
    return await cluster.read_text("secret", "/from", {}, 1000)


async def ask_watch(cluster: Cluster) -> object:
    return [event async for event in cluster.watch("secret", "/from", {}, 5)]


@pytest.mark.parametrize("ask", [ask_json, ask_text, ask_watch])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(ask: Callable[[Cluster], Awaitable[object]], status: int) -> None:
    followed: list[str] = []

    async def leave(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/to"}, text="{}")

    async def arrive(request: web.Request) -> web.Response:
        followed.append(request.headers.get("Authorization", ""))
        return web.json_response({})

    app = web.Application()
    app.add_routes([web.get("/from", leave), web.get("/to", arrive)])
    async with TestServer(app) as server:
        cluster = Cluster(Location(str(server.make_url("")).rstrip("/"), ""), timeout=5, connections=2)
        try:
            with pytest.raises(ProblemError, match="redirect") as refused:
                await ask(cluster)
        finally:
            await cluster.close()
    assert refused.value.status == 502
    assert str(status) in refused.value.detail
    assert followed == []
