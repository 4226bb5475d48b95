"""anvil, a real Ethereum node for development, from an npm package that contains the binary."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.fetch import once, run_client
from tests.servers.ports import free_port

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


class AnvilServer(RpcNode):
    """A node with its own chain; usable as a context manager. By default it mines only on request.

    A stop saves the chain for the next start; a kill loses everything since the last stop.
    """

    def __init__(self, options: Sequence[str] = ("--no-mining", "--order", "fifo")) -> None:
        super().__init__(free_port())
        self.options = [*options]
        self.directory = Path(tempfile.mkdtemp(prefix="anvil-"))
        self.ipc_path = str(self.directory / "node.ipc")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, deadline: float = 60.0) -> AnvilServer:
        """Starts the node, always on the same port."""
        command: list[str | Path] = [
            anvil(), "--host", self.host, "--port", str(self.port), "--silent", "--ipc", self.ipc_path,
            "--state", self.directory / "state.json", *self.options,
        ]  # fmt: skip
        log = self.directory / "node.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self.directory)
        end = time.monotonic() + deadline
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"anvil ended at its start: {log.read_text(errors='replace')[-2000:]}")
            try:
                self.rpc("eth_chainId", timeout=2.0)
                return self
            except OSError:
                if time.monotonic() > end:
                    self.kill()
                    raise
                time.sleep(0.02)

    def mine(self, blocks: int = 1) -> None:
        for done in range(0, blocks, 200):  # more at once would be slower
            self.rpc("anvil_mine", hex(min(200, blocks - done)))

    def reorganise(self, depth: int, transactions: Sequence[Any] = ()) -> None:
        """Replaces the last `depth` blocks by others at the same heights."""
        self.rpc("anvil_reorg", depth, list(transactions))

    def rollback(self, depth: int) -> None:
        """Removes the last `depth` blocks without any notice."""
        self.rpc("anvil_rollback", depth)

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

    def destroy(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> AnvilServer:
        try:
            return self.start()
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, *_: object) -> None:
        self.destroy()
