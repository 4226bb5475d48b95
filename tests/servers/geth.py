"""geth in development mode, built from its Go module (`go_program`)."""

from __future__ import annotations

from pathlib import Path

from tests.servers.anvil import RpcNode
from tests.servers.go_program import build_go_program
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess


def geth() -> Path:
    """The program; the first call builds it."""
    return build_go_program("geth", "github.com/ethereum/go-ethereum", "v1.17.10")


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
