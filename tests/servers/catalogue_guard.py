"""A gateway before a REST catalogue that lets nobody in without a token, and can misbehave as catalogues and networks do."""

from __future__ import annotations

import json
import secrets
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers.certificates import Authority, pem_of
from tests.servers.gateway import Gateway

CLIENT, SECRET = "runner", "client-secret:not-to-be-told"
CREDENTIAL = f"{CLIENT}:{SECRET}"
JSON = [("content-type", "application/json")]
Answer = tuple[int, list[tuple[str, str]], bytes]


class CatalogueGuard(Gateway):
    """See the module.

    Args:
        port: The catalogue's port.
        folder: For its certificate; None for plain HTTP.

    Attributes:
        url: What clients ask.
        authority: The certificate authority, as PEM.
        asks: Whether a token is needed.
        asks_again: The part of a path: a commit there is asked for twice, and the second answer is given, as by a gateway that lost the first.
        is_liar: Whether it says that a commit was made which the catalogue has refused.
        moved: What stands for what in answers: the tables seem to be elsewhere.
        forbidden: The method of requests that this client may not make.
    """

    def __init__(self, port: int, folder: Path | None = None) -> None:
        super().__init__(port, without=["accept-encoding"])  # answers are looked at
        self.asks = True
        self.asks_again = ""
        self.is_liar = False
        self.moved = ("", "")
        self.forbidden = ""
        self._tokens: set[str] = set()
        self._last = b""
        self.authority = ""
        self.url = self.endpoint
        if folder is not None:
            authority, key = Authority("catalogues"), rsa.generate_private_key(65537, 2048)
            self.authority = authority.pem
            file = folder / "guard.pem"
            file.write_text(pem_of(key) + authority.sign("catalogue", key))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = self.endpoint.replace("http:", "https:")

    def expire(self) -> None:
        """No token is valid any more."""
        self._tokens.clear()

    def forward(self, method: str, path: str, headers: Any, body: bytes) -> Answer:
        """What the catalogue answers, or the gateway."""
        if path == "/v1/oauth/tokens":
            return self._give_token(parse_qs(body.decode()))
        if self.asks and (headers.get("authorization") or "").removeprefix("Bearer ") not in self._tokens:
            return _refusal(401, "NotAuthorizedException")
        if method == self.forbidden:
            return _refusal(403, "ForbiddenException")
        status, found, answer = super().forward(method, path, headers, body)
        if method == "POST" and "/tables/" in path:
            if self.asks_again and self.asks_again in path:
                status, found, answer = super().forward(method, path, headers, body)
            if status == 409 and self.is_liar:
                return 200, JSON, self._last
            self._last = answer
        there, elsewhere = self.moved
        return status, found, answer.replace(there.encode(), elsewhere.encode()) if there else answer

    def _give_token(self, asked: dict[str, list[str]]) -> Answer:
        if (asked["client_id"][0], asked["client_secret"][0]) != (CLIENT, SECRET):
            return 401, JSON, json.dumps({"error": "invalid_client"}).encode()
        token = secrets.token_hex()
        self._tokens.add(token)
        return 200, JSON, json.dumps({"access_token": token, "token_type": "bearer", "expires_in": 3600}).encode()


def _refusal(status: int, kind: str) -> Answer:
    return status, JSON, json.dumps({"error": {"message": "no", "type": kind, "code": status}}).encode()
