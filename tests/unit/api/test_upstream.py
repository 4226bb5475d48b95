"""Kept connections to the API server: which are used again, what is sent twice, and how an answer ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from connector_operator.api import upstream
from connector_operator.api.upstream import Answer, AnswerLostError, BadAnswerError, Upstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 60
Act = Callable[["Peer", bytes], Awaitable[None]]


class Peer:
    """One connection as the server has it."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.ended = asyncio.Event()
        self.asked = 0

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)


class Server:
    """Acts on each request; remembers requests and connections."""

    def __init__(self, act: Act) -> None:
        self.act = act
        self.peers: list[Peer] = []
        self.asked: list[tuple[int, bytes]] = []
        self.open = self.most = self.port = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(self.peers), reader, writer)
        self.peers.append(peer)
        self.open += 1
        self.most = max(self.most, self.open)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
                request = head + await reader.readexactly(int(length or 0))
                peer.asked += 1
                self.asked.append((peer.number, request))
                await self.act(peer, request)
        self.open -= 1
        peer.ended.set()
        writer.close()


@asynccontextmanager
async def serving(
    act: Act, *, seconds: float = PATIENCE, connections: int = 8
) -> AsyncIterator[tuple[Server, Upstream]]:
    """A server that acts so, and the connections to it."""
    server = Server(act)
    listener = await asyncio.start_server(server.meet, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    pool = Upstream(f"http://127.0.0.1:{server.port}/base/", None, timeout=seconds, connections=connections)
    try:
        yield server, pool
    finally:
        pool.close()
        listener.close()
        for peer in server.peers:
            await asyncio.wait_for(peer.ended.wait(), PATIENCE)


def saying(*parts: bytes, is_closing: bool = False) -> Act:
    """Answers every request so."""

    async def act(peer: Peer, _: bytes) -> None:
        await peer.say(*parts)
        if is_closing:
            peer.writer.close()

    return act


async def test_a_request_is_whole_and_its_connection_kept() -> None:
    async with serving(saying(OK)) as (server, pool):
        assert await pool.ask("GET", "/x?limit=5", "Accept: a/b\r\n") == (200, b"ok")
        assert await pool.ask("PATCH", "/y", "", b"{}") == (200, b"ok")
        host = f"Host: 127.0.0.1:{server.port}\r\n".encode()
        assert server.asked == [
            (0, b"GET /base/x?limit=5 HTTP/1.1\r\n" + host + b"Accept: a/b\r\n\r\n"),
            (0, b"PATCH /base/y HTTP/1.1\r\n" + host + b"Content-Length: 2\r\n\r\n{}"),
        ]


CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n"
FORMS: dict[str, tuple[Sequence[bytes], bool, Answer]] = {
    "one part": ([OK], False, Answer(200, b"ok")),
    "byte by byte": ([bytes([one]) for one in OK], False, Answer(200, b"ok")),
    "chunks": ([CHUNKED], False, Answer(201, b"abcd")),
    "chunks byte by byte": ([bytes([one]) for one in CHUNKED], False, Answer(201, b"abcd")),
    "nothing": ([b"HTTP/1.1 204 No Content\r\n\r\n"], False, Answer(204, b"")),
    "hint first": ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], False, Answer(200, b"ok")),
    "until the end": ([b"HTTP/1.1 200 OK\r\n\r\n", b"o", b"k"], True, Answer(200, b"ok")),
    "HTTP 1.0": ([b"HTTP/1.0 404 Not Found\r\nContent-Length: 1\r\n\r\nx"], True, Answer(404, b"x")),
}


@pytest.mark.parametrize("form", FORMS)
async def test_an_answer_ends_as_it_says(form: str) -> None:
    parts, is_closing, expected = FORMS[form]
    async with serving(saying(*parts, is_closing=is_closing)) as (server, pool):
        assert [await pool.ask("GET", "/x", "") for _ in range(3)] == [expected] * 3
        assert len(server.peers) == (3 if is_closing else 1)


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", OK + OK],
    ids=["said to be the last", "more than was asked"],
)
async def test_a_connection_that_is_not_as_it_was_is_not_used_again(answer: bytes) -> None:
    async with serving(saying(answer)) as (server, pool):
        assert [await pool.ask("GET", "/x", "") for _ in range(2)] == [(200, b"ok")] * 2
        assert [number for number, _ in server.asked] == [0, 1]


async def close_when_asked_again(peer: Peer, _: bytes) -> None:
    """As a server that closes a kept connection just when a request is on its way."""
    if peer.number == 0 and peer.asked == 2:
        peer.writer.close()
    else:
        await peer.say(OK)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_what_does_no_harm_is_sent_again(method: str) -> None:
    async with serving(close_when_asked_again) as (server, pool):
        assert [await pool.ask(method, "/x", "") for _ in range(2)] == [(200, b"ok")] * 2
        assert [number for number, _ in server.asked] == [0, 0, 1]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_change_is_never_sent_twice(method: str) -> None:
    async with serving(close_when_asked_again) as (server, pool):
        assert await pool.ask(method, "/x", "", b"{}") == (200, b"ok")
        with pytest.raises(AnswerLostError):
            await pool.ask(method, "/x", "", b"{}")
        assert [number for number, _ in server.asked] == [0, 0]


async def test_a_new_connection_that_is_closed_is_not_tried_again() -> None:
    async with serving(saying(is_closing=True)) as (server, pool):
        with pytest.raises(AnswerLostError):
            await pool.ask("GET", "/x", "")
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", AnswerLostError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", AnswerLostError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", AnswerLostError),
        (b"SSH-2.0-x\r\n", BadAnswerError),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", BadAnswerError),
    ],
)
async def test_half_an_answer_is_none(answer: bytes, error: type[ConnectionError]) -> None:
    async with serving(saying(answer, is_closing=True)) as (server, pool):
        with pytest.raises(error):
            await pool.ask("GET", "/x", "")
        assert len(server.asked) == 1


async def say_nothing(_peer: Peer, _: bytes) -> None:
    """The request is read, and no more."""


async def test_silence_has_an_end_and_so_has_its_connection() -> None:
    async with serving(say_nothing, seconds=0.05) as (server, pool):
        with pytest.raises(TimeoutError):
            await pool.ask("GET", "/x", "")
        assert len(server.peers) <= 1
        for peer in server.peers:
            await asyncio.wait_for(peer.ended.wait(), PATIENCE)


async def test_the_answer_to_a_caller_who_left_reaches_nobody_else() -> None:
    asked, leave = asyncio.Event(), asyncio.Event()

    async def answer_late(peer: Peer, _: bytes) -> None:
        if peer.number == 0:
            asked.set()
            await leave.wait()
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        else:
            await peer.say(OK)

    async with serving(answer_late) as (_, pool):
        first = asyncio.create_task(pool.ask("GET", "/x", ""))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        leave.set()
        assert [await pool.ask("GET", "/x", "") for _ in range(3)] == [(200, b"ok")] * 3


async def test_callers_share_a_few_connections_and_nothing_else() -> None:
    async def echo(peer: Peer, request: bytes) -> None:
        name = request.partition(b"Name: ")[2].partition(b"\r\n")[0]
        await asyncio.sleep(0)
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(name), name)

    async with serving(echo, connections=3) as (server, pool):
        answers = await asyncio.gather(*(pool.ask("GET", "/x", f"Name: {number}\r\n") for number in range(100)))
        assert [answer.content for answer in answers] == [str(number).encode() for number in range(100)]
        assert server.most <= 3


async def test_a_connection_that_nobody_uses_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_IDLE", 0.02)
    async with serving(saying(OK)) as (server, pool):
        await asyncio.gather(pool.ask("GET", "/x", ""), pool.ask("GET", "/x", ""))
        for peer in server.peers:
            await asyncio.wait_for(peer.ended.wait(), PATIENCE)
        assert await pool.ask("GET", "/x", "") == (200, b"ok")


@pytest.mark.parametrize("target", ["/x y", "/x\r\nA: b", "/é", "/x\x7f"])
async def test_a_target_that_is_not_escaped_is_not_sent(target: str) -> None:
    pool = Upstream("http://127.0.0.1:1", None, timeout=1, connections=1)
    with pytest.raises(ValueError, match="/"):
        await pool.ask("GET", target, "")
