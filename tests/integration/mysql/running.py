"""Real `connector-runner` processes on manifests, into SQLite or PostgreSQL."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import yaml

from tests.integration.mysql.reading import PATIENCE
from tests.kit.waiting import wait_until
from tests.servers.mysqld import ADMIN_PASSWORD, ADMIN_USER, DatabaseServer


class Runner:
    """One connector, run as a process; killed and started as often as a test likes."""

    def __init__(
        self,
        folder: Path,
        server: DatabaseServer,
        stream: str,
        url: str,
        name: str,
        *,
        write_mode: str = "upsert",
        **config: Any,
    ) -> None:
        self.name, self.url = name, url
        self._folder = folder
        self._output = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.environment: dict[str, str] | None = None
        documents = [
            {
                "apiVersion": "apperate.io/v1", "kind": "Connector", "metadata": {"name": name},
                "spec": {
                    "connectorType": "MYSQL", "datasetId": name, "selectedStream": stream, "status": "running",
                    "config": {"host": server.host, "port": server.port, "user": ADMIN_USER} | config,
                    "configFrom": [{"secretRef": {"name": "login"}}],
                },
            },
            {"apiVersion": "apperate.io/v1", "kind": "Dataset", "metadata": {"name": name}, "spec": {"url": url, "table": name, "writeMode": write_mode}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"password": ADMIN_PASSWORD}},
        ]  # fmt: skip
        self.manifest = folder / f"{name}.yaml"
        self.manifest.write_text(yaml.safe_dump_all(documents))

    def start(self) -> None:
        self.starts += 1
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "connector_runner.cli", "run", "-f", str(self.manifest)],
                cwd=self._folder, stdout=output, stderr=output, env=self.environment,
            )  # fmt: skip

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        assert self._process is not None
        assert self.ended is None, f"it had ended by itself, with {self.ended}:\n{self.output()[-3000:]}"
        self._process.send_signal(number)
        code = self._process.wait(60)
        self._process = None
        return code

    def command(self, *words: str, code: int = 0) -> str:
        """What another command says of the same manifest; of one that fails, its log."""
        done = subprocess.run(
            [sys.executable, "-m", "connector_runner.cli", *words, "-f", str(self.manifest)],
            cwd=self._folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    def wait(self) -> int:
        assert self._process is not None
        code = self._process.wait(PATIENCE)
        self._process = None
        return code

    @property
    def ended(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def rows(self, columns: str = "*") -> list[tuple[Any, ...]]:
        """The dataset's rows, in order; empty while the table does not exist."""
        return self.ask(f'SELECT {columns} FROM "{self.name}" ORDER BY 1')

    def checkpoint(self) -> dict[str, Any]:
        found = self.ask("SELECT position FROM _connector_checkpoints WHERE connector LIKE '%" + self.name + "'")
        if not found or found[0][0] is None:
            return {}
        value: dict[str, Any] = found[0][0] if isinstance(found[0][0], dict) else json.loads(found[0][0])
        return value

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        if self.url.startswith("sqlite"):
            connection = sqlite3.connect(self._folder / self.url.removeprefix("sqlite:///"), timeout=30)
            try:
                return connection.execute(query).fetchall()
            except sqlite3.OperationalError:
                return []
            finally:
                connection.close()
        with psycopg.connect(self.url) as session:
            try:
                return session.execute(query).fetchall()
            except psycopg.errors.UndefinedTable:
                return []

    def until(self, is_done: Callable[[], bool], patience: float = PATIENCE) -> None:
        def check() -> None:
            assert self.ended is None, f"the runner ended with {self.ended}:\n{self.output()[-3000:]}"

        wait_until(is_done, lambda: f"reached; said was:\n{self.output()[-3000:]}", patience, check=check, pause=0.05)

    def advance(self, steps: int = 1) -> None:
        """Waits until this many more positions are committed."""
        for _ in range(steps):
            before = self.checkpoint()
            self.until(lambda before=before: self.checkpoint() not in ({}, before))  # type: ignore[misc]

    def is_complete(self) -> bool:
        position = self.checkpoint()
        return bool(position) and "copy" not in position
