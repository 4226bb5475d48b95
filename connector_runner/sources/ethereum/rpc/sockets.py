"""JSON-RPC over websockets and IPC: one byte stream, with answers matched by their ids."""

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
"""The timeout of an answer, which arrives as one message, as a multiple of the timeout for a byte over HTTP."""

if TYPE_CHECKING:
    from websockets.asyncio.client import connect


class SocketTransport(Transport):
    """Sends requests and receives answers over one byte stream, matched by their ids.

    Attributes:
        notice: Called with the params of a subscription's notifications.
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
        """Whether the connection broke because a message was larger than `MOST_BYTES`."""
        return False

    @property
    def is_broken(self) -> bool:
        """Whether the connection has ended."""
        return self._ended is not None

    async def ended(self) -> NodeFailure:
        """Waits until the connection ends; returns why."""
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
        """Passes an answer to the waiting request. A refusal without an id counts for all waiting requests."""
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
        """Sends all calls at once, without batches: they would save nothing over a socket."""
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
            if failure is self._ended and self._has_overflowed:  # the request is not known
                raise self._too_large(call, MOST_BYTES) from None
            raise
        finally:
            self._waiting.pop(number, None)
            if waiting.done() and not waiting.cancelled():
                waiting.exception()  # marks it as retrieved, also when the writing failed first

    async def close(self) -> None:
        """Stops reading; waiting requests fail."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)


@functools.cache
def direct_connect() -> type[connect]:
    """Returns the websockets client's `connect` without redirects, which could send the keys in the headers to another host.

    The client removes `Authorization` and cookies itself, but not the custom headers of providers.
    """
    from websockets.asyncio.client import connect  # late: only these endpoints need it

    class DirectConnect(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc

    return DirectConnect


class WebSocketTransport(SocketTransport):
    """A websocket connection for requests, separate from the subscription's."""

    async def connect(self) -> None:
        """Opens the connection and performs the handshake."""
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
            await self._socket.send(message.decode())  # providers require text frames
        except self._closed as error:
            raise self._failure("broke the connection", error) from None

    async def _messages(self) -> AsyncIterator[str | bytes]:
        while True:
            yield await self._socket.recv(decode=False)

    def _is_overflow(self, error: Exception) -> bool:
        sent = error.sent if isinstance(error, self._closed) else None
        return sent is not None and sent.code == 1009  # message too big

    async def close(self) -> None:
        """Closes the socket; aborts the connection if this is interrupted."""
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
        return isinstance(error, ValueError)  # readline raises it when a line is longer than its limit

    async def close(self) -> None:
        """Closes the socket."""
        try:
            await super().close()
        finally:
            if hasattr(self, "_out"):
                self._out.close()


def build_transport(endpoint: Endpoint) -> Transport:
    """Creates the transport for the URL's scheme; does no I/O."""
    kinds: dict[str, type[Transport]] = {"http": HttpTransport, "websocket": WebSocketTransport, "ipc": IpcTransport}
    return kinds[endpoint.kind](endpoint)
