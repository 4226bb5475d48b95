"""Defines which member of a node's objects becomes which column: the schemas of the streams that are tables of objects.

Types: heights, indices, gas and nonces are below 2**63 by the protocol (EIP-2681, EIP-4803) and are `int64`; a gas *limit* may be
2**64-1 on development chains and is `uint64`; amounts and fees are exact 256-bit integers; hashes, addresses and data are
stored as the node's hexadecimal text.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from connector_runner.protocols.batch import Row
from connector_runner.protocols.schema import Column
from connector_runner.protocols.types import INT64, INT256, JSON, STRING, UINT64
from connector_runner.sources.ethereum.decode.responses import Header, names_have_no_capitals
from connector_runner.sources.ethereum.decode.rows import (
    Field,
    Json,
    Members,
    RowDecoder,
    address,
    build_schema,
    json_texts,
    nested,
    number,
    quantities_or_zero,
    text,
)

# Members of transactions, receipts and logs that repeat the block columns.
OF_THE_BLOCK = ("blockHash", "blockNumber", "blockTimestamp")


def _count(values: Sequence[list[object] | None]) -> Sequence[int | None]:
    return [None if value is None else len(value) for value in values]


def _topic(place: int, description: str) -> Field:
    def pick(values: Sequence[list[str]]) -> Sequence[str | None]:
        try:
            return list(map(itemgetter(place), values))  # the fastest way, if all have the member
        except IndexError:
            return [topics[place] if len(topics) > place else None for topics in values]

    return Field(Column(f"topic{place}", STRING, True, description), "topics", pick)


BLOCKS = (
    text("parentHash", "parent_hash", "Hash of the block before."),
    number("timestamp", "timestamp", INT64, "Time of the block, seconds since the epoch."),
    address("miner", "miner", "Address that the fees go to.", nullable=True),
    number("gasLimit", "gas_limit", UINT64, "The most gas its transactions may use."),
    number("gasUsed", "gas_used", INT64, "Gas its transactions used."),
    number("baseFeePerGas", "base_fee_per_gas", INT256, "Base fee in wei (EIP-1559).", nullable=True),
    Field(Column("transaction_count", INT64, False, "How many transactions it has."), "transactions", _count),
    number("size", "size", INT64, "Size in bytes.", nullable=True),
    text("extraData", "extra_data", "What the block's builder wrote.", nullable=True),
    text("logsBloom", "logs_bloom", "Bloom filter of its logs.", nullable=True),
    text("stateRoot", "state_root", "Root of the state trie."),
    text("transactionsRoot", "transactions_root", "Root of the transactions' trie."),
    text("receiptsRoot", "receipts_root", "Root of the receipts' trie."),
    text("sha3Uncles", "sha3_uncles", "Hash of the list of uncles."),
    text("mixHash", "mix_hash", "Proof of work's mix, or the beacon chain's randomness (EIP-4399).", nullable=True),
    text("nonce", "nonce", "Proof of work's nonce; zeros since the merge.", nullable=True),
    number("difficulty", "difficulty", INT256, "Difficulty; 0 since the merge.", nullable=True),
    number("totalDifficulty", "total_difficulty", INT256, "Sum of difficulties, if the node still returns it.", nullable=True),
    text("withdrawalsRoot", "withdrawals_root", "Root of the withdrawals' trie (EIP-4895).", nullable=True),
    number("blobGasUsed", "blob_gas_used", INT64, "Blob gas its transactions used (EIP-4844).", nullable=True),
    number("excessBlobGas", "excess_blob_gas", INT64, "Blob gas above the target, accumulated (EIP-4844).", nullable=True),
    text("parentBeaconBlockRoot", "parent_beacon_block_root", "Root of the parent beacon block (EIP-4788).", nullable=True),
    text("requestsHash", "requests_hash", "Hash of the execution layer's requests (EIP-7685).", nullable=True),
    Field(Column("uncles", JSON, True, "Hashes of uncles, as JSON."), "uncles", json_texts),
)  # fmt: skip
TRANSACTIONS = (
    number("transactionIndex", "transaction_index", INT64, "Index in the block, from 0."),
    text("hash", "transaction_hash", "Hash of the transaction."),
    number("type", "type", INT64, "Type by EIP-2718: 0 legacy, 1, 2, 3, 4, …", nullable=True),
    address("from", "from_address", "Sender."),
    address("to", "to_address", "Receiver; null when a contract is created.", nullable=True),
    number("value", "value", INT256, "Wei transferred."),
    Field(Column("nonce", INT64, False, "The sender's count; 0 if the node returns none (deposits of the OP stack)."), "nonce", quantities_or_zero),
    number("gas", "gas", UINT64, "Gas limit."),
    number("gasPrice", "gas_price", INT256, "Wei for each gas.", nullable=True),
    number("maxFeePerGas", "max_fee_per_gas", INT256, "The most wei for each gas (EIP-1559).", nullable=True),
    number("maxPriorityFeePerGas", "max_priority_fee_per_gas", INT256, "The most wei for each gas to the builder (EIP-1559).", nullable=True),
    number("maxFeePerBlobGas", "max_fee_per_blob_gas", INT256, "The most wei for each blob gas (EIP-4844).", nullable=True),
    text("input", "input", "Call data in hexadecimal."),
    nested("accessList", "access_list", "Addresses and slots announced (EIP-2930), as JSON."),
    nested("blobVersionedHashes", "blob_versioned_hashes", "Hashes of blobs (EIP-4844), as JSON."),
    nested("authorizationList", "authorization_list", "Delegations (EIP-7702), as JSON."),
    number("chainId", "chain_id", INT256, "Chain that the signature is for.", nullable=True),
    text("v", "v", "Signature, in hexadecimal.", nullable=True),
    text("r", "r", "Signature, in hexadecimal.", nullable=True),
    text("s", "s", "Signature, in hexadecimal.", nullable=True),
    text("yParity", "y_parity", "Signature, in hexadecimal.", nullable=True),
)  # fmt: skip
RECEIPTS = (
    number("transactionIndex", "transaction_index", INT64, "Index in the block, from 0."),
    text("transactionHash", "transaction_hash", "Hash of the transaction."),
    number("type", "type", INT64, "Type of the transaction (EIP-2718).", nullable=True),
    number("status", "status", INT64, "1 when it succeeded, 0 when it was reverted; null before EIP-658.", nullable=True),
    address("from", "from_address", "Sender."),
    address("to", "to_address", "Receiver; null when a contract was created.", nullable=True),
    address("contractAddress", "contract_address", "Contract that was created.", nullable=True),
    number("gasUsed", "gas_used", INT64, "Gas used."),
    number("cumulativeGasUsed", "cumulative_gas_used", INT64, "Gas used in the block up to here."),
    number("effectiveGasPrice", "effective_gas_price", INT256, "Wei paid for each gas.", nullable=True),
    number("blobGasUsed", "blob_gas_used", INT64, "Blob gas used (EIP-4844).", nullable=True),
    number("blobGasPrice", "blob_gas_price", INT256, "Wei paid for each blob gas (EIP-4844).", nullable=True),
    Field(Column("log_count", INT64, False, "How many logs it has."), "logs", _count),
    text("logsBloom", "logs_bloom", "Bloom filter of its logs.", nullable=True),
    text("root", "root", "State root after it, before EIP-658.", nullable=True),
)  # fmt: skip
LOGS = (
    number("logIndex", "log_index", INT64, "Index among the block's logs, from 0."),
    number("transactionIndex", "transaction_index", INT64, "Index of its transaction in the block.", nullable=True),
    text("transactionHash", "transaction_hash", "Hash of its transaction.", nullable=True),
    text("address", "address", "Contract that emitted it."),
    _topic(0, "First topic: usually which event it is."),
    _topic(1, "Second topic."),
    _topic(2, "Third topic."),
    _topic(3, "Fourth topic."),
    text("data", "data", "What is not indexed, ABI-encoded, in hexadecimal."),
)
WITHDRAWALS = (
    number("index", "withdrawal_index", INT64, "Number of the withdrawal, counted over the whole chain."),
    number("validatorIndex", "validator_index", INT64, "The validator."),
    address("address", "address", "Who gets it."),
    number("amount", "amount", UINT64, "Gwei."),
)

BLOCK_SCHEMA = build_schema("blocks", BLOCKS, ())
TRANSACTION_SCHEMA = build_schema("transactions", TRANSACTIONS, ("transaction_index",))
RECEIPT_SCHEMA = build_schema("receipts", RECEIPTS, ("transaction_index",))
LOG_SCHEMA = build_schema("logs", LOGS, ("log_index",))
WITHDRAWAL_SCHEMA = build_schema("withdrawals", WITHDRAWALS, ("withdrawal_index",))

_blocks = RowDecoder(BLOCKS, ("hash", "number", "withdrawals"))
_transactions = RowDecoder(TRANSACTIONS, OF_THE_BLOCK)
_receipts = RowDecoder(RECEIPTS, OF_THE_BLOCK)
_logs = RowDecoder(LOGS, (*OF_THE_BLOCK, "removed"))
_withdrawals = RowDecoder(WITHDRAWALS)

KNOWN_BLOCK, KNOWN_LOG = _blocks.known, _logs.known
names_have_no_capitals(KNOWN_LOG)
_KnownTransaction = _transactions.known


class KnownFullBlock(Members, gc=False):
    """The members of a block that the stream of transactions needs. Others are ignored, except those of a transaction."""

    number: Any
    hash: Any
    parentHash: Any  # noqa: N815 - names of the specification
    timestamp: Any
    transactions: list[_KnownTransaction]  # type: ignore[valid-type]
    logsBloom: Any = None  # noqa: N815
    transactionsRoot: Any = None  # noqa: N815
    receiptsRoot: Any = None  # noqa: N815
    withdrawalsRoot: Any = None  # noqa: N815
    gasUsed: Any = None  # noqa: N815


def block_rows(header: Header, block: Json) -> list[Row]:
    """Makes the single row of a block."""
    return _blocks.rows(header.columns, [block])


def transaction_rows(header: Header, transactions: Sequence[Json]) -> list[Row]:
    """Makes one row per transaction."""
    return _transactions.rows(header.columns, transactions)


def receipt_rows(header: Header, receipts: Sequence[Json]) -> list[Row]:
    """Makes one row per receipt."""
    return _receipts.rows(header.columns, receipts)


def log_rows(header: Header, logs: Sequence[Json]) -> list[Row]:
    """Makes one row per log."""
    return _logs.rows(header.columns, logs)


def withdrawal_rows(header: Header, withdrawals: Sequence[Json]) -> list[Row]:
    """Makes one row per withdrawal."""
    return _withdrawals.rows(header.columns, withdrawals)
