"""A proxy in front of a real node that gives wrong responses, stalls, refuses and breaks on purpose, as providers and load balancers do."""

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
    """An HTTP response that is not JSON-RPC."""

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

    def wants(self, method: str, params: list[Any]) -> bool:
        # Block 0 is asked for when a connection is verified: a fault there would only be one of connecting.
        is_verifying = bool(self.methods) and method == "eth_getBlockByNumber" and params[:1] == ["0x0"]
        return self.times != 0 and (not self.methods or method in self.methods) and not is_verifying


def error(code: int, message: str) -> Change:
    return lambda _params, answer: {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": code, "message": message}}


def result(change: Callable[[list[Any], Any], Any]) -> Change:
    return lambda params, answer: {**answer, "result": change(params, answer.get("result"))}


def cut(_params: list[Any], _answer: Answer) -> Answer:
    raise CutError


class FaultProxy:
    """Serves HTTP and websockets on a port of its own; runs in the test's event loop.

    Attributes:
        upstream: The node's HTTP address, where it serves websockets, too; may be changed at any time.
        notices: What is sent in place of a subscription's notice, over websockets.
        refuse: A page in place of the answers to a whole HTTP request (one call or a list of them), or None.
        seconds: How long every HTTP answer takes.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.notices: Callable[[Answer], list[Answer]] = lambda notice: [notice]
        self.refuse: Callable[[Any], Page | None] = lambda _calls: None
        self.seconds = 0.0
        self.port = 0
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

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
        await self.cut_sockets()
        await self._session.close()
        await self._runner.cleanup()

    def inject(self, *methods: str, change: Change, times: int = -1) -> Fault:
        fault = Fault(methods, change, times)
        self.faults.append(fault)
        return fault

    async def cut_sockets(self) -> None:
        """Ends the websockets that there are; new ones are served."""
        for socket in [*self._sockets]:
            await socket.close()

    async def _relay(self, request: web.Request) -> web.WebSocketResponse:
        client = web.WebSocketResponse(max_msg_size=0)
        await client.prepare(request)
        self._sockets.add(client)
        calls: dict[Any, dict[str, Any]] = {}
        async with self._session.ws_connect(self.upstream, max_msg_size=0) as node:

            async def upwards() -> None:
                async for message in client:
                    call = json.loads(message.data)
                    calls[call["id"]] = call
                    await node.send_str(message.data)

            async def downwards() -> None:
                async for message in node:
                    answer = json.loads(message.data)
                    replies = [self._change(calls[answer["id"]], answer)] if "id" in answer else self.notices(answer)
                    for reply in replies:
                        await client.send_str(json.dumps(reply))

            ways = [asyncio.create_task(upwards()), asyncio.create_task(downwards())]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)  # a fault may have cut it
                self._sockets.discard(client)
                await client.close()
        return client

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._relay(request)
        try:
            calls = json.loads(await request.read())
            await asyncio.sleep(self.seconds)
            if page := self.refuse(calls):
                return web.Response(status=page.status, text=page.body, headers=page.headers)
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
            if fault.wants(call["method"], call.get("params", [])):
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
