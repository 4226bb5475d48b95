"""Helpers for tests of the HTTP API: the API as a process, accounts with tokens, and requests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.localkube.cluster import Cluster

OPERATOR_COMMAND = str(Path(sys.executable).with_name("connector-operator"))
CONNECTORS = ("connectors.apperate.io", ("get", "list", "watch", "create", "patch", "delete"))
SECRETS = ("secrets", ("get", "create", "delete"))
COINBASE = {"connectorType": "COINBASE", "datasetId": "rows", "wait": True}
CONFIG = {"url": "wss://exchange.invalid", "productId": ["BTC-USD"]}


class Answer(NamedTuple):
    """A response: its status, and its JSON (None if it has none)."""

    status: int
    body: Any


class Api:
    """The API at an address, with one token for all calls."""

    def __init__(self, url: str, health: str, token: str, log: Path, pid: int) -> None:
        self.url = url
        self.health = health
        self.token = token
        self.log = log
        self.pid = pid
        self._pool = urllib3.PoolManager(maxsize=128, block=False)

    def as_caller(self, token: str) -> Api:
        return Api(self.url, self.health, token, self.log, self.pid)

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Answer:
        """Makes one call; `path` follows `/v1/connectors`."""
        # The API may close a kept connection just when it is used again.
        sent = {"Content-Type": "application/json", "Connection": "close"} | {
            k.replace("_", "-"): v for k, v in headers.items()
        }
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
        answer = self._pool.request(
            method, f"{self.url}/v1/connectors{path}", body=data, headers=sent, retries=False, timeout=120
        )
        try:
            return Answer(answer.status, json.loads(answer.data))
        except ValueError:
            return Answer(answer.status, None)

    def create(self, name: str, config: dict[str, Any] | None = None, **fields: Any) -> Answer:
        return self.call("POST", f"/connector/{name}", COINBASE | {"config": config or CONFIG} | fields)

    def put(self, name: str, **fields: Any) -> Answer:
        return self.call("PUT", f"/connector/{name}", fields)

    def read(self, name: str, query: str = "") -> Answer:
        return self.call("GET", f"/connector/{name}{query}")

    def delete(self, name: str) -> Answer:
        return self.call("DELETE", f"/connector/{name}")


@contextmanager
def serving(kubeconfig: Path, namespace: str, folder: Path, *options: str, scheme: str = "http") -> Iterator[Api]:
    """`connector-operator api` as a separate process, on free ports."""
    log = folder / f"api-{namespace}.log"
    listen = ("--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0")
    command = [OPERATOR_COMMAND, "api", "--namespace", namespace, *listen, *options]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, env={**os.environ, "KUBECONFIG": str(kubeconfig)})
    try:
        ports = _find_ports(process, log)
        urls = f"{scheme}://127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['health_port']}"
        yield Api(*urls, "", log, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
    assert process.returncode == 0, log.read_text()


def _find_ports(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        lines = (line for line in log.read_text().splitlines(keepends=True) if line.endswith("}\n"))
        if found := next((entry for entry in map(json.loads, lines) if "health_port" in entry), None):
            return dict(found)
        time.sleep(0.05)
    raise AssertionError(f"the API did not start: {log.read_text()}")


def write_kubeconfig(path: Path, url: str, authority: str = "") -> Path:
    """A kubeconfig without credentials: the API needs no more."""
    server = {"server": url} | ({"certificate-authority": authority} if authority else {})
    kinds = {
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "c", **kinds}))
    return path


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    certificate, secret = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(made.public_bytes(pem))
    secret.write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
    return certificate, secret


def make_account(
    cluster: Cluster,
    namespace: str,
    name: str,
    rights: Sequence[tuple[str, Sequence[str]]] = (CONNECTORS, SECRETS),
    only: Sequence[str] = (),
) -> str:
    """Creates a service account with its own Role; returns a token. `only` limits the Role to resources with these names."""
    cluster.kubectl("-n", namespace, "create", "serviceaccount", name)
    for number, (resource, verbs) in enumerate(rights):
        role = f"{name}-{number}"
        names = [f"--resource-name={one}" for one in only]
        cluster.kubectl(
            "-n", namespace, "create", "role", role, f"--verb={','.join(verbs)}", f"--resource={resource}", *names
        )
        account = f"--serviceaccount={namespace}:{name}"
        cluster.kubectl("-n", namespace, "create", "rolebinding", role, f"--role={role}", account)
    token: str = cluster.kubectl("-n", namespace, "create", "token", name, "--duration=1h").strip()
    return token


def resident_mebibytes(pid: int) -> int:
    """The peak memory of a process."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def connect(api: Api, receive: int = 0) -> socket.socket:
    """A connection to the API; `receive` is the size of the kernel's receive buffer in bytes (0: the default)."""
    address = urlsplit(api.url)
    connection = socket.socket()
    connection.settimeout(120)
    if receive:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    connection.connect((str(address.hostname), int(address.port or 0)))
    return connection


def speak(api: Api, data: bytes, more: Sequence[bytes] = ()) -> bytes:
    """Sends bytes, and more until the API stops accepting them; reads until it closes the connection."""
    answer = b""
    with connect(api) as connection:
        with suppress(ConnectionError):
            connection.sendall(data)
            for part in more:
                connection.sendall(part)
        with suppress(ConnectionError):
            while chunk := connection.recv(65_536):
                answer += chunk
    return answer
