"""Requests to the API server as whoever types the command; answers are plain JSON, refusals are sentences."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3

from connector_operator.kubectl.kubeconfig import find_paths, read_access
from connector_operator.kubectl.login import Session, open_session
from connector_operator.kubectl.refusals import Call, RefusedError, build_refusal, build_unreachable

MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
CONNECT_SECONDS, READ_SECONDS = 10, 60
UNAUTHORIZED = 401

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Login:
    """Which cluster, and as whom: what kubectl's own flags say.

    Attributes:
        kubeconfig, context: "" for the default.
        acting_as: A user to impersonate; "" for oneself.
    """

    kubeconfig: str = ""
    context: str = ""
    acting_as: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        seconds: How long the server may be silent.
        kind: Of the body.
        most_bytes: How long an answer may be that is read as a whole; None: as long as it likes.
    """

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: Any = None
    kind: str = "application/json"
    accept: str = "application/json"
    seconds: float = READ_SECONDS
    most_bytes: int | None = None


class Transport:
    """Sends requests with the credentials of a kubeconfig's context."""

    def __init__(self, login: Login) -> None:
        """Reads the kubeconfig; nothing is sent yet.

        Raises:
            RefusedError: There is none, it lacks the context, or its credentials can't be read.
        """
        self._access = read_access(find_paths(login.kubeconfig, os.environ), login.context)
        self._acting_as = login.acting_as
        self.context, self.namespace, self._host = self._access.context, self._access.namespace, self._access.server
        self._session: Session = open_session(self._access, login.acting_as)

    def read_json(self, call: Call, request: Request) -> Json:
        """The answer as JSON.

        Raises:
            RefusedError: As the text says.
        """
        try:
            found: Json = msgspec.json.decode(self.read_bytes(call, request))
        except msgspec.DecodeError as error:
            raise self._build_unreachable(error) from None
        return found

    def read_bytes(self, call: Call, request: Request) -> bytes:
        """The answer as it is.

        Raises:
            RefusedError: As the text says.
        """
        response = self._request(call, request)
        try:
            if request.most_bytes is None:
                return response.data
            data = response.read(request.most_bytes + 1, decode_content=True)
            if len(data) > request.most_bytes:
                response.close()
                raise RefusedError(
                    f"The answer of {call.resource} {call.name} is longer than {request.most_bytes} bytes."
                )
            return data
        except urllib3.exceptions.HTTPError as error:
            raise self._build_unreachable(error) from None

    def read_lines(self, call: Call, request: Request, *, with_rest: bool = True) -> Iterator[str]:
        """The lines of an answer that goes on, without their ends; `with_rest` also what stands behind the last end.

        Raises:
            RefusedError: As the text says.
        """
        response, rest = self._request(call, request), b""
        try:
            for part in response.stream(65_536):
                *lines, rest = (rest + part).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
        except urllib3.exceptions.HTTPError as error:
            raise self._build_unreachable(error) from None
        finally:
            response.close()
        if rest and with_rest:
            yield rest.decode(errors="replace")

    def _request(self, call: Call, request: Request) -> urllib3.BaseHTTPResponse:
        try:
            response = self._send(request)
            if response.status == UNAUTHORIZED and self._session.is_renewable:  # a token ends while a watch goes on
                self._session = open_session(self._access, self._acting_as)
                response = self._send(request)
            if response.status >= 400:
                raise build_refusal(call, response.status, response.data.decode(errors="replace"))
        except urllib3.exceptions.HTTPError as error:
            raise self._build_unreachable(error) from None
        return response

    def _build_unreachable(self, error: Exception) -> RefusedError:
        is_silent = isinstance(error, urllib3.exceptions.ReadTimeoutError)
        return build_unreachable(self._host, self.context, str(error), is_silent=is_silent)

    def _send(self, request: Request) -> urllib3.BaseHTTPResponse:
        headers = self._session.headers.copy()
        headers |= {"Accept": request.accept, "Accept-Encoding": "gzip"}
        if request.body is not None:
            headers["Content-Type"] = request.kind
        return self._session.pool.request(
            request.method,
            f"{self._host}{request.path}{'?' if request.query else ''}{urlencode(request.query)}",
            headers=headers,
            body=None if request.body is None else json.dumps(request.body).encode(),
            preload_content=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=request.seconds),
        )
