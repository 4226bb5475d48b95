"""A reverse proxy as oauth2-proxy and its like are: it logs people in by a cookie and sends their token as `Authorization` to the server behind it."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import aiohttp
from aiohttp import web

COOKIE = "session"
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "host", "content-length"}
)


class LoginProxy:
    """Whoever opens it is sent to `/login`, which logs in the one user that there is; `log_out` ends all sessions.

    Attributes:
        url: Where it listens.
        tokens_seen: How many requests came in with an `Authorization` of their own.
    """

    def __init__(self, server: str, token: str) -> None:
        self.url = ""
        self.tokens_seen = 0
        self._server = server
        self._token = token
        self._sessions: set[str] = set()

    def log_out(self) -> None:
        """Ends all sessions."""
        self._sessions = set()

    def build_app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/login", self._log_in)
        app.router.add_post("/end-sessions", self._end_sessions)
        app.router.add_route("*", "/{path:.*}", self._forward)
        app.cleanup_ctx.append(self._open)
        return app

    async def _open(self, _: web.Application) -> AsyncIterator[None]:
        self._client = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        yield
        await self._client.close()

    async def _log_in(self, _: web.Request) -> web.Response:
        session = secrets.token_urlsafe()
        self._sessions = self._sessions | {session}
        answer = web.Response(status=302, headers={"Location": "/"})
        answer.set_cookie(COOKIE, session, httponly=True, samesite="Lax")
        return answer

    async def _end_sessions(self, _: web.Request) -> web.Response:
        self.log_out()
        return web.Response(text="ended\n")

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        if request.cookies.get(COOKIE) not in self._sessions:
            return web.Response(status=302, headers={"Location": "/login"})
        self.tokens_seen += "Authorization" in request.headers
        kept = {name: value for name, value in request.headers.items() if name.lower() not in {*_HOP_BY_HOP, "cookie"}}
        kept["Authorization"] = f"Bearer {self._token}"
        body = await request.read()
        async with self._client.request(
            request.method, f"{self._server}{request.raw_path}", data=body, headers=kept, allow_redirects=False
        ) as answer:
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            with suppress(ConnectionError):  # the browser has left
                async for part in answer.content.iter_any():
                    await response.write(part)
                await response.write_eof()
            return response


@contextmanager
def serving_login(server: str, token: str) -> Iterator[LoginProxy]:
    """The proxy in front of a server, in a thread, on a free port.

    Args:
        server: The URL of the server behind it.
        token: Of the user.
    """
    proxy, loop, ready, ending = LoginProxy(server, token), asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(proxy.build_app(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await ending.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(60), "the proxy did not start"
        yield proxy
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(60)
        loop.close()
