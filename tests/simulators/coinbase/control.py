"""The simulator's doors for tests: what is true, and what shall go wrong. No real exchange has these."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from tests.simulators.coinbase import messages
from tests.simulators.coinbase.faults import Fault

if TYPE_CHECKING:
    from tests.simulators.coinbase.server import Server


def routes(server: Server) -> Iterable[web.RouteDef]:
    """`GET /truth`, `/truth/trades/{product}`, `/truth/book/{product}`; `POST /control/market`, `/control/faults`."""
    doors = Doors(server)
    return [
        web.get("/truth", doors.summary),
        web.get("/truth/trades/{product}", doors.trades),
        web.get("/truth/book/{product}", doors.book),
        web.post("/control/market", doors.market),
        web.post("/control/faults", doors.faults),
    ]


class Doors:
    """The handlers."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def summary(self, _: web.Request) -> web.Response:
        """Last trade ids, holes that can't be filled, faults that occurred, sessions and requests."""
        exchange = self._server.exchange
        return _json(
            {
                "last_trade_id": {name: ledger.last_id for name, ledger in exchange.market.ledgers.items()},
                "hidden": {name: sorted(ids) for name, ids in exchange.market.hidden.items() if ids},
                "faults": {fault.value: exchange.faults.struck[fault] for fault in Fault},
                "sessions": len(exchange.sessions),
                "subscribed": sum(1 for session in exchange.sessions if session.subscriptions),
                "connections": self._server.connections,
                "requests": dict(self._server.requests),
                "rate": self._server.rate,
            }
        )

    async def trades(self, request: web.Request) -> web.StreamResponse:
        """All trades of a product from `from` to `to` (both included), one JSON object a line, in the form of `match`."""
        market = self._server.exchange.market
        product = request.match_info["product"]
        if product not in market.ledgers:
            raise web.HTTPNotFound
        first = int(request.query.get("from", "1"))
        last = min(int(request.query.get("to", str(2**62))), market.ledgers[product].last_id)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for start in range(first, last + 1, 2000):
            lines = [
                messages.encode(messages.match(market.trade(product, n)))
                for n in range(start, min(start + 2000, last + 1))
            ]
            await response.write(b"\n".join(lines) + b"\n")
            await asyncio.sleep(0)
        return response

    async def book(self, request: web.Request) -> web.Response:
        """The present book: {"buy": {price: size}, "sell": …}; null if nobody has subscribed to it yet."""
        product = request.match_info["product"]
        book = self._server.exchange.books.get(product)
        if book is None:
            return _json(None)
        text = messages.snapshot(product, book)
        return _json({"buy": dict(text["bids"]), "sell": dict(text["asks"])})

    async def market(self, request: web.Request) -> web.Response:
        """Body {"rate": 0}: trades a second (0: none); {"states": {"BTC-USD": "delisted"}}: products' status;
        {"refused": {"BTC-USD": "BTC-USD is not a valid product"}}: those that the feed refuses although REST lists them
        ("ticker:BTC-USD" for one channel only);
        {"burst": 500}: this many trades immediately; {"steps": 20}: this many changes of the books; {"beats": 5}: heartbeats and what
        comes with them."""
        body: dict[str, Any] = await request.json()
        self._server.rate = float(body.get("rate", self._server.rate))
        self._server.exchange.states.update(body.get("states", {}))
        self._server.exchange.refused = dict(body.get("refused", self._server.exchange.refused))
        from tests.simulators.coinbase.server import now_microseconds

        if burst := int(body.get("burst", 0)):
            self._server.exchange.trade(now_microseconds(), burst)
        if steps := int(body.get("steps", 0)):
            self._server.exchange.move_books(now_microseconds(), steps)
        for _ in range(int(body.get("beats", 0))):
            self._server.exchange.beat(now_microseconds())
        return await self.summary(request)

    async def faults(self, request: web.Request) -> web.Response:
        """Body {"kind": "drop_socket", "count": 1}."""
        body: dict[str, Any] = await request.json()
        try:
            fault = Fault(str(body.get("kind")))
        except ValueError:
            return _json({"message": f"kind must be one of {', '.join(Fault)}"}, status=400)
        self._server.exchange.arm(fault, int(body.get("count", 1)))
        return await self.summary(request)


def _json(content: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")
