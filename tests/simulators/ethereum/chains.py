"""What is on a chain, asked from the node one by one and decoded independently of the product; and chains worth reading."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from eth_abi.abi import decode

from tests.servers.anvil import RpcNode
from tests.simulators.ethereum.contracts import (
    Actors,
    LogEntry,
    erc20,
    erc721,
    erc1155_batch,
    erc1155_single,
    topic,
    word,
)

Rows = list[tuple[Any, ...]]


def number(value: Any) -> Any:
    return int(value, 16) if isinstance(value, str) else value


def _blocks(node: RpcNode, block: dict[str, Any]) -> Rows:
    base = block.get("baseFeePerGas")
    return [
        (
            block["hash"],
            number(block["number"]),
            block["parentHash"],
            number(block["timestamp"]),
            len(block["transactions"]),
            block["stateRoot"],
            number(base),
        )
    ]


def _transactions(node: RpcNode, block: dict[str, Any]) -> Rows:
    full = node.rpc("eth_getBlockByHash", block["hash"], True)["transactions"]
    return [
        (
            t["blockHash"],
            number(t["transactionIndex"]),
            t["hash"],
            t["from"],
            t["to"],
            number(t["value"]),
            number(t["nonce"]),
            t["input"],
            number(t["maxFeePerGas"]),
        )
        for t in full
    ]


def _receipts(node: RpcNode, block: dict[str, Any]) -> Rows:
    found = node.rpc("eth_getBlockReceipts", block["hash"])
    return [
        (
            r["blockHash"],
            number(r["transactionIndex"]),
            r["transactionHash"],
            number(r["status"]),
            number(r["gasUsed"]),
            r["contractAddress"],
            len(r["logs"]),
            number(r["effectiveGasPrice"]),
        )
        for r in found
    ]


def _logs(node: RpcNode, block: dict[str, Any]) -> Rows:
    found = [log for receipt in node.rpc("eth_getBlockReceipts", block["hash"]) for log in receipt["logs"]]
    return [
        (
            log["blockHash"],
            number(log["logIndex"]),
            log["transactionHash"],
            log["address"],
            *(log["topics"] + [None] * 4)[:4],
            log["data"],
        )
        for log in found
    ]


def _traces(node: RpcNode, block: dict[str, Any]) -> Rows:
    if number(block["number"]) == 0:
        return []
    found = node.rpc("trace_block", block["number"])
    return [
        (
            t["blockHash"],
            t["transactionPosition"],
            ".".join(map(str, t["traceAddress"])),
            t["transactionHash"],
            t["subtraces"],
        )
        for t in found
    ]


def _transfers_of(log: dict[str, Any]) -> Rows:
    """Standard, place in a batch, from, to, token id, value."""
    topics, data = log["topics"], bytes.fromhex(log["data"][2:])
    parties = [f"0x{topic[-40:]}" for topic in topics[1:]]
    match topics[:1], len(topics), len(data):
        case [first], 3, 32 if first == TRANSFER:
            return [("ERC20", 0, *parties, None, *decode(["uint256"], data))]
        case [first], 4, 0 if first == TRANSFER:
            return [("ERC721", 0, *parties[:2], number(topics[3]), 1)]
        case [first], 4, _ if first == SINGLE:
            return [("ERC1155", 0, *parties[1:], *decode(["uint256", "uint256"], data))]
        case [first], 4, _ if first == BATCH:
            items = zip(*decode(["uint256[]", "uint256[]"], data), strict=True)
            return [("ERC1155", place, *parties[1:], *item) for place, item in enumerate(items)]
    return []


def _token_transfers(node: RpcNode, block: dict[str, Any]) -> Rows:
    return [
        (log["blockHash"], number(log["logIndex"]), *transfer)
        for receipt in node.rpc("eth_getBlockReceipts", block["hash"])
        for log in receipt["logs"]
        for transfer in _transfers_of(log)
    ]


def _transfer_events(node: RpcNode, block: dict[str, Any]) -> Rows:
    found = [row for row in _token_transfers(node, block) if row[2] == "ERC20"]
    return [(own, place, sender, receiver, value) for own, place, _, _, sender, receiver, _, value in found]


TRANSFER, SINGLE, BATCH = (
    f"0x{topic(signature).hex()}"
    for signature in (
        "Transfer(address,address,uint256)",
        "TransferSingle(address,address,address,uint256,uint256)",
        "TransferBatch(address,address,address,uint256[],uint256[])",
    )
)
EVENTS = ["Transfer(address indexed from, address indexed to, uint256 value)"]
"""Of the configuration, for the stream events.Transfer."""
EXPECTED: dict[str, tuple[str, Callable[[RpcNode, dict[str, Any]], Rows]]] = {
    "blocks": ("block_hash, block_number, parent_hash, timestamp, transaction_count, state_root, base_fee_per_gas", _blocks),
    "transactions": ("block_hash, transaction_index, transaction_hash, from_address, to_address, value, nonce, input, max_fee_per_gas", _transactions),
    "receipts": ("block_hash, transaction_index, transaction_hash, status, gas_used, contract_address, log_count, effective_gas_price", _receipts),
    "logs": ("block_hash, log_index, transaction_hash, address, topic0, topic1, topic2, topic3, data", _logs),
    "token_transfers": ("block_hash, log_index, standard, batch_index, from_address, to_address, token_id, value", _token_transfers),
    "events.Transfer": ('block_hash, log_index, "from", "to", "value"', _transfer_events),
    "traces": ("block_hash, transaction_index, trace_address, transaction_hash, subtraces", _traces),
}  # fmt: skip


def canonical(node: RpcNode, stream: str, first: int = 0) -> Rows:
    """The rows that the node's canonical chain makes from block `first` on, sorted."""
    _, make = EXPECTED[stream]
    return comparable([row for height in range(first, node.head() + 1) for row in make(node, node.block(height))])


def comparable(rows: Sequence[tuple[Any, ...]]) -> Rows:
    """Rows of a dataset in the form of `canonical`: exact numbers, whatever the database keeps them as."""

    def plain(value: Any) -> Any:
        # SQLite keeps large numbers as text, PostgreSQL gives decimals; a path like 0.2 stays a path.
        if isinstance(value, str) and value.isdigit():
            return int(value)
        return int(value) if value is not None and not isinstance(value, str | int) else value

    return sorted((tuple(map(plain, row)) for row in rows), key=repr)


def busy_block(actors: Actors, chance: random.Random) -> None:
    """Some transactions of every kind into the pool."""
    for _ in range(chance.randrange(4)):
        one, two = actors.account, actors.other
        amount = chance.randrange(2**200)
        kinds: list[Sequence[LogEntry]] = [
            [erc20(one, two, amount)],
            [erc721(one, two, amount), erc20(two, one, 1)],
            [erc1155_single(one, one, two, amount, 3)],
            [erc1155_batch(one, two, one, [1, amount], [amount, 5])],
            [LogEntry((), b"anonymous"), LogEntry((word(1),) * chance.randrange(5), chance.randbytes(40))],
            [],
        ]
        logs = chance.choice(kinds)
        (actors.forward if chance.random() < 0.3 else actors.emit)(*logs)
        if chance.random() < 0.3:
            actors.pay(chance.randrange(10**18))
