"""anvil, a real Ethereum node for development, from an npm package that contains the binary."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.fetch import once, run_client
from tests.servers.process import ServerProcess

VERSION = "1.7.1"


def anvil() -> Path:
    """The program; the first call fetches it."""
    return once(f"anvil-{VERSION}", _install) / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"


def _install(home: Path) -> None:
    package = f"@foundry-rs/anvil-linux-amd64@{VERSION}"
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--force", "--prefix", str(home), package]
    run_client(command)


class NodeError(Exception):
    """The node's response was an error; its text is the message."""


class RpcNode:
    """A node's JSON-RPC over HTTP, synchronous, for what tests do to a chain."""

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port
        self._ids = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    def rpc(self, method: str, *params: Any, timeout: float = 60.0) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        request = urllib.request.Request(  # noqa: S310 - always this machine's own server
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            answer = json.load(response)
        if "error" in answer:
            raise NodeError(f"{method}: {answer['error']}")
        return answer["result"]

    def head(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def block(self, number: int | str, full: bool = False) -> dict[str, Any]:
        tag = hex(number) if isinstance(number, int) else number
        found: dict[str, Any] = self.rpc("eth_getBlockByNumber", tag, full)
        return found


class AnvilServer(ServerProcess, RpcNode):
    """A node with its own chain. By default it mines only on request.

    A stop saves the chain for the next start; a kill loses everything since the last stop.
    """

    def __init__(self, options: Sequence[str] = ("--no-mining", "--order", "fifo")) -> None:
        ServerProcess.__init__(self, "anvil")
        RpcNode.__init__(self, self.port)
        self.options = [*options]
        self.ipc_path = str(self.directory / "node.ipc")

    def command(self) -> list[str | Path]:
        return [
            anvil(), "--host", self.host, "--port", str(self.port), "--silent", "--ipc", self.ipc_path,
            "--state", self.directory / "state.json", *self.options,
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return bool(self.rpc("eth_chainId", timeout=2.0))

    def mine(self, blocks: int = 1) -> None:
        for done in range(0, blocks, 200):  # more at once would be slower
            self.rpc("anvil_mine", hex(min(200, blocks - done)))

    def reorganise(self, depth: int, transactions: Sequence[Any] = ()) -> None:
        """Replaces the last `depth` blocks by others at the same heights."""
        self.rpc("anvil_reorg", depth, list(transactions))

    def rollback(self, depth: int) -> None:
        """Removes the last `depth` blocks without any notice."""
        self.rpc("anvil_rollback", depth)
