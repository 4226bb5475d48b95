"""What the tables of examples/ethereum/many.yaml hold, and what they should hold by the node."""

from __future__ import annotations

from typing import Any

from tests.servers.anvil import RpcNode
from tests.simulators.ethereum.contracts import topic

STREAMS = ("blocks", "transactions", "receipts", "logs", "token_transfers")
TRANSFER = "0x" + topic("Transfer(address,address,uint256)").hex()

# One statement, so one state of the dataset: what a reader sees in it was committed together.
QUERY = """
SELECT 'blocks', block_number, block_hash, transaction_count, parent_hash FROM blocks
UNION ALL SELECT 'transactions', block_number, block_hash, transaction_hash, value FROM transactions
UNION ALL SELECT 'receipts', block_number, block_hash, transaction_hash, status FROM receipts
UNION ALL SELECT 'logs', block_number, block_hash, log_index, topic0 FROM logs
UNION ALL SELECT 'token_transfers', block_number, block_hash, log_index, value FROM token_transfers
"""

Row = tuple[str, int, str, Any, Any]


def rows_of(node: RpcNode, first: int) -> set[Row]:
    """The rows of QUERY by the node's chain from a block on."""
    found: set[Row] = set()
    for number in range(first, node.head() + 1):
        block = node.block(number, full=True)
        at = (number, block["hash"])
        found.add(("blocks", *at, len(block["transactions"]), block["parentHash"]))
        found |= {("transactions", *at, sent["hash"], str(int(sent["value"], 16))) for sent in block["transactions"]}
        receipts = node.rpc("eth_getBlockReceipts", hex(number))
        found |= {("receipts", *at, one["transactionHash"], int(one["status"], 16)) for one in receipts}
        for log in (log for receipt in receipts for log in receipt["logs"]):
            topics, index = log["topics"], int(log["logIndex"], 16)
            found.add(("logs", *at, index, topics[0] if topics else None))
            if topics[:1] == [TRANSFER] and len(topics) == 3:
                found.add(("token_transfers", *at, index, str(int(log["data"], 16))))
    return found


def disagreement(rows: set[Row]) -> str:
    """How the tables tell of different chains; empty if each row is of one of the blocks, and each block has all that it counts."""
    blocks = {block: count for stream, _, block, count, _ in rows if stream == "blocks"}
    if len({number for stream, number, *_ in rows if stream == "blocks"}) != len(blocks):
        return f"two branches: {rows}"
    if not {block for _, _, block, *_ in rows} <= set(blocks):
        return f"rows of no block: {rows}"
    for stream in ("transactions", "receipts"):
        owners = [block for of, _, block, *_ in rows if of == stream]
        if {block: owners.count(block) for block in blocks} != blocks:
            return f"{stream} are not those of the blocks: {rows}"
    return ""
