"""Clients of the HTTP API that send what they should not, or too slowly, or do not read; the cluster is never asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from tests.e2e.api_peers import silent_server
from tests.kit.http_api import CONFIG, Api, connect, resident_mebibytes, serving, speak
from tests.localkube.cluster import eventually

MOST = 65_536


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of a cluster that says nothing."""
    with silent_server(tmp_path_factory.mktemp("silent")) as kubeconfig:
        yield kubeconfig


@pytest.fixture(scope="module")
def api(silent: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API, called with something that may be a token."""
    with serving(silent, "any", tmp_path_factory.mktemp("api"), "--max-body", str(MOST)) as api:
        yield api.as_caller("token")


BAD_NAMES = [
    "a.b",
    "a%2Fb",
    "a/b",
    "..%2Fx",
    "%2e%2e",
    "a" * 300,
    "%C3%A9",
    "a%00",
    "a%0A",
    "-",
    "_-_",
    "a%252Fb",
    "a b",
    "%F0%9F%8D%8B",
]


@pytest.mark.parametrize("name", [*BAD_NAMES, ""])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_bad_name_is_a_400(api: Api, method: str, name: str) -> None:
    """With a socket, because clients normalize paths."""
    body = json.dumps({"connectorType": "COINBASE", "config": CONFIG, "wait": True}).encode()
    head = f"{method} /v1/connectors/connector/{name.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    assert status_of(speak(api, head.encode() + body)) == 400


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_bodies_that_are_none(api: Api) -> None:
    def post(raw: bytes, **headers: str) -> int:
        return api.call("POST", "/connector/body", raw=raw, **headers).status

    assert post(b"{") == post(b"") == post(b"[]") == post(b'"x"') == post(b'{"a": NaN}') == post(b"\xff") == 400
    assert post(b"[" * 50_000) == 400
    assert post(b"{}", Content_Type="application/x-www-form-urlencoded") == 415
    assert post(b"\x1f\x8b", Content_Encoding="gzip") == 415
    assert post(b" " * (MOST + 1)) == 413
    assert api.call("PATCH", "/connector/body").status == 405
    assert api.read("body", "?displayConfigs=maybe").status == 400


def test_slow_and_broken_clients_are_let_go(silent: Path, tmp_path: Path) -> None:
    with serving(silent, "any", tmp_path, "--client-timeout", "3") as served, ThreadPoolExecutor(4) as pool:
        strict = served.as_caller("token")
        head = f"POST /v1/connectors/connector/slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {strict.token}\r\n"
        head += "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        body = pool.submit(speak, strict, head.encode())  # the rest never comes
        headers = pool.submit(speak, strict, b"GET /v1/connectors HTTP/1.1\r\nHost: x\r\n")
        nothing = pool.submit(speak, strict, b"")
        endless = pool.submit(speak, strict, b"GET /v1/" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(body.result()) == 408
        assert headers.result() == nothing.result() == b""
        assert status_of(endless.result()) in {400, 414}
        assert status_of(speak(strict, b"not http at all\r\n\r\n")) == 400
        assert strict.call("GET", "").status == 200


def test_clients_that_hold_all_connections_are_let_go(silent: Path, tmp_path: Path) -> None:
    """They ask again and again and read nothing; probes are answered all the while."""
    ask = b"GET /v1/connectors HTTP/1.1\r\nHost: x\r\n\r\n" * 2000  # more than the kernel keeps of the answers
    options = ("--client-timeout", "3", "--max-connections", "8")
    with serving(silent, "any", tmp_path, *options) as strict, ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(connect(strict, receive=4096))
            connection.sendall(ask)
            connection.recv(1)
        refused = speak(strict, b"")
        assert status_of(refused) == 503
        assert b"too many connections" in refused
        assert b"Retry-After: 1" in refused
        assert urllib3.request("GET", f"{strict.health}/healthz", retries=False).data == b"ok\n"
        eventually(lambda: strict.call("GET", "").status == 200, what="there is room again")


def test_long_bodies_are_not_kept(api: Api) -> None:
    """Forty clients send 8 MiB each at the same time without a Content-Length: the memory of the process stays small."""
    head = f"POST /v1/connectors/connector/long HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    before = resident_mebibytes(api.pid)
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: speak(api, head.encode(), [chunk] * 128), range(40)))
    # An answer may be lost when the API closes the connection while the client still sends.
    assert {status_of(answer) for answer in answers if answer} == {413}
    assert resident_mebibytes(api.pid) - before < 100
    assert api.call("GET", "").status == 200
