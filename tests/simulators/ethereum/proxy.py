"""A proxy before a real node that lies, stalls, refuses and breaks on purpose: what providers and load balancers do to their users."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

Answer = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """An HTTP response that is no JSON-RPC."""

    status: int
    body: str = "<html><body>Bad gateway</body></html>"
    headers: dict[str, str] = field(default_factory=dict)


class CutError(Exception):
    """The connection is closed without an answer."""


@dataclass(frozen=True)
class Slowly:
    """The right answer, a byte at a time for a while."""

    seconds: float


Change = Callable[[list[Any], Answer], Answer | Page | Slowly]


@dataclass
class Fault:
    """What happens to some requests.

    Attributes:
        methods: Which; empty: all.
        change: From parameters and the node's true answer to what is sent; may raise CutError.
        times: How often; -1: always.
    """

    methods: tuple[str, ...]
    change: Change
    times: int = -1
    hits: int = 0

    def wants(self, method: str) -> bool:
        return self.times != 0 and (not self.methods or method in self.methods)


def error(code: int, message: str) -> Change:
    return lambda _params, answer: {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": code, "message": message}}


def result(change: Callable[[list[Any], Any], Any]) -> Change:
    return lambda params, answer: {**answer, "result": change(params, answer.get("result"))}


def cut(_params: list[Any], _answer: Answer) -> Answer:
    raise CutError


class FaultProxy:
    """Serves HTTP and websockets on a port of its own; runs in the test's event loop."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> FaultProxy:
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._runner.cleanup()

    def inject(self, *methods: str, change: Change, times: int = -1) -> Fault:
        fault = Fault(methods, change, times)
        self.faults.append(fault)
        return fault

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            calls = json.loads(await request.read())
            answers = await self._ask(calls)
            replies = [self._change(call, answer) for call, answer in zip(_list(calls), _list(answers), strict=True)]
        except (CutError, aiohttp.ClientError):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        pages = [reply for reply in replies if isinstance(reply, Page)]
        if pages:
            return web.Response(status=pages[0].status, text=pages[0].body, headers=pages[0].headers)
        slow = [reply for reply in replies if isinstance(reply, Slowly)]
        body = json.dumps(answers if slow else replies if isinstance(calls, list) else replies[0]).encode()
        if slow:
            return await self._dribble(request, body, slow[0].seconds)
        return web.Response(body=body, content_type="application/json")

    async def _ask(self, calls: Any) -> Any:
        async with self._session.post(self.upstream, json=calls) as response:
            return await response.json()

    def _change(self, call: dict[str, Any], answer: Answer) -> Answer | Page | Slowly:
        self.requests.append(call["method"])
        for fault in self.faults:
            if fault.wants(call["method"]):
                fault.times -= 1
                fault.hits += 1
                return fault.change(call.get("params", []), answer)
        return answer

    async def _dribble(self, request: web.Request, body: bytes, seconds: float) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        steps = 20
        for place in range(steps):
            await response.write(body[place * len(body) // steps : (place + 1) * len(body) // steps])
            await asyncio.sleep(seconds / steps)
        return response


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
