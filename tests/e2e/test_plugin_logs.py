"""`connectors logs -f` through a way to the API server that breaks, ends in the middle of a line, or goes silent without closing."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from connector_operator.kubectl import cluster as asked
from connector_operator.kubectl.cluster import Cluster, Login
from connector_operator.kubectl.logs import follow_logs
from tests.kit.cluster import ROOT
from tests.localkube.cluster import LocalKube
from tests.localkube.plugin import default_images

NAME, COUNT = "chatty", 6000
LABELS = {"apperate.io/connector": NAME, "apperate.io/role": "runner", "apperate.io/run": "1"}
SCRIPT = f"import time\nfor n in range({COUNT}):\n  print(n, 'é' * (n % 97))\n  if n % 20 == 0: time.sleep(0.05)\nprint('done')"
WAYS = ("breaks", "ends", "goes silent")
pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(600),
    pytest.mark.skipif("CONNECTOR_TEST_KUBECONFIG" in os.environ, reason="needs a cluster of its own"),
]


class BadWay:
    """Forwards to a server; each of the first connections stops forwarding after so many bytes of answers, each in another way."""

    def __init__(self, port: int, stops: list[tuple[int, str]]) -> None:
        self._target, self._stops = ("127.0.0.1", port), stops
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.stopped: list[str] = []
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(self._target)
            self._kept += [ours, theirs]
            stop = self._stops.pop(0) if self._stops else None
            threading.Thread(target=self._forward, args=(ours, theirs, None), daemon=True).start()
            threading.Thread(target=self._forward, args=(theirs, ours, stop), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, stop: tuple[int, str] | None) -> None:
        left, way = stop or (-1, "")
        try:
            while piece := source.recv(4096):
                sink.sendall(piece)
                left -= len(piece)
                if stop and left <= 0:
                    self.stopped.append(way)
                    break
            if way == "goes silent" and left <= 0:
                return
            if way == "breaks":
                sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._kept):
            each.close()


@pytest.fixture
def chatty(tmp_path: Path) -> Iterator[LocalKube]:
    """A cluster without an operator, with a connector that is not asked to run, and a pod of it that says much."""
    local = LocalKube.start(tmp_path / "cluster", default_images())
    try:
        local.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
        local.kubectl("wait", "--for=condition=Established", "crd/connectors.apperate.io", "--timeout=60s")
        spec = {"connectorType": "COINBASE", "datasetId": "rows", "config": {"productId": ["BTC-USD"]}}
        head = {"apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": NAME}}
        local.kubectl("apply", "-n", "default", "-f", "-", input=json.dumps({**head, "spec": spec}))
        container = {"name": "runner", "image": "python:test", "args": ["-c", SCRIPT]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{NAME}-1", "labels": LABELS}}
        pod["spec"] = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
        local.kubectl("apply", "-n", "default", "-f", "-", input=json.dumps(pod))
        local.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].started}=true", f"pod/{NAME}-1")
        yield local
    finally:
        local.stop()


def test_no_line_is_lost_and_none_comes_twice(
    chatty: LocalKube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(asked, "SILENT_LOG_SECONDS", 3)
    config = yaml.safe_load(chatty.kubeconfig.read_text())
    server = config["clusters"][0]["cluster"]
    way = BadWay(int(server["server"].rpartition(":")[2]), [(30_000 + 7_001 * n, WAYS[n % 3]) for n in range(9)])
    server["server"] = f"https://127.0.0.1:{way.port}"
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    try:
        follow_logs(Cluster(Login(str(path))), "default", NAME)
    finally:
        way.close()
    said = capsys.readouterr()
    assert said.out.splitlines() == [*(f"{n} {'é' * (n % 97)}" for n in range(COUNT)), "done"]
    assert set(way.stopped) == set(WAYS), way.stopped
    assert said.err.count("--- execution 1") == 2, said.err
    assert said.err.rstrip().endswith("is not asked to run, so no execution follows")
