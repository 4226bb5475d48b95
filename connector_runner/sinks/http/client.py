"""One POST and the meaning of its response."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import msgspec

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.protocols.errors import ActionRequiredError, InvalidConfigError, TransientError
from connector_runner.resilience.retry_after import parse_retry_after
from connector_runner.sinks.http.proxy import proxy_for

SECONDS = 60.0
# Connecting can't be interrupted, so it must end within the time that a runner has to shut down.
CONNECT_SECONDS = 5.0
LONGEST_WAIT = 600.0
REFUSING = {400, 409, 413, 422}
LATER = {408, 423, 425, 429}


class ConflictError(RefusedError):
    """409: the rows are refused; or the server still works on an earlier request with the same idempotency key."""


def _split(url: str) -> SplitResult:
    """The URL's parts; the message never repeats them.

    Raises:
        InvalidConfigError: It has no host, or its port is not valid.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            return parts
    raise InvalidConfigError(["dataset.url: expected http(s)://host/path"], reason="InvalidDataset")


def basic_authorization(parts: SplitResult) -> dict[str, str]:
    """The header for `user:password@` in a URL; empty if the URL has none."""
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


class Client:
    """A persistent connection to one dataset; used by one thread, may be aborted by any.

    Args:
        url: The dataset's URL.
        leaving: Set before `abort`: nothing more is sent, and pauses end at once.
    """

    def __init__(self, url: str, leaving: threading.Event | None = None) -> None:
        self._parts = _split(url)
        self.where = f"{self._parts.scheme}://{self._parts.hostname}{self._parts.path}"
        self._authorization = basic_authorization(self._parts)
        self._proxy = proxy_for(self._parts)
        self._connection: http.client.HTTPConnection | None = None
        self._leaving = leaving or threading.Event()

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._parts.hostname or "", self._parts.port
            proxy = self._proxy
            where = (proxy.host, proxy.port) if proxy is not None else (host, port)
            if self._parts.scheme == "https":
                context = ssl.create_default_context()
                fresh: http.client.HTTPConnection = http.client.HTTPSConnection(
                    *where, timeout=CONNECT_SECONDS, context=context
                )
                if proxy is not None:
                    fresh.set_tunnel(host, port or 443, proxy.headers)
            else:
                fresh = http.client.HTTPConnection(*where, timeout=CONNECT_SECONDS)
            fresh.connect()
            fresh.sock.settimeout(SECONDS)
            self._connection = fresh
        return self._connection

    def pause(self, seconds: float) -> None:
        """Waits between two attempts."""
        self._leaving.wait(seconds)

    def abort(self) -> None:
        """May be called from any thread: a request or wait in progress ends with `TransientError` at once."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def post(self, body: bytes, parameters: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Sends the body, and returns when the server confirms that it has it.

        Raises:
            TransientError: Unreachable, 429, 5xx; with the time that the server asked to wait.
            RefusedError: The rows are the cause (400, 409, 413, 422, or `"success": false`).
            ActionRequiredError: The URL or its token is wrong.
        """
        query = urlencode([*parse_qsl(self._parts.query), *parameters.items()])
        try:
            connection = self._connect()
            if self._leaving.is_set():
                raise ConnectionAbortedError("the runner is leaving")
            connection.request(
                "POST", f"{self._place()}?{query}", body, {**self._proxy_headers(), **self._authorization, **headers}
            )
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise TransientError(
                f"dataset {self.where}: {type(error).__name__}: {error}", reason="DatasetUnavailable"
            ) from None
        if answer.will_close:
            self.close()
        self._check_status(answer.status, text, answer.getheader("Retry-After"))

    def options(self) -> int:
        """Asks what the URL allows, which changes nothing; returns the status, whatever it is.

        Raises:
            TransientError: Nobody answers.
        """
        try:
            connection = self._connect()
            connection.request("OPTIONS", self._place(), headers={**self._proxy_headers(), **self._authorization})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise TransientError(
                f"dataset {self.where}: {type(error).__name__}: {error}", reason="DatasetUnavailable"
            ) from None
        return answer.status

    def _place(self) -> str:
        """The request target: the path; for a proxy the whole URL."""
        path = self._parts.path or "/"
        if self._proxy is None or self._parts.scheme == "https":
            return path
        return f"http://{self._parts.netloc.rpartition('@')[2]}{path}"

    def _proxy_headers(self) -> dict[str, str]:
        """The headers for the proxy; none inside a tunnel."""
        return self._proxy.headers if self._proxy is not None and self._parts.scheme == "http" else {}

    def _check_status(self, status: int, text: bytes, after: str | None) -> None:
        said = f"{status} {text[:300].decode(errors='replace')}"
        if 200 <= status < 300:
            if _success(text):
                return
            raise RefusedError(said)
        if status in REFUSING:
            raise (ConflictError if status == HTTPStatus.CONFLICT else RefusedError)(said)
        if status in LATER or status >= 500:
            wait = parse_retry_after(after, dt.datetime.now(dt.UTC), longest=LONGEST_WAIT)
            raise TransientError(f"dataset {self.where} answers {said}", reason="DatasetUnavailable", retry_after=wait)
        raise ActionRequiredError(
            f"dataset {self.where} answers {said}; check its URL and token", reason="DatasetError"
        )

    def close(self) -> None:
        """Closes the connection; the next POST opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _success(text: bytes) -> bool:
    try:
        answer = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return True
    return not isinstance(answer, dict) or answer.get("success") is not False
