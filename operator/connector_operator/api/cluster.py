"""Requests to the API server, each as the caller: this process has no credentials, so it can do nothing by itself."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio import client, config

from connector_operator.api.listed import decode_any
from connector_operator.api.problems import from_kubernetes, unreachable
from connector_operator.api.upstream import Upstream

POD_CA = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
JSON_PATCH = "application/json-patch+json"
MANAGER = "connectors-api"
"""Field manager of what callers write through this API."""
Decode = Callable[[bytes], Any]
"""Reads JSON; None for anything else."""
_MAX_EVENT = 8 * 1024 * 1024
_CHUNK = 64 * 1024
_HEADERS = f"Accept: application/json\r\nUser-Agent: {MANAGER}\r\n"


class LocationError(Exception):
    """The address of the API server is not known; the message says where it was searched."""


def has_pod_authority() -> bool:
    """Whether this process runs in a pod that can verify the API server's certificate."""
    return POD_CA.exists()


class Location(msgspec.Struct, frozen=True):
    """An API server: its URL, and the file of the authority that signs its certificate ("" for the system's)."""

    url: str
    authority: str


async def find_cluster(environment: Mapping[str, str] = os.environ) -> Location:
    """The cluster this process runs in, else the one that KUBECONFIG names (only its address, no credentials).

    Raises:
        LocationError: Neither exists.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if host and has_pod_authority():
        return Location(f"https://{f'[{host}]' if ':' in host else host}:{port}", str(POD_CA))
    configuration = client.Configuration()
    try:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise LocationError(f"no API server: {POD_CA} is not there, and no KUBECONFIG is usable ({error})") from None
    return Location(str(configuration.host).rstrip("/"), str(configuration.ssl_ca_cert or ""))


class Cluster:
    """An API server, with the rights of the caller of each request.

    No redirect is followed: behind `pods/…/proxy` it is the pod that chooses where it leads, and the token would go along.
    """

    def __init__(self, location: Location, *, timeout: float, connections: int) -> None:
        self._url = location.url
        is_secure = location.url.startswith("https:")
        secure = ssl.create_default_context(cafile=location.authority or None) if is_secure else None
        self._upstream = Upstream(location.url, secure, timeout=timeout, connections=connections)
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=secure or True, limit=connections),
            headers={"Accept": "application/json", "User-Agent": MANAGER},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )

    async def close(self) -> None:
        """Closes connections."""
        self._upstream.close()
        await self._session.close()

    async def request(
        self,
        token: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        connector_id: str = "",
        decode: Decode = decode_any,
    ) -> Any:
        """One request as the owner of `token`; returns the answer's JSON.

        Args:
            token: Of the caller.
            method: In upper case.
            path: Its parts are valid names, or already escaped.
            query: Query parameters.
            body: Any JSON value; None for none.
            content_type: Of the body.
            connector_id: The connector that a 404 is about.
            decode: Reads the content of an answer.

        Raises:
            ProblemError: The request was refused, or the server not reached.
        """
        headers, content = _HEADERS + f"Authorization: Bearer {token}\r\n", b""
        if body is not None:
            headers, content = headers + f"Content-Type: {content_type}\r\n", msgspec.json.encode(body)
        try:
            status, answer = await self._upstream.ask(
                method, f"{path}?{urlencode(query)}" if query else path, headers, content
            )
        except OSError as error:
            raise unreachable(type(error).__name__) from None
        decoded = decode(answer)
        if status >= 300 or decoded is None:
            raise from_kubernetes(status, decoded if isinstance(decoded, dict) else {}, connector_id)
        return decoded

    async def read_text(self, token: str, path: str, query: Mapping[str, str], most: int) -> tuple[str, bool]:
        """A text as the owner of `token`, at most so many bytes of it; and whether that is all.

        Raises:
            ProblemError: The request was refused, or the server not reached.
        """
        headers, found = {"Authorization": f"Bearer {token}", "Accept": "*/*"}, bytearray()
        try:
            async with self._session.get(
                self._url + path, params=query, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                while len(found) <= most and (chunk := await answer.content.read(_CHUNK)):
                    found += chunk
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(type(error).__name__) from None
        if status >= 300:
            decoded = decode_any(bytes(found))
            raise from_kubernetes(status, decoded if isinstance(decoded, dict) else {})
        return found[:most].decode(errors="replace"), len(found) <= most

    @asynccontextmanager
    async def reading(self, token: str, path: str, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a text as the owner of `token`, as they come: however long it is, little of it is in memory.

        Raises:
            ProblemError: The request was refused, or the server not reached.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout.total, sock_read=self._timeout.total)
        headers = {"Authorization": f"Bearer {token}", "Accept": "*/*"}
        try:
            async with self._session.get(
                self._url + path, params=query, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status >= 300:
                    decoded = decode_any(await answer.content.read(_CHUNK))
                    raise from_kubernetes(answer.status, decoded if isinstance(decoded, dict) else {})
                yield _lines(answer.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(type(error).__name__) from None

    async def watch(self, token: str, path: str, query: Mapping[str, str], seconds: float) -> AsyncIterator[Any]:
        """Events (`type`, `object`) of a watch as the owner of `token`, until it ends or the seconds are over.

        Raises:
            ProblemError: The request was refused, or the server not reached.
        """
        async with self.watching(token, path, query, seconds) as events:
            async for event in events:
                yield event

    @asynccontextmanager
    async def watching(
        self, token: str, path: str, query: Mapping[str, str], seconds: float, decode: Decode = decode_any
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """As `watch`; entering it tells whether the watch is allowed, also when no event ever comes.

        Raises:
            ProblemError: The request was refused, or the server not reached.
        """
        wanted = {**query, "watch": "true", "timeoutSeconds": str(int(seconds) + 1)}
        timeout = aiohttp.ClientTimeout(total=seconds)
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self._session.get(
                self._url + path, params=wanted, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    decoded = decode_any(await answer.read())
                    raise from_kubernetes(answer.status, decoded if isinstance(decoded, dict) else {})
                yield _events(answer.content, decode)
        except TimeoutError:
            raise unreachable("no answer to a watch") from None
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(type(error).__name__) from None


async def _events(stream: aiohttp.StreamReader, decode: Decode) -> AsyncIterator[Any]:
    """The events of a watch, until its time is over.

    Raises:
        ProblemError: The connection broke.
    """
    try:
        async for line in _lines(stream):
            yield decode(line)
    except TimeoutError:
        return
    except (aiohttp.ClientError, OSError) as error:
        raise unreachable(type(error).__name__) from None


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to a limit (the reader's own limit is shorter than an event may be)."""
    rest = bytearray()
    while chunk := await stream.read(_CHUNK):
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            yield bytes(rest[:end])
            del rest[: end + 1]
        if len(rest) > _MAX_EVENT:
            return
