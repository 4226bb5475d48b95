"""geth in development mode, built from its Go module; only for the long suites, because building takes minutes."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.servers.anvil import RpcNode
from tests.servers.fetch import once
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

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


class GethServer(ServerProcess, RpcNode):
    """A chain of one node that mines if there are transactions; its data survive a kill."""

    PATIENCE = 120.0

    def __init__(self) -> None:
        ServerProcess.__init__(self, "geth")
        RpcNode.__init__(self, self.port)
        self.websocket_port = free_port()
        self.ipc_path = str(self.directory / "geth.ipc")

    @property
    def websocket_url(self) -> str:
        return f"ws://{self.host}:{self.websocket_port}"

    def _options(self) -> list[str | Path]:
        return ["--dev", "--authrpc.port", str(free_port())]

    def command(self) -> list[str | Path]:
        apis = "eth,net,web3,debug,admin,txpool,dev"
        return [
            geth(), *self._options(), "--datadir", self.directory / "data", "--ipcpath", self.ipc_path, "--http", "--http.port",
            str(self.port), "--http.api", apis, "--ws", "--ws.port", str(self.websocket_port), "--ws.api", apis,
            "--port", "0", "--nodiscover", "--verbosity", "1",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return bool(self.rpc("eth_chainId", timeout=2.0))
