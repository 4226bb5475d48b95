"""An HTTP gateway before a server: drops headers of requests, or loses an answer that the server has given."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self
from urllib.parse import unquote


class Gateway:
    """Forwards to a server on this machine.

    Args:
        port: The server's port.
        without: Names of request headers that are dropped, in lower case.

    Attributes:
        lost: How many answers were lost.
    """

    def __init__(self, port: int, without: Sequence[str] = ()) -> None:
        self.lost = 0
        self._target = port
        self._without = frozenset(without)
        self._to_lose: tuple[str, str, Callable[[], None]] | None = None
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"gateway": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def lose_next(self, method: str, path: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """The answer to the next request of this method whose path has this part is lost; the server has carried it out.

        Args:
            method: As in `PUT`.
            path: A part of the path.
            meanwhile: Is done before the client notices.
        """
        with self._lock:
            self._to_lose = (method, path, meanwhile)

    def loses(self, method: str, path: str) -> bool:
        """Whether the answer to this request is lost."""
        with self._lock:
            if self._to_lose is None or self._to_lose[0] != method or self._to_lose[1] not in unquote(path):
                return False
            meanwhile, self._to_lose = self._to_lose[2], None
            self.lost += 1
        meanwhile()
        return True

    def forward(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server answers."""
        sent = {name: value for name, value in headers.items() if name.lower() not in self._without}
        connection = http.client.HTTPConnection("127.0.0.1", self._target, timeout=60)
        try:
            is_chunked = "chunked" in (headers.get("transfer-encoding") or "")
            connection.request(method, path, iter([body]) if is_chunked else body, sent, encode_chunked=is_chunked)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gateway: Gateway

    def _read_body(self) -> bytes:
        if "chunked" not in (self.headers.get("transfer-encoding") or ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            """What follows the last piece says nothing that the server needs."""
        return b"".join(pieces)

    def _handle(self) -> None:
        body = self._read_body()
        status, headers, answer = self.gateway.forward(self.command, self.path, self.headers, body)
        if self.gateway.loses(self.command, self.path):
            self.close_connection = True
            return
        self.send_response_only(status)
        has_body = self.command != "HEAD" and status not in {204, 304}
        for name, value in headers:
            if name.lower() not in {"transfer-encoding", "connection"} and (
                name.lower() != "content-length" or not has_body
            ):
                self.send_header(name, value)
        if has_body:
            self.send_header("content-length", str(len(answer)))
        self.end_headers()
        if has_body:
            with suppress(OSError):  # a client that has seen enough
                self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815 - the base class wants these names

    def log_message(self, *_: object) -> None:
        """Says nothing."""
