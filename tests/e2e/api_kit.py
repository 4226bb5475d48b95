"""What the tests of the HTTP API need: the API as a process, accounts with tokens, and requests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from tests.localkube.cluster import Cluster

OPERATOR_COMMAND = str(Path(sys.executable).with_name("connector-operator"))
CONNECTORS = ("connectors.apperate.io", ("get", "list", "watch", "create", "patch", "delete"))
SECRETS = ("secrets", ("get", "create", "delete"))
COINBASE = {"connectorType": "COINBASE", "datasetId": "rows", "wait": True}
CONFIG = {"url": "wss://exchange.invalid", "productId": ["BTC-USD"]}


class Answer(NamedTuple):
    """An answer: its status, and its JSON (None for none)."""

    status: int
    body: Any


class Api:
    """The API at an address, called with one token."""

    def __init__(self, url: str, token: str = "", log: Path | None = None, pid: int = 0) -> None:
        self.url = url
        self.token = token
        self.log = log
        self.pid = pid
        self._pool = urllib3.PoolManager(maxsize=128, block=False)

    def as_caller(self, token: str) -> Api:
        return Api(self.url, token, self.log, self.pid)

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Answer:
        """One call; `path` follows `/v1/connectors`."""
        # A kept connection may be closed by the API just when it is used again.
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
def serving(cluster: Cluster, namespace: str, folder: Path, *options: str) -> Iterator[Api]:
    """`connector-operator api` as a process of its own, on a free port."""
    log = folder / f"api-{namespace}.log"
    command = [OPERATOR_COMMAND, "api", "--namespace", namespace, "--listen", "127.0.0.1:0", *options]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)})
    try:
        yield Api(f"http://127.0.0.1:{_find_port(process, log)}", log=log, pid=process.pid)
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
    assert process.returncode == 0, log.read_text()


def _find_port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r'"port": (\d+)', log.read_text()):
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(f"the API did not start: {log.read_text()}")


def make_account(
    cluster: Cluster,
    namespace: str,
    name: str,
    rights: Sequence[tuple[str, Sequence[str]]] = (CONNECTORS, SECRETS),
    only: Sequence[str] = (),
) -> str:
    """A service account with a Role of its own; returns a token. `only` limits the Role to resources of these names."""
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
