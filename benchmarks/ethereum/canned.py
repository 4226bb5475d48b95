"""A node of canned full blocks: 200 transactions and 400 logs each, served as fast as a loopback can; a process of its own."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any

import msgspec
from aiohttp import web

from connector_runner.sources.ethereum.verify.bloom import bloom_of
from connector_runner.sources.ethereum.verify.roots import receipts_roots, transactions_root
from connector_runner.sources.ethereum.verify.trie import EMPTY_ROOT

TRANSACTIONS, LOGS_EACH, TEMPLATES = 200, 2, 48
NUMBER, OWN, PARENT = "0xfffffff0", "0x" + "f0" * 32, "0x" + "0f" * 32  # placeholders, as long as what replaces them
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def block_number(number: int) -> str:
    return f"0x{number + 0x10000000:08x}"  # always eight digits


def block_hash(number: int) -> str:
    return f"0x{number:064x}"


class Canned:
    """Answers of a chain of `count` blocks, by templates with placeholders."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self.count = count
        chance = random.Random(seed)
        self._templates = [self._template(chance) for _ in range(TEMPLATES)]

    def _template(self, chance: random.Random) -> dict[str, bytes]:
        def text(size: int) -> str:
            return f"0x{chance.randbytes(size).hex()}"

        parties = [text(20) for _ in range(120)]
        place = {"blockHash": OWN, "blockNumber": NUMBER}
        transactions, receipts, logs = [], [], []
        for index in range(TRANSACTIONS):
            sender, receiver, own = chance.choice(parties), chance.choice(parties), text(32)
            base = {**place, "transactionIndex": hex(index), "type": "0x2", "from": sender, "to": receiver}
            transactions.append(
                {
                    **base, "hash": own, "gas": "0x5208", "gasPrice": "0x2540be400", "maxFeePerGas": "0x4a817c800",
                    "maxPriorityFeePerGas": "0x3b9aca00", "input": text(chance.choice([0, 68, 68, 132, 400])),
                    "nonce": hex(chance.randrange(1 << 20)), "value": hex(chance.randrange(1 << 70)), "accessList": [],
                    "chainId": "0x1", "v": "0x1", "r": text(32), "s": text(32), "yParity": "0x1",
                }
            )  # fmt: skip
            own_logs = [
                {
                    **place, "transactionIndex": hex(index), "transactionHash": own, "removed": False,
                    "logIndex": hex(index * LOGS_EACH + item), "address": chance.choice(parties), "data": text(32),
                    "topics": [TRANSFER, "0x" + "00" * 12 + sender[2:], "0x" + "00" * 12 + chance.choice(parties)[2:]],
                }
                for item in range(LOGS_EACH)
            ]  # fmt: skip
            logs += own_logs
            receipts.append(
                {
                    **base, "transactionHash": own, "status": "0x1", "gasUsed": "0x5208", "logs": own_logs,
                    "cumulativeGasUsed": hex(21000 * (index + 1)), "effectiveGasPrice": "0x2540be400",
                    "contractAddress": None, "logsBloom": f"0x{bloom_of(own_logs):0512x}",
                }
            )  # fmt: skip
        block = {
            "number": NUMBER, "hash": OWN, "parentHash": PARENT, "timestamp": "0x66000000", "miner": parties[0],
            "logsBloom": f"0x{bloom_of(logs):0512x}", "gasLimit": "0x1c9c380", "gasUsed": hex(21000 * TRANSACTIONS), "size": "0x9000",
            "baseFeePerGas": "0x2540be400", "difficulty": "0x0", "extraData": "0x", "mixHash": text(32), "uncles": [],
            "nonce": "0x0000000000000000", "stateRoot": text(32), "transactionsRoot": transactions_root(transactions),
            "receiptsRoot": receipts_roots(receipts)[0](), "sha3Uncles": text(32), "withdrawalsRoot": EMPTY_ROOT, "blobGasUsed": "0x0", "excessBlobGas": "0x0",
            "parentBeaconBlockRoot": text(32), "requestsHash": text(32), "withdrawals": [],
        }  # fmt: skip
        hashes = [transaction["hash"] for transaction in transactions]
        texts = {
            "full": {**block, "transactions": transactions}, "light": {**block, "transactions": hashes},
            "receipts": receipts, "logs": logs,
        }  # fmt: skip
        return {name: msgspec.json.encode(value) for name, value in texts.items()}

    def result(self, what: str, number: int) -> bytes:
        template = self._templates[number % TEMPLATES][what]
        found = template.replace(NUMBER.encode(), block_number(number).encode())
        return found.replace(OWN.encode(), block_hash(number).encode()).replace(
            PARENT.encode(), block_hash(number - 1).encode()
        )

    def answer(self, method: str, params: list[Any]) -> bytes:
        match method:
            case "eth_chainId":
                return b'"0x1"'
            case "eth_getBlockByNumber":
                number = self.number(params[0])
                return b"null" if number is None else self.result("full" if params[1] else "light", number)
            case "eth_getBlockReceipts":
                return self.result("receipts", int(params[0], 16))
            case "eth_getLogs" if "blockHash" in params[0]:
                return self.result("logs", int(params[0]["blockHash"], 16))
            case "eth_getLogs":
                first, last = (int(params[0][name], 16) - 0x10000000 for name in ("fromBlock", "toBlock"))
                return b"[" + b",".join(self.result("logs", number)[1:-1] for number in range(first, last + 1)) + b"]"
            case "web3_clientVersion":
                return b'"canned"'
            case "eth_blockNumber":
                return json.dumps(block_number(self.count - 1)).encode()
        return b"null"

    def number(self, tag: str) -> int | None:
        if tag in ("latest", "safe", "finalized"):
            return self.count - 1
        asked = int(tag, 16)
        number = asked - 0x10000000 if asked else 0  # block 0 is the genesis for all who ask for it
        return number if 0 <= number < self.count else None


def application(canned: Canned) -> web.Application:
    asked = {"requests": 0, "calls": 0}

    async def counted(_request: web.Request) -> web.Response:
        return web.json_response(asked)

    async def handle(request: web.Request) -> web.Response:
        calls = msgspec.json.decode(await request.read())
        answers = []
        asked["requests"] += 1
        asked["calls"] += len(calls) if isinstance(calls, list) else 1
        for call in calls if isinstance(calls, list) else [calls]:
            number = msgspec.json.encode(call["id"])
            answers.append(
                b'{"jsonrpc":"2.0","id":'
                + number
                + b',"result":'
                + canned.answer(call["method"], call["params"])
                + b"}"
            )
        body = b"[" + b",".join(answers) + b"]" if isinstance(calls, list) else answers[0]
        return web.Response(body=body, content_type="application/json")

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/", handle)
    app.router.add_get("/asked", counted)
    return app


async def serve(count: int) -> None:
    runner = web.AppRunner(application(Canned(count)), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[union-attr]
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
