"""One connection over real sockets: what it does when the exchange refuses, confirms half, falls silent, or the unforeseen happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from connector_runner.protocols.errors import ActionRequiredError, ConnectorError, TransientError
from connector_runner.resilience.rate_limit import RateLimit
from connector_runner.sources.coinbase.decode.messages import FeedError
from connector_runner.sources.coinbase.errors import describe
from connector_runner.sources.coinbase.feed import session as session_module
from connector_runner.sources.coinbase.feed.session import FeedSession, SessionSettings
from connector_runner.sources.coinbase.feed.subscription import Subscription
from tests.kit import waiting

SUBSCRIPTION = Subscription({"ticker": ("BTC-USD",), "heartbeat": ("BTC-USD",)})
CONFIRMED = ("ticker", "heartbeat")
Behaviour = Callable[[ServerConnection], Awaitable[None]]


def confirmation(*channels: str) -> str:
    named = [{"name": channel, "product_ids": ["BTC-USD"], "account_ids": None} for channel in channels]
    return json.dumps({"type": "subscriptions", "channels": named})


async def confirm_and_stay(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.send(confirmation(*CONFIRMED))
    await socket.wait_closed()


async def confirm_and_leave(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.send(confirmation(*CONFIRMED))


class Exchange:
    """A feed with one behaviour for each connection; the last one stays."""

    def __init__(self, *behaviours: Behaviour | Response) -> None:
        self._behaviours = list(behaviours)
        self.connections = 0

    def next(self) -> Behaviour | Response:
        self.connections += 1
        return self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]

    async def refuse(self, socket: ServerConnection, _: Request) -> Response | None:
        behaviour = self.next()
        if isinstance(behaviour, Response):
            return behaviour
        socket.behaviour = behaviour  # type: ignore[attr-defined]
        return None


class Ups:
    """What a session reported."""

    def __init__(self) -> None:
        self.downs: list[str] = []
        self.ups = 0

    def __call__(self, is_up: bool, message: str) -> None:
        if is_up:
            self.ups += 1
        else:
            self.downs.append(message)


def interpret(error: FeedError) -> ConnectorError:
    text = describe(error)
    return ActionRequiredError(text) if "key" in text else TransientError(text)


@asynccontextmanager
async def connected(
    *behaviours: Behaviour | Response, told: Callable[[bool, str], None] | None = None
) -> AsyncIterator[tuple[FeedSession, Exchange]]:
    """A session to such an exchange, not started yet."""
    exchange = Exchange(*behaviours)
    async with serve(
        lambda socket: socket.behaviour(socket),  # type: ignore[attr-defined]
        "127.0.0.1",
        0,
        process_request=exchange.refuse,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        settings = SessionSettings(
            f"ws://127.0.0.1:{port}", None, interpret, RateLimit(1000, 1.0), told or Ups(), asyncio.Event()
        )
        session = FeedSession(SUBSCRIPTION, settings)
        try:
            yield session, exchange
        finally:
            await session.stop()


async def until(condition: Callable[[], bool]) -> None:
    await waiting.until(condition, "the session is there")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "BACKOFF_SECONDS", (0.01, 0.05))


@pytest.mark.parametrize("missing", CONFIRMED)
async def test_a_channel_that_is_not_confirmed_is_no_connection(missing: str) -> None:
    async def confirm_half(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(confirmation(*(name for name in CONFIRMED if name != missing)))
        await socket.wait_closed()

    async with connected(confirm_half) as (session, _):
        with pytest.raises(TransientError, match=f"did not confirm {missing}"):
            await session.start()
        assert not session.is_up


async def test_what_was_not_confirmed_once_is_asked_for_again() -> None:
    async def confirm_nothing(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(confirmation())
        await socket.wait_closed()

    told = Ups()
    async with connected(confirm_and_leave, confirm_nothing, confirm_and_stay, told=told) as (session, exchange):
        await session.start()
        await until(lambda: told.ups == 2)
        assert exchange.connections == 3
        assert any("did not confirm ticker, heartbeat" in message for message in told.downs)


async def test_a_refused_handshake_says_how_long_to_wait() -> None:
    too_many = Response(HTTPStatus.TOO_MANY_REQUESTS, "Too Many Requests", Headers({"Retry-After": "7"}))
    async with connected(too_many) as (session, _):
        with pytest.raises(TransientError, match="HTTP status 429") as caught:
            await session.start()
        assert caught.value.retry_after == 7


async def test_refused_handshakes_are_tried_again() -> None:
    too_many = Response(HTTPStatus.TOO_MANY_REQUESTS, "Too Many Requests", Headers({"Retry-After": "0"}))
    told = Ups()
    async with connected(confirm_and_leave, too_many, too_many, confirm_and_stay, told=told) as (session, exchange):
        await session.start()
        await until(lambda: told.ups == 2)
        assert exchange.connections == 4
        assert sum("429" in message for message in told.downs) == 2


async def test_messages_around_the_confirmation_keep_their_order() -> None:
    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send('{"type":"novelty","n":1}')
        await socket.send(confirmation(*CONFIRMED))
        await socket.send(['{"type":"novelty",', '"n":2}'])
        await socket.wait_closed()

    async with connected(talk) as (session, _):
        await session.start()
        await until(lambda: len(session.items) == 3)
        assert session.take(2**20) == (True, [b'{"type":"novelty","n":1}', b'{"type":"novelty","n":2}'])


async def test_a_key_that_is_refused_later_ends_the_link() -> None:
    async def refuse_key(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send('{"type":"error","message":"Authentication Failed","reason":"invalid key"}')
        await socket.wait_closed()

    async with connected(confirm_and_leave, refuse_key) as (session, _):
        await session.start()
        await until(lambda: session.failure is not None)
        assert isinstance(session.failure, ActionRequiredError)


async def test_what_nobody_foresaw_is_left_for_the_source_and_not_lost() -> None:
    def broken(is_up: bool, _: str) -> None:
        if not is_up:
            raise RuntimeError("not foreseen")

    async with connected(confirm_and_leave, told=broken) as (session, _):
        await session.start()
        await until(lambda: session.failure is not None)
        assert str(session.failure) == "not foreseen"


async def test_a_confirmation_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say_nothing(socket: ServerConnection) -> None:
        await socket.wait_closed()

    monkeypatch.setattr(session_module, "ACKNOWLEDGE_SECONDS", 0.05)
    async with connected(say_nothing) as (session, _):
        with pytest.raises(TransientError, match="did not answer in time"):
            await session.start()


def answer(payload: bytes | str) -> Behaviour:
    async def behave(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(payload)
        await socket.wait_closed()

    return behave


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"\x1f\x8b\x08\x00\x00\x00", "6 bytes, the first 1f 8b 08 00 00 00"),
        ("welcome", "not a message of the feed: welcome"),
        ("[1, 2]", "not a message of the feed: [1, 2]"),
        (b"\xff" * 5000, "5000 bytes, the first ff ff"),
    ],
)
async def test_an_answer_that_is_no_message_is_told_at_once(payload: bytes | str, told: str) -> None:
    async with connected(answer(payload)) as (session, _):
        with pytest.raises(TransientError, match="is it the Exchange's websocket feed") as caught:
            async with asyncio.timeout(session_module.ACKNOWLEDGE_SECONDS / 2):
                await session.start()
        assert told in caught.value.message


async def test_what_came_instead_of_a_confirmation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "ACKNOWLEDGE_SECONDS", 0.2)
    async with connected(answer('{"type":"welcome","version":3}')) as (session, _):
        with pytest.raises(TransientError, match=r'it said \{"type":"welcome","version":3\}'):
            await session.start()


async def test_a_signed_subscription_that_comes_back_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "ACKNOWLEDGE_SECONDS", 0.2)
    echo = '{"type":"subscribe","signature":"s1gn","key":"k3y","passphrase":"p4ss"}'
    async with connected(answer(echo)) as (session, _):
        with pytest.raises(TransientError, match="that repeat a signed subscription") as caught:
            await session.start()
        assert not any(text in str(caught.value) for text in ("s1gn", "k3y", "p4ss"))
