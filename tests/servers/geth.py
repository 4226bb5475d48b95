"""geth in development mode, built from its Go module; only for the long suites, because building takes minutes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.servers.anvil import RpcNode
from tests.servers.fetch import once
from tests.servers.ports import free_port

VERSION = "v1.17.10"
MODULE = "github.com/ethereum/go-ethereum"


def geth() -> Path:
    """The program; the first call builds it."""
    return once(f"geth-{VERSION}", _build) / "geth"


def _build(home: Path) -> None:
    commands = [["go", "mod", "init", "build"], ["go", "get", f"{MODULE}@{VERSION}"]]
    with tempfile.TemporaryDirectory(prefix="geth-") as folder:
        for command in commands:
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        (Path(folder) / "tools.go").write_text(f'//go:build tools\n\npackage build\n\nimport _ "{MODULE}/cmd/geth"\n')
        # Go can't import a program as a package, but naming it adds its dependencies to go.sum.
        subprocess.run(["go", "mod", "tidy", "-e"], cwd=folder, check=True, capture_output=True)
        subprocess.run(
            ["go", "build", "-o", home / "geth", f"{MODULE}/cmd/geth"], cwd=folder, check=True, capture_output=True
        )


class GethServer(RpcNode):
    """A chain of one node that mines if there are transactions; its data survive a kill."""

    def __init__(self) -> None:
        super().__init__(free_port())
        self.websocket_port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="geth-"))
        self.ipc_path = str(self.directory / "geth.ipc")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def websocket_url(self) -> str:
        return f"ws://{self.host}:{self.websocket_port}"

    def _options(self) -> list[str | Path]:
        return ["--dev", "--authrpc.port", str(free_port())]

    def start(self, deadline: float = 120.0) -> Self:
        apis = "eth,net,web3,debug,admin,txpool,dev"
        command: list[str | Path] = [
            geth(), *self._options(), "--datadir", self.directory / "data", "--ipcpath", self.ipc_path, "--http", "--http.port",
            str(self.port), "--http.api", apis, "--ws", "--ws.port", str(self.websocket_port), "--ws.api", apis,
            "--port", "0", "--nodiscover", "--verbosity", "1",
        ]  # fmt: skip
        log = self.directory / "node.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self.directory)
        end = time.monotonic() + deadline
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"geth ended at its start: {log.read_text(errors='replace')[-2000:]}")
            try:
                self.rpc("eth_chainId", timeout=2.0)
                return self
            except OSError:
                if time.monotonic() > end:
                    self.kill()
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        """Stops the node as a service manager does; everything is saved."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
