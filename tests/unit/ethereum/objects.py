"""Blocks, transactions and logs as a node gives them, for tests."""

import json
from typing import Any

from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.verify import bloom

OWN, PARENT = "0x" + "11" * 32, "0x" + "22" * 32
ALICE, BOB = "0x" + "aa" * 20, "0x" + "bb" * 20


def block(**changes: Any) -> dict[str, Any]:
    plain = {
        "number": "0x10", "hash": OWN, "parentHash": PARENT, "timestamp": "0x66000000", "logsBloom": "0x" + "00" * 256,
        "miner": ALICE, "gasLimit": "0xffffffffffffffff", "gasUsed": "0x0", "transactions": [], "stateRoot": OWN,
        "transactionsRoot": OWN, "receiptsRoot": OWN, "sha3Uncles": OWN,
    }  # fmt: skip
    return {**plain, **changes}


def transaction(index: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "blockHash": OWN, "blockNumber": "0x10", "transactionIndex": hex(index), "hash": f"0x{index:064x}", "from": ALICE,
        "to": BOB, "value": "0x1", "nonce": "0x0", "gas": "0x5208", "gasPrice": "0x1", "input": "0x", "type": "0x0",
    }  # fmt: skip
    return {**plain, **changes}


def log(index: int, *topics: str, **changes: Any) -> dict[str, Any]:
    plain = {
        "blockHash": OWN, "blockNumber": "0x10", "transactionIndex": "0x0", "transactionHash": f"0x{1:064x}",
        "logIndex": hex(index), "address": ALICE, "topics": [*topics], "data": "0x", "removed": False,
    }  # fmt: skip
    return {**plain, **changes}


def header(*logs: dict[str, Any]) -> Header:
    return Header(16, OWN, PARENT, 0x66000000, bloom.bloom_of(logs))


def column(schema: Any, row: tuple[Any, ...], name: str) -> Any:
    return row[schema.names.index(name)]


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()
