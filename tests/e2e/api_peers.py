"""Neighbours of the HTTP API that fail: a proxy that loses responses, a webhook that refuses, a server that does not respond."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import urllib3
from kubernetes import client, config

from tests.kit.http_api import make_certificate, write_kubeconfig
from tests.localkube.cluster import Cluster


class Peer(BaseHTTPRequestHandler):
    """Answers by a function of method, path and body; None ends the connection without an answer."""

    answer: Reply

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = type(self).answer(self.command, self.path, body, dict(self.headers))
        self.close_connection = True
        if answer is None:
            return
        status, content = answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class LateServer(ThreadingHTTPServer):
    """Takes its time before it says a first word on a connection, the TLS handshake included."""

    delay = 0.0  # seconds

    def get_request(self) -> tuple[Any, Any]:
        time.sleep(self.delay)
        return super().get_request()


Reply = Callable[[str, str, bytes, dict[str, str]], tuple[int, bytes] | None]


@contextmanager
def peer(answer: Reply, secure: ssl.SSLContext | None = None, delay: float = 0.0) -> Iterator[int]:
    """An HTTP server that answers so; yields its port."""
    handler = type("Handler", (Peer,), {"answer": staticmethod(answer)})
    with LateServer(("127.0.0.1", 0), handler) as server:
        server.delay = delay
        if secure is not None:
            server.socket = secure.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def lossy_proxy(cluster: Cluster, folder: Path, is_lost: Callable[[str, str, int], bool]) -> Iterator[Path]:
    """A way to the cluster on which some answers (to method and path, with a status) get lost; yields its kubeconfig."""
    settings = client.Configuration()
    load: Any = config.load_kube_config
    load(str(cluster.kubeconfig), client_configuration=settings)
    with urllib3.PoolManager(ca_certs=settings.ssl_ca_cert) as pool:

        def carry(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes] | None:
            kept = {name: text for name, text in headers.items() if name in {"Authorization", "Content-Type"}}
            answer = pool.request(method, settings.host + path, body=body or None, headers=kept, retries=False)
            return None if is_lost(method, path, answer.status) else (answer.status, answer.data)

        with peer(carry) as port:
            yield write_kubeconfig(folder / "lossy.kubeconfig", f"http://127.0.0.1:{port}")


@contextmanager
def refusing_webhook(folder: Path, refusal: dict[str, Any]) -> Iterator[tuple[str, bytes, list[str]]]:
    """An admission webhook that refuses all; yields its URL, its authority, and the names of what it was asked about."""
    asked: list[str] = []

    def refuse(_method: str, _path: str, body: bytes, _headers: dict[str, str]) -> tuple[int, bytes]:
        review = json.loads(body)
        asked.append(review["request"]["name"])
        response = {"uid": review["request"]["uid"], "allowed": False, "status": refusal}
        return 200, json.dumps(review | {"response": response}).encode()

    certificate, secure = prepare_tls(folder)
    with peer(refuse, secure) as port:
        yield f"https://127.0.0.1:{port}/", certificate.read_bytes(), asked


def prepare_tls(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority, and what a server with its certificate needs."""
    certificate, key = make_certificate(folder)
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(certificate, key)
    return certificate, secure


@contextmanager
def late_server(folder: Path, delay: float) -> Iterator[Path]:
    """An API server without connectors that needs some seconds for each handshake; yields its kubeconfig."""

    def deny(*_: Any) -> tuple[int, bytes]:
        return 404, b'{"kind": "Status", "message": "not found"}'

    certificate, secure = prepare_tls(folder)
    with peer(deny, secure, delay) as port:
        yield write_kubeconfig(folder / "late.kubeconfig", f"https://127.0.0.1:{port}", str(certificate))


@contextmanager
def silent_server(folder: Path) -> Iterator[Path]:
    """An API server that takes connections and says nothing; yields its kubeconfig."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield write_kubeconfig(folder / "silent.kubeconfig", f"http://127.0.0.1:{listener.getsockname()[1]}")
