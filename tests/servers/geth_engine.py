"""geth as on a proof-of-stake chain; the test acts as the consensus client, which decides through the engine API.

https://github.com/ethereum/execution-apis/tree/main/src/engine
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from eth_account import Account

from tests.servers.anvil import NodeError
from tests.servers.geth import GethServer, geth
from tests.servers.ports import free_port

OWNER = Account.from_key("0x" + "11" * 32)
"""An account that has money from the first block on."""
LOGGER = "0x" + "20" * 20
"""A contract in the first block; each call makes it emit one log without topics or data (PUSH1 0, PUSH1 0, LOG0)."""
NOBODY = "0x" + "00" * 20
NO_BLOCK = "0x" + "00" * 32
_FORKS = (
    "homestead",
    "eip150",
    "eip155",
    "eip158",
    "byzantium",
    "constantinople",
    "petersburg",
    "istanbul",
    "berlin",
    "london",
)
GENESIS: dict[str, Any] = {
    "config": {
        "chainId": 1337, **{f"{fork}Block": 0 for fork in _FORKS}, "terminalTotalDifficulty": 0, "shanghaiTime": 0,
    },
    "difficulty": "0x0", "gasLimit": "0x1c9c380", "timestamp": "0x1",
    "alloc": {OWNER.address: {"balance": hex(10**30)}, LOGGER: {"balance": "0x0", "code": "0x60006000a0"}},
}  # fmt: skip


class EngineGethServer(GethServer):
    """A node that builds and accepts blocks only by calls of the engine API."""

    def __init__(self) -> None:
        super().__init__()
        self._engine_port = free_port()
        self._secret = secrets.token_bytes(32)
        self._gas_price = 10**10

    def _options(self) -> list[str | Path]:
        genesis, secret = self.directory / "genesis.json", self.directory / "jwt.hex"
        if not genesis.exists():
            genesis.write_text(json.dumps(GENESIS))
            secret.write_text(self._secret.hex())
            command: list[str | Path] = [geth(), "init", "--datadir", self.directory / "data", genesis]
            subprocess.run(command, check=True, capture_output=True)
        return [
            "--networkid", "1337", "--syncmode", "full", "--gcmode", "archive", "--authrpc.port", str(self._engine_port),
            "--authrpc.jwtsecret", secret,
        ]  # fmt: skip

    def _token(self) -> str:
        def coded(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

        claim = coded(b'{"alg":"HS256","typ":"JWT"}') + "." + coded(json.dumps({"iat": int(time.time())}).encode())
        return f"{claim}.{coded(hmac.digest(self._secret, claim.encode(), 'sha256'))}"

    def engine(self, method: str, *params: Any) -> Any:
        """Calls the engine API; returns the result."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token()}"}
        url = f"http://{self.host}:{self._engine_port}"
        request = urllib.request.Request(url, body, headers)
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            answer = json.load(response)
        if "error" in answer:
            raise NodeError(f"{method}: {answer['error']}")
        return answer["result"]

    def choose(self, head: str, final: str = NO_BLOCK, attributes: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sets a fork choice: the head, by its hash, and the block that is safe and finalized."""
        state = {"headBlockHash": head, "safeBlockHash": final, "finalizedBlockHash": final}
        found: dict[str, Any] = self.engine("engine_forkchoiceUpdatedV2", state, attributes)
        assert found["payloadStatus"]["status"] == "VALID", found
        return found

    def emit(self) -> None:
        """Sends a transaction that emits a log to the pool; it replaces one with the same number."""
        self._gas_price += self._gas_price // 5
        nonce = int(self.rpc("eth_getTransactionCount", OWNER.address, "latest"), 16)
        call = {"nonce": nonce, "to": LOGGER, "value": 0, "gas": 50_000, "gasPrice": self._gas_price, "chainId": 1337}
        self.rpc("eth_sendRawTransaction", "0x" + OWNER.sign_transaction(call).raw_transaction.hex())

    def build(self, seconds: int, *amounts: int, logs: bool = False) -> str:
        """Builds a block on the head, with a withdrawal of each amount; imports it without choosing it; returns its hash."""
        if logs:
            self.emit()
        withdrawals = [
            {"index": hex(seconds + place), "validatorIndex": hex(place), "address": NOBODY, "amount": hex(amount)}
            for place, amount in enumerate(amounts)
        ]
        attributes = {
            "timestamp": hex(seconds), "prevRandao": NO_BLOCK, "suggestedFeeRecipient": NOBODY, "withdrawals": withdrawals,
        }  # fmt: skip
        end = time.monotonic() + 60
        while True:
            chosen = self.choose(self.block("latest")["hash"], attributes=attributes)
            payload = self.engine("engine_getPayloadV2", chosen["payloadId"])["executionPayload"]
            if payload["transactions"] or not logs:
                break
            assert time.monotonic() < end, "geth's blocks stay empty"
            attributes["prevRandao"] = "0x" + secrets.token_hex(
                32
            )  # called too early; the same call gives the same result
            time.sleep(0.05)
        assert self.engine("engine_newPayloadV2", payload)["status"] == "VALID"
        own: str = payload["blockHash"]
        return own

    def extend(self, seconds: int, *amounts: int, final: str = NO_BLOCK, logs: bool = False) -> str:
        """Builds a block and chooses it as the head."""
        own = self.build(seconds, *amounts, logs=logs)
        self.choose(own, final)
        return own
