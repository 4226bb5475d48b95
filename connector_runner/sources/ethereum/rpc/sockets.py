"""JSON-RPC over websockets and IPC: one stream, answers matched by their ids."""

from __future__ import annotations

import asyncio
import functools
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from connector_runner.sources.ethereum.errors import NodeFailure
from connector_runner.sources.ethereum.rpc.gathering import gather_all
from connector_runner.sources.ethereum.rpc.http import HttpTransport
from connector_runner.sources.ethereum.rpc.refusals import classify_status
from connector_runner.sources.ethereum.rpc.transport import (
    CONNECT_SECONDS,
    MOST_BYTES,
    SILENCE_SECONDS,
    Answer,
    Call,
    Envelope,
    Transport,
    asked_wait,
    decode_envelope,
)
from connector_runner.sources.ethereum.settings import Endpoint

SOCKET_ANSWER = 2
"""An answer, which comes in one piece, may take so many times as long as the wait for a byte elsewhere."""

if TYPE_CHECKING:
    from websockets.asyncio.client import connect


class SocketTransport(Transport):
    """Requests and answers over one stream, matched by their ids.

    Attributes:
        notice: What is done with the params of a subscription's notices.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._waiting: dict[int, asyncio.Future[Envelope]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._ended: NodeFailure | None = None
        self._has_overflowed = False
        self.notice: Callable[[msgspec.Raw], None] | None = None

    @abstractmethod
    async def _write(self, message: bytes) -> None: ...

    @abstractmethod
    def _messages(self) -> AsyncIterator[str | bytes]: ...

    def _is_overflow(self, error: Exception) -> bool:
        """Whether the stream broke because a message was larger than `MOST_BYTES`."""
        return False

    @property
    def is_broken(self) -> bool:
        """Whether the stream has ended."""
        return self._ended is not None

    async def ended(self) -> NodeFailure:
        """Waits until the stream ends; says of what."""
        if self._reader is not None:
            await asyncio.wait({self._reader})
        return self._ended or self._failure("was closed")

    def _start_reading(self) -> None:
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        failure = self._failure("closed the connection")
        try:
            async for message in self._messages():
                self._take(decode_envelope(message))
        except msgspec.DecodeError:
            failure = self._failure("sent something that is not JSON-RPC")
        except Exception as error:
            failure = self._failure("broke the connection", error)
            self._has_overflowed = self._is_overflow(error)
        finally:
            self._ended = failure
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(failure)
            self._waiting.clear()

    def _take(self, envelope: Envelope) -> None:
        """Hands an answer to who waits for it. A refusal that does not say of what is one of everything that is waited for."""
        number = envelope.number
        if envelope.params and self.notice is not None:
            self.notice(envelope.params)
        if number is None and envelope.error is not None:
            waiting = [*self._waiting.values()]
            self._waiting.clear()
        else:
            waiting = [future] if number is not None and (future := self._waiting.pop(number, None)) else []
        for future in waiting:
            if not future.done():
                future.set_result(envelope)

    async def send(self, calls: Sequence[Call], silence: float = SILENCE_SECONDS) -> list[Answer]:
        """All calls at once; there are no batches over a stream, as they would save nothing."""
        seconds = SOCKET_ANSWER * silence
        return await gather_all(self._send_one(call, seconds) for call in calls)

    async def _send_one(self, call: Call, seconds: float) -> Answer:
        if self._ended is not None:
            raise self._ended
        number = next(self._ids)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._write(msgspec.json.encode(self._request(number, call)))
                return self._result(call, await waiting)
        except TimeoutError as error:
            raise self._failure(f"did not answer {call[0]} within {seconds:.0f} s", error) from None
        except OSError as error:
            raise self._failure("broke the connection", error) from None
        except NodeFailure as failure:
            if failure is self._ended and self._has_overflowed:  # which request it was is not known
                raise self._too_large(call, MOST_BYTES) from None
            raise
        finally:
            self._waiting.pop(number, None)
            if waiting.done() and not waiting.cancelled():
                waiting.exception()  # taken note of, also when the writing failed first

    async def close(self) -> None:
        """Ends the reading; who waits for an answer gets a failure."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


@functools.cache
def direct_connect() -> type[connect]:
    """The websockets client's `connect` that ends at a redirection, which could carry the keys in the headers to another host.

    It strips `Authorization` and cookies by itself, but not the headers that providers have invented.
    """
    from websockets.asyncio.client import connect  # late: only these endpoints need it

    class DirectConnect(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc

    return DirectConnect


class WebSocketTransport(SocketTransport):
    """A websocket connection of its own, beside the one of the subscription."""

    async def connect(self) -> None:
        """Shakes hands."""
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

        self._closed = ConnectionClosed
        try:
            self._socket = await direct_connect()(
                self.endpoint.url, additional_headers=dict(self.endpoint.headers), max_size=MOST_BYTES,
                open_timeout=CONNECT_SECONDS, ping_timeout=SILENCE_SECONDS, compression=None, max_queue=64,
            )  # fmt: skip
        except InvalidStatus as error:
            retry_after = asked_wait(error.response.headers)
            raise classify_status(error.response.status_code, self.endpoint.shown, retry_after) from None
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

    def _is_overflow(self, error: Exception) -> bool:
        sent = error.sent if isinstance(error, self._closed) else None
        return sent is not None and sent.code == 1009  # message too big

    async def close(self) -> None:
        """Closes the socket, by force if it is interrupted."""
        try:
            await super().close()
            if hasattr(self, "_socket"):
                await self._socket.close()
        finally:
            if hasattr(self, "_socket"):
                self._socket.transport.abort()


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

    def _is_overflow(self, error: Exception) -> bool:
        return isinstance(error, ValueError)  # as readline says that a line is over its limit

    async def close(self) -> None:
        """Closes the socket."""
        try:
            await super().close()
        finally:
            if hasattr(self, "_out"):
                self._out.close()


def build_transport(endpoint: Endpoint) -> Transport:
    """By the URL's scheme; does no I/O."""
    kinds: dict[str, type[Transport]] = {"http": HttpTransport, "websocket": WebSocketTransport, "ipc": IpcTransport}
    return kinds[endpoint.kind](endpoint)
