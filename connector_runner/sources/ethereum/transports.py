"""JSON-RPC over HTTP, websockets and IPC that hands over raw bytes: results stay undecoded until a decoder wants them.

web3.py decodes and formats each answer as it comes, which takes a hundred times as long as the rest of the work here; it is
used where that does not matter (`subscription`, `discovery`).
"""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from connector_runner.sources.ethereum.failures import (
    NodeFailure,
    RpcError,
    Verdict,
    judge,
    judge_status,
    parse_retry_after,
)
from connector_runner.sources.ethereum.settings import Endpoint

MOST_BYTES = 256 * 1024 * 1024
"""The largest answer that is taken."""
CONNECT_SECONDS, SILENCE_SECONDS, ANSWER_SECONDS = 15.0, 30.0, 120.0
BATCH_SIZE = 40
"""Requests in one HTTP batch; many providers refuse 50 and more."""

Call = tuple[str, Sequence[Any]]
Answer = msgspec.Raw


class Envelope(msgspec.Struct):
    """A JSON-RPC answer with its result left as it is."""

    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: RpcError | None = None


_one = msgspec.json.Decoder(Envelope)
_many = msgspec.json.Decoder(list[Envelope])


class Transport(ABC):
    """One connection to an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._ids = itertools.count(1)

    @abstractmethod
    async def connect(self) -> None:
        """Raises NodeFailure."""

    @abstractmethod
    async def send(self, calls: Sequence[Call]) -> list[Answer]:
        """The calls' results in their order, as raw JSON; the first failure is raised.

        Raises:
            NodeFailure: By the table of failures.
        """

    @abstractmethod
    async def close(self) -> None:
        """Safe at any time and twice."""

    @property
    def is_broken(self) -> bool:
        """Whether only a new connection can help."""
        return False

    def _request(self, number: int, call: Call) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": number, "method": call[0], "params": call[1]}

    def _result(self, call: Call, envelope: Envelope, status: int = 200, retry_after: float | None = None) -> Answer:
        if envelope.error is not None:
            shown = RpcError(envelope.error.code, self.endpoint.redact(envelope.error.message))
            raise judge(call[0], shown, self.endpoint.shown, status, retry_after)
        if not envelope.result:
            raise self._failure(f"answered {call[0]} with neither a result nor an error")
        return envelope.result

    def _failure(self, what: str, error: BaseException | None = None) -> NodeFailure:
        detail = f" ({self.endpoint.redact(str(error) or type(error).__name__)[:200]})" if error is not None else ""
        return NodeFailure(Verdict.TRANSIENT, "Unavailable", f"{self.endpoint.shown} {what}{detail}")


class HttpTransport(Transport):
    """Many requests at once over pooled connections."""

    async def connect(self) -> None:
        """Makes the session; connections are made as they are needed."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(ANSWER_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        headers = {"Content-Type": "application/json", **self.endpoint.headers}
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            headers=headers,
            connector=aiohttp.TCPConnector(limit=32),
            read_bufsize=2**20,
        )
        self._proxy = proxy_of(self.endpoint.url)
        self._errors = (aiohttp.ClientError, TimeoutError, OSError)

    async def send(self, calls: Sequence[Call]) -> list[Answer]:
        """One request, or one batch."""
        numbers = [next(self._ids) for _ in calls]
        requests = [self._request(*pair) for pair in zip(numbers, calls, strict=True)]
        status, retry_after, body = await self._post(msgspec.json.encode(requests[0] if len(calls) == 1 else requests))
        try:
            found = _many.decode(body) if body[:1] == b"[" else [_one.decode(body)]
        except msgspec.DecodeError:
            if status != 200:
                raise judge_status(status, self.endpoint.shown, retry_after) from None
            raise self._failure("answered with something that is not JSON-RPC") from None
        if len(calls) == 1 and len(found) == 1:
            return [self._result(calls[0], found[0], status, retry_after)]
        by_number = {envelope.id: envelope for envelope in found}
        if None in by_number:  # a refusal of the batch as a whole
            self._result(calls[0], by_number[None], status, retry_after)
        if missing := [number for number in numbers if number not in by_number]:
            raise self._failure(f"left out {len(missing)} of {len(calls)} answers of a batch")
        return [
            self._result(call, by_number[number], status, retry_after)
            for number, call in zip(numbers, calls, strict=True)
        ]

    async def _post(self, body: bytes) -> tuple[int, float | None, bytes]:
        if self._session.closed:  # the endpoint was given up while this request waited for its turn
            raise self._failure("was left")
        try:
            async with self._session.post(self.endpoint.url, data=body, proxy=self._proxy) as response:
                if (response.content_length or 0) > MOST_BYTES:
                    raise judge_status(413, self.endpoint.shown)
                retry_after = parse_retry_after(response.headers.get("Retry-After"))
                return response.status, retry_after, (await response.read()).lstrip()
        except self._errors as error:
            raise self._failure("can't be reached", error) from None

    async def close(self) -> None:
        """Closes the session."""
        if hasattr(self, "_session"):
            await self._session.close()
            await asyncio.sleep(0)  # the sockets are closed in the loop's next turn; there may be none after this


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for a URL (HTTPS_PROXY, NO_PROXY, …).

    Found once: aiohttp would look for it, and for a netrc file, at every request and in a thread.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return None if proxy_bypass(host) else getproxies().get(parts.scheme)


class SocketTransport(Transport):
    """Requests and answers over one stream, matched by their ids."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._waiting: dict[int, asyncio.Future[Envelope]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._ended: NodeFailure | None = None

    @abstractmethod
    async def _write(self, message: bytes) -> None: ...

    @abstractmethod
    def _messages(self) -> AsyncIterator[str | bytes]: ...

    @property
    def is_broken(self) -> bool:
        """Whether the stream has ended."""
        return self._ended is not None

    def _start_reading(self) -> None:
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        failure = self._failure("closed the connection")
        try:
            async for message in self._messages():
                envelope = _one.decode(message)
                waiting = self._waiting.pop(envelope.id, None) if isinstance(envelope.id, int) else None
                if waiting is not None and not waiting.done():
                    waiting.set_result(envelope)
        except msgspec.DecodeError:
            failure = self._failure("sent something that is not JSON-RPC")
        except Exception as error:
            failure = self._failure("broke the connection", error)
        finally:
            self._ended = failure
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(failure)
            self._waiting.clear()

    async def send(self, calls: Sequence[Call]) -> list[Answer]:
        """All calls at once; there are no batches over a stream, as they would save nothing."""
        return list(await asyncio.gather(*map(self._send_one, calls)))

    async def _send_one(self, call: Call) -> Answer:
        if self._ended is not None:
            raise self._ended
        number = next(self._ids)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._write(msgspec.json.encode(self._request(number, call)))
                return self._result(call, await waiting)
        except TimeoutError:
            raise self._failure(f"did not answer {call[0]} within {ANSWER_SECONDS:.0f} s") from None
        except OSError as error:
            raise self._failure("broke the connection", error) from None
        finally:
            self._waiting.pop(number, None)
            if waiting.done() and not waiting.cancelled():
                waiting.exception()  # taken note of, also when the writing failed first

    async def close(self) -> None:
        """Ends the reading; who waits for an answer gets a failure."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


class WebSocketTransport(SocketTransport):
    """A websocket connection of its own, beside the one of the subscription."""

    async def connect(self) -> None:
        """Shakes hands."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

        self._closed = ConnectionClosed
        try:
            self._socket = await connect(
                self.endpoint.url, additional_headers=dict(self.endpoint.headers), max_size=MOST_BYTES,
                open_timeout=CONNECT_SECONDS, ping_timeout=SILENCE_SECONDS, compression=None, max_queue=64,
            )  # fmt: skip
        except InvalidStatus as error:
            retry_after = parse_retry_after(error.response.headers.get("Retry-After"))
            raise judge_status(error.response.status_code, self.endpoint.shown, retry_after) from None
        except (InvalidHandshake, OSError, TimeoutError, EOFError) as error:
            raise self._failure("can't be reached", error) from None
        self._start_reading()

    async def _write(self, message: bytes) -> None:
        try:
            await self._socket.send(message.decode())  # providers insist on text frames
        except self._closed as error:
            raise self._failure("broke the connection", error) from None

    async def _messages(self) -> AsyncIterator[str | bytes]:
        while True:
            yield await self._socket.recv(decode=False)

    async def close(self) -> None:
        """Closes the socket."""
        await super().close()
        if hasattr(self, "_socket"):
            await self._socket.close()


class IpcTransport(SocketTransport):
    """A node's Unix socket; messages end with a newline."""

    async def connect(self) -> None:
        """Opens the socket."""
        try:
            self._in, self._out = await asyncio.open_unix_connection(self.endpoint.url, limit=MOST_BYTES)
        except OSError as error:
            raise self._failure("can't be reached", error) from None
        self._start_reading()

    async def _write(self, message: bytes) -> None:
        self._out.write(message + b"\n")
        await self._out.drain()

    async def _messages(self) -> AsyncIterator[str | bytes]:
        while line := await self._in.readline():
            yield line

    async def close(self) -> None:
        """Closes the socket."""
        await super().close()
        if hasattr(self, "_out"):
            self._out.close()


def build_transport(endpoint: Endpoint) -> Transport:
    """By the URL's scheme; does no I/O."""
    kinds: dict[str, type[Transport]] = {"http": HttpTransport, "websocket": WebSocketTransport, "ipc": IpcTransport}
    return kinds[endpoint.kind](endpoint)
