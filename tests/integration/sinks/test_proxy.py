"""The HTTP sink through the proxy that the environment names, as a runner with `spec.runner.env` has it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from connector_runner.protocols.errors import TransientError
from connector_runner.sinks.http.client import Client
from connector_runner.sinks.http.proxy import proxy_for
from tests.simulators.record_server import TOKEN, RecordServer


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[RecordServer]:
    server = RecordServer(("id",))
    yield server
    server.close()


def test_http_is_asked_of_the_proxy_by_the_whole_url(monkeypatch: pytest.MonkeyPatch, server: RecordServer) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url.partition("?")[0].rpartition("/")[0])
    client = Client(f"http://records.invalid/records?token={TOKEN}")
    client.post(b'[{"id": 1}]', {"duplicateKeyHandling": "replace"}, {"Content-Type": "application/json"})
    client.close()
    assert len(server.rows) == 1


def test_https_goes_through_a_tunnel_with_the_proxys_login(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@127.0.0.1:{listener.getsockname()[1]}")
    with pytest.raises(TransientError, match="407"):
        Client("https://records.invalid/records").post(b"[]", {}, {})
    thread.join()
    listener.close()
    assert heard[0].startswith(b"CONNECT records.invalid:443 ")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in heard[0]


@pytest.mark.parametrize(
    ("url", "environment", "host"),
    [
        ("http://h/x", {}, None),
        ("http://h/x", {"HTTP_PROXY": "http://p:3128"}, "p"),
        ("http://h/x", {"HTTP_PROXY": "p:3128"}, "p"),
        ("https://h/x", {"HTTP_PROXY": "http://p:3128"}, None),
        ("https://h.svc/x", {"HTTPS_PROXY": "http://p", "NO_PROXY": ".svc,other"}, None),
        ("https://h:8443/x", {"HTTPS_PROXY": "http://p", "NO_PROXY": "h"}, None),
        ("https://h/x", {"HTTPS_PROXY": "socks5://p"}, None),
    ],
)
def test_which_proxy(monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], host: str | None) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(urlsplit(url))
    assert (found.host if found is not None else None) == host
