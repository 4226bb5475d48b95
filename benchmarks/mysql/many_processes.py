"""Runners as processes: memory, connections to the server and readers of its log, for one selection and for runners of one table each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer
from tests.servers.ports import free_port

RUNNER = Path(sys.executable).parent / "connector-runner"
PATIENCE = 300.0
SETTLING = 5.0
"""Seconds that a runner follows an idle log before its memory is read."""


class RunnerProcess:
    """A runner by hand."""

    def __init__(self, server: DatabaseServer, folder: Path, name: str, selected: dict[str, Any]) -> None:
        config = {"host": server.host, "port": server.port, "user": ADMIN_USER, "password": ADMIN_PASSWORD}
        spec = {"connectorType": "MYSQL", "datasetId": name, "config": config, "status": "running", **selected}
        manifest = folder / f"{name}.yaml"
        documents = (
            {"apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": name}, "spec": spec},
            {"apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": name},
             "spec": {"url": f"sqlite:///{folder}/{name}.db"}},
        )  # fmt: skip
        manifest.write_text("\n---\n".join(map(json.dumps, documents)))
        self._port = free_port()
        self._log = (folder / f"{name}.log").open("wb")
        command = [str(RUNNER), "run", "-f", str(manifest), "--probe-address", f"127.0.0.1:{self._port}"]
        self._process = subprocess.Popen(command, cwd=folder, stdout=self._log, stderr=self._log)

    def is_ready(self) -> bool:
        """Whether it is connected and commits.

        Raises:
            RuntimeError: It has ended.
        """
        if self._process.poll() is not None:
            raise RuntimeError(Path(self._log.name).read_text()[-2000:])
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def megabytes(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        self._log.close()


def _settled(runners: Sequence[RunnerProcess]) -> float:
    """The memory of all of them, once all follow the log."""
    deadline = time.monotonic() + PATIENCE
    while not all(runner.is_ready() for runner in runners):
        if time.monotonic() > deadline:
            raise RuntimeError("a runner is not ready")
        time.sleep(0.2)
    time.sleep(SETTLING)
    return sum(runner.megabytes for runner in runners)


def _connections(server: DatabaseServer) -> dict[str, int]:
    """Connections beside the one that asks, and those among them that read the log."""
    rows = server.query(
        "SELECT COMMAND FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER <> 'event_scheduler'"
    )
    commands = [row[0] for row in rows if row[0] != "Daemon"]
    return {"connections": len(commands), "log readers": sum(command.startswith("Binlog Dump") for command in commands)}


def measure_processes(server: DatabaseServer, tables: Sequence[str], singles: int, folder: Path) -> dict[str, float]:
    """Memory and connections of one runner with all tables, and of some runners with one table each."""
    many = RunnerProcess(server, folder, "many", {"streams": {"include": ["d.*"]}})
    try:
        found: dict[str, float] = {"MB, many": _settled([many]), **_connections(server)}
    finally:
        many.stop()
    alone = [
        RunnerProcess(server, folder, f"one{n}", {"selectedStream": table}) for n, table in enumerate(tables[:singles])
    ]
    try:
        found["MB, alone"] = _settled(alone) / len(alone)
        found["log readers, alone"] = _connections(server)["log readers"] / len(alone)
    finally:
        for runner in alone:
            runner.stop()
    found["cores"] = os.cpu_count() or 0
    return found
