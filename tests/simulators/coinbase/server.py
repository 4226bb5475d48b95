"""The simulated exchange on real sockets: the websocket feed and REST on one port, and doors for tests (`/truth`, `/control`)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
from aiohttp import WSMsgType, web

from tests.simulators.coinbase import control, messages
from tests.simulators.coinbase.exchange import Exchange
from tests.simulators.coinbase.faults import Fault
from tests.simulators.coinbase.limits import TokenBucket
from tests.simulators.coinbase.recording import Replay
from tests.simulators.coinbase.session import Session

SUBSCRIBE_SECONDS = 5
HALF_OPEN_SECONDS = 60
STALE_MICROSECONDS = 6_000_000


def now_microseconds() -> int:
    return time.time_ns() // 1000


@dataclass(slots=True)
class Server:
    """The exchange with its clock and its limits.

    Attributes:
        exchange: What is served.
        rate: Trades a second, of all products together; 0: none.
        connection_limit: Connections a second an address (0: no limit); bursts of two and a half times that.
        request_limit: REST requests a second an address (0: no limit); bursts of one and a half times that.
        replay: Instead of the market: a recording.
    """

    exchange: Exchange
    rate: float = 20.0
    connection_limit: float = 8.0
    request_limit: float = 10.0
    replay: Replay | None = None
    compression: bool = True
    buckets: dict[tuple[str, str], TokenBucket] = field(default_factory=dict)
    connections: int = 0
    requests: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def application(self) -> web.Application:
        """Routes and the tasks that make the market move."""
        application = web.Application(middlewares=[self._limit_requests])
        application.add_routes(
            [
                web.get("/", self._feed),
                web.get("/products", self._products),
                web.get("/products/{product}", self._product),
                web.get("/products/{product}/trades", self._trades),
                web.get("/accounts", self._accounts),
                *control.routes(self),
            ]
        )
        application.cleanup_ctx.append(self._moving)
        return application

    async def _moving(self, _: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._pump()), asyncio.create_task(self._beat())]
        if self.replay is not None:
            tasks.append(asyncio.create_task(self.replay.play(self.exchange)))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(self) -> None:
        due, clock, books_due = 0.0, time.monotonic(), 0.0
        while True:
            await asyncio.sleep(0.02)
            elapsed, clock = time.monotonic() - clock, time.monotonic()
            due = min(due + elapsed * self.rate, self.rate + 1)
            if due >= 1 and self.replay is None:
                self.exchange.trade(now_microseconds(), int(due))
                due -= int(due)
            books_due += elapsed
            if books_due >= 0.05 and self.rate > 0 and self.replay is None:
                books_due = 0.0
                self.exchange.move_books(now_microseconds(), max(1, int(self.rate / 20)))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.exchange.beat(now_microseconds())

    @web.middleware
    async def _limit_requests(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith(("/control", "/truth")):
            return await handler(request)
        is_feed = request.path == "/"
        self.requests["feed" if is_feed else "rest"] += 1
        kind, rate, burst = ("feed", self.connection_limit, 2.5) if is_feed else ("rest", self.request_limit, 1.5)
        bucket = self.buckets.setdefault((kind, request.remote or ""), TokenBucket(rate, burst * rate))
        if self.exchange.faults.strike(Fault.TOO_MANY_REQUESTS) or not bucket.take(time.monotonic()):
            return web.json_response({"message": "Public rate limit exceeded"}, status=429)
        if not is_feed and self.exchange.faults.strike(Fault.UNAVAILABLE):
            return web.json_response({"message": "Service unavailable"}, status=503)
        return await handler(request)

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=self.compression, max_msg_size=256 * 1024, timeout=1.0)
        await socket.prepare(request)
        session = Session(self.exchange.faults)
        self.exchange.sessions.add(session)
        self.connections += 1
        writer = asyncio.create_task(self._write(request, socket, session))
        try:
            await self._read(socket, session)
        finally:
            # First what can't be interrupted: this handler may be cancelled while it waits for the writer.
            self.exchange.sessions.discard(session)
            session.is_open = False
            session.taken.set()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def _read(self, socket: web.WebSocketResponse, session: Session) -> None:
        bucket = TokenBucket(100, 200)
        while True:
            try:
                patience = None if session.subscriptions else SUBSCRIBE_SECONDS
                message = await socket.receive(timeout=patience)
            except TimeoutError:
                await socket.close(code=1008, message=b"no subscription")
                return
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                return
            if not bucket.take(time.monotonic()):
                await socket.close(code=1008, message=b"rate limit exceeded")
                return
            try:
                request = msgspec.json.decode(message.data)
            except msgspec.DecodeError:
                request = None
            if not self.exchange.receive(session, request, now_microseconds()):
                return

    async def _write(self, request: web.Request, socket: web.WebSocketResponse, session: Session) -> None:
        while True:
            await session.wake.wait()
            session.wake.clear()
            while session.outgoing:
                item = session.outgoing.popleft()
                session.taken.set()
                try:
                    if isinstance(item, Fault):
                        await self._act_out(item, request, socket, session)
                    elif not session.is_frozen:
                        await socket.send_frame(item, WSMsgType.TEXT)
                except (ConnectionError, RuntimeError):
                    return

    async def _act_out(
        self, fault: Fault, request: web.Request, socket: web.WebSocketResponse, session: Session
    ) -> None:
        transport = request.transport
        if transport is None:
            return
        match fault:
            case Fault.FREEZE:
                session.is_frozen = True
            case Fault.HALF_OPEN:
                session.is_frozen = True
                transport.pause_reading()
                asyncio.get_running_loop().call_later(HALF_OPEN_SECONDS, transport.abort)
            case Fault.BROKEN_FRAME:
                transport.write(b"\xff\xfe\xfd" * 20)
            case Fault.ERROR:
                await socket.close(code=1011)
            case Fault.DROP_SOCKET:
                transport.abort()

    async def _products(self, _: web.Request) -> web.Response:
        states = self.exchange.states
        return _json([messages.product(name, states.get(name, "online")) for name in self.exchange.market.products])

    async def _product(self, request: web.Request) -> web.Response:
        name = request.match_info["product"]
        if name not in self.exchange.market.products:
            return _json({"message": "NotFound"}, status=404)
        return _json(messages.product(name, self.exchange.states.get(name, "online")))

    async def _trades(self, request: web.Request) -> web.Response:
        name = request.match_info["product"]
        if name not in self.exchange.market.products:
            return _json({"message": "NotFound"}, status=404)
        try:
            limit = min(1000, int(request.query.get("limit", "1000")))
            after, before = (int(text) if (text := request.query.get(key)) else None for key in ("after", "before"))
        except ValueError:
            return _json({"message": "Invalid pagination parameter"}, status=400)
        has_cursor = after is not None or before is not None
        is_stale = not has_cursor or self.exchange.faults.strike(Fault.STALE)
        not_since = now_microseconds() - (STALE_MICROSECONDS if is_stale else 0)
        page = self.exchange.market.page(name, limit, after, before, not_since)
        headers = {"CB-BEFORE": str(page[0].trade_id), "CB-AFTER": str(page[-1].trade_id)} if page else {}
        keys = ("time", "trade_id", "price", "size", "side")
        return _json([{key: getattr(trade, key) for key in keys} for trade in page], headers=headers)

    async def _accounts(self, request: web.Request) -> web.Response:
        names = {"key": "CB-ACCESS-KEY", "signature": "CB-ACCESS-SIGN", "timestamp": "CB-ACCESS-TIMESTAMP"}
        signed: dict[str, object] = {key: request.headers.get(header, "") for key, header in names.items()}
        signed["passphrase"] = request.headers.get("CB-ACCESS-PASSPHRASE", "")
        if (reason := self.exchange.credentials.refusal(signed, "/accounts")) is not None:
            return _json({"message": reason}, status=401)
        return _json([{"id": account, "currency": "USD", "balance": "1.00"} for account in messages.ACCOUNTS])


def _json(content: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=status, headers=headers, content_type="application/json"
    )


@contextlib.asynccontextmanager
async def serving(server: Server, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
    """Serves until the block is left; yields the address (the port that was found when 0 was asked for)."""
    runner = web.AppRunner(server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield host, int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
