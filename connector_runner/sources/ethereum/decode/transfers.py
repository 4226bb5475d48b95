"""Token transfers from logs: ERC-20, ERC-721 and ERC-1155, distinguished by topics and the length of the data.

ERC-20 and ERC-721 share the event `Transfer(address,address,uint256)`; ERC-721 indexes the third argument, so its logs have
four topics and no data. ERC-1155 has `TransferSingle` and `TransferBatch`; a batch makes one row per item.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from connector_runner.protocols.batch import Row
from connector_runner.protocols.schema import Column
from connector_runner.protocols.types import INT64, INT256, STRING
from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.decode.rows import Json, build_schema, whole

# Keccak-256 of the events' signatures: https://eips.ethereum.org/EIPS/eip-20, eip-721, eip-1155.
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TRANSFER_SINGLE = "0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"
TRANSFER_BATCH = "0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"
TOPICS = (TRANSFER, TRANSFER_SINGLE, TRANSFER_BATCH)

TRANSFER_SCHEMA = build_schema(
    "token_transfers",
    (),
    ("log_index", "batch_index"),
    (
        Column("log_index", INT64, False, "Index of the log among the block's logs."),
        Column("batch_index", INT64, False, "Index in an ERC-1155 batch; 0 otherwise."),
        Column("transaction_index", INT64, True, "Index of its transaction in the block."),
        Column("transaction_hash", STRING, True, "Hash of its transaction."),
        Column("token_address", STRING, False, "The token's contract."),
        Column("standard", STRING, False, "ERC20, ERC721 or ERC1155."),
        Column("operator", STRING, True, "Who moved it (ERC-1155)."),
        Column("from_address", STRING, False, "Sender; zero when minted."),
        Column("to_address", STRING, False, "Receiver; zero when burnt."),
        Column("token_id", INT256, True, "Which token (ERC-721, ERC-1155)."),
        Column("value", INT256, False, "How much, in the token's smallest unit; 1 for ERC-721."),
    ),
)
_WORD = 64  # hexadecimal digits
# Standard, operator, from, to, token id, value.
Movement = tuple[str, str | None, str, str, int | None, int]


def _address(topic: str) -> str:
    return f"0x{topic[-40:]}"


def _words(data: str) -> list[int]:
    digits = data[2:]
    if len(digits) % _WORD:
        raise ValueError("not whole words")
    return [int(digits[place : place + _WORD], 16) for place in range(0, len(digits), _WORD)]


def _array(words: Sequence[int], offset: int) -> list[int]:
    """Decodes an ABI-encoded `uint256[]` whose length is at byte `offset`."""
    start, rest = divmod(offset, 32)
    if rest or start >= len(words) or start + words[start] >= len(words):
        raise ValueError("an array that does not fit")
    return [*words[start + 1 : start + 1 + words[start]]]


def _movements(topics: Sequence[str], data: str) -> Iterator[Movement]:
    words = _words(data)
    match topics[0], len(topics), len(words):
        case (str(first), 3, 1) if first == TRANSFER:
            yield "ERC20", None, _address(topics[1]), _address(topics[2]), None, words[0]
        case (str(first), 4, 0) if first == TRANSFER:
            yield "ERC721", None, _address(topics[1]), _address(topics[2]), int(topics[3], 16), 1
        case (str(first), 4, 2) if first == TRANSFER_SINGLE:
            yield "ERC1155", *map(_address, topics[1:4]), words[0], words[1]  # type: ignore[misc]
        case (str(first), 4, count) if first == TRANSFER_BATCH and count >= 2:
            ids, values = _array(words, words[0]), _array(words, words[1])
            if len(ids) != len(values):
                raise ValueError("not as many values as ids")
            for token, value in zip(ids, values, strict=True):
                yield "ERC1155", *map(_address, topics[1:4]), token, value  # type: ignore[misc]
        case _:
            raise ValueError("another shape")


def transfer_rows(header: Header, logs: Sequence[Json]) -> tuple[list[Row], int]:
    """Returns rows of the transfers in these logs, and how many logs have the topic of a transfer but are not one.

    Contracts may emit the same signature with different indexed arguments (CryptoKitties indexes none): by the standards that is
    not a transfer; read it with the stream `logs` or an `abi`.
    """
    rows: list[Row] = []
    others = 0
    block = header.columns
    for log in logs:
        topics: list[str] = log["topics"]
        try:
            moved = list(_movements(topics, log["data"])) if topics and topics[0] in TOPICS else []
        except ValueError:
            others += 1
            continue
        if not moved:
            continue
        index = log.get("transactionIndex")
        place: tuple[Any, ...] = (None if index is None else whole(index), log.get("transactionHash"), log["address"])
        position = whole(log["logIndex"])
        rows += [(*block, position, item, *place, *movement) for item, movement in enumerate(moved)]
    return rows, others
