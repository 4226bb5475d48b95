"""JSON-RPC over HTTP: one request or one batch per HTTP request, over pooled connections."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from connector_runner.sources.ethereum.rpc.methods import LOGS
from connector_runner.sources.ethereum.rpc.refusals import classify_status
from connector_runner.sources.ethereum.rpc.transport import (
    CONNECT_SECONDS,
    MOST_BYTES,
    MOST_LOG_BYTES,
    SILENCE_SECONDS,
    Answer,
    Call,
    Envelope,
    Transport,
    asked_wait,
    decode_envelope,
    decode_envelopes,
)

WHOLE_ANSWER = 4
"""The timeout of a whole answer, as a multiple of the timeout for its next byte."""


class HttpTransport(Transport):
    """Sends many concurrent requests over pooled connections."""

    _is_cut_off = False

    @property
    def is_broken(self) -> bool:
        """Whether a connection was refused: the chain of what answers there next must be verified."""
        return self._is_cut_off

    async def connect(self) -> None:
        """Creates the session; connections are opened when they are needed."""
        import aiohttp

        headers = {"Content-Type": "application/json", **self.endpoint.headers}
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=32),
            read_bufsize=2**20,
        )
        self._proxy = proxy_of(self.endpoint.url)
        self._timeout = aiohttp.ClientTimeout
        self._unreachable = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
        self._errors = (aiohttp.ClientError, TimeoutError, OSError)

    async def send(self, calls: Sequence[Call], silence: float = SILENCE_SECONDS) -> list[Answer]:
        """Sends one request, or one batch."""
        numbers = [next(self._ids) for _ in calls]
        requests = [self._request(*pair) for pair in zip(numbers, calls, strict=True)]
        payload = msgspec.json.encode(requests[0] if len(calls) == 1 else requests)
        status, retry_after, body = await self._post(payload, calls[0], silence)
        found = self._envelopes(status, retry_after, body)
        if len(calls) == len(found) == 1:
            return [self._result(calls[0], found[0], status, retry_after)]
        by_number = {envelope.number: envelope for envelope in found}
        refusal = found[0] if len(found) == 1 else by_number.get(None)
        if refusal is not None and refusal.error is not None:  # a refusal of the whole batch
            self._result(calls[0], refusal, status, retry_after)
        if missing := [number for number in numbers if number not in by_number]:
            raise self._failure(f"left out {len(missing)} of {len(calls)} answers of a batch")
        return [
            self._result(call, by_number[number], status, retry_after)
            for number, call in zip(numbers, calls, strict=True)
        ]

    def _envelopes(self, status: int, retry_after: float | None, body: bytes) -> list[Envelope]:
        """Decodes the answers; a body without answers is classified by its HTTP status."""
        try:
            found = decode_envelopes(body) if body[:1] == b"[" else [decode_envelope(body)]
            is_answer = status == 200 or any(envelope.result or isinstance(envelope.error, dict) for envelope in found)
        except msgspec.DecodeError:
            is_answer = False
        if is_answer:
            return found
        if status != 200:
            said = self.endpoint.redact(body[:1000].decode(errors="replace"))
            raise classify_status(status, self.endpoint.shown, retry_after, said)
        raise self._failure("answered with something that is not JSON-RPC")

    async def _post(self, body: bytes, call: Call, silence: float) -> tuple[int, float | None, bytes]:
        if self._session.closed:  # the endpoint was dropped while this request was waiting
            raise self._failure("was left", is_unreachable=True)
        try:
            # A redirect could send the keys in the headers to another host.
            async with self._session.post(
                self.endpoint.url, data=body, proxy=self._proxy, allow_redirects=False,
                timeout=self._timeout(WHOLE_ANSWER * silence, sock_connect=CONNECT_SECONDS, sock_read=silence),
            ) as response:  # fmt: skip
                retry_after = asked_wait(response.headers)
                most = MOST_LOG_BYTES if call[0] == LOGS else MOST_BYTES
                if (response.content_length or 0) > most:
                    raise self._too_large(call, most)
                pieces, size = [], 0
                async for piece in response.content.iter_any():
                    pieces.append(piece)
                    size += len(piece)
                    if size > most:
                        raise self._too_large(call, most)
                return response.status, retry_after, b"".join(pieces).lstrip()
        except self._errors as error:
            if isinstance(error, self._unreachable):
                self._is_cut_off = True
                raise self._failure("can't be reached", error, is_unreachable=True) from None
            if isinstance(error, TimeoutError):
                raise self._failure(f"did not answer {call[0]} for {silence:.0f} s", error) from None
            raise self._failure("can't be reached", error) from None

    async def close(self) -> None:
        """Closes the session."""
        if hasattr(self, "_session"):
            await self._session.close()
            await asyncio.sleep(0)  # sockets close in the event loop's next turn; there may be none after this


def proxy_of(url: str) -> str | None:
    """Returns the proxy for a URL from the environment (HTTPS_PROXY, NO_PROXY, …).

    Read only once: aiohttp would look for it, and for a netrc file, at every request and in a thread.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return None if proxy_bypass(host) else getproxies().get(parts.scheme)
