"""Checks that a node's answers are consistent: hashes, counts, indices and blooms must agree.

Load-balanced nodes answer one request from one replica and the next from another; some omit data without an error. An answer
that fails these checks is not used, but requested again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from connector_runner.sources.ethereum.decode.responses import Header, lowered
from connector_runner.sources.ethereum.decode.rows import Json, are_objects, values_of, whole
from connector_runner.sources.ethereum.errors import MalformedAnswerError, StaleAnswerError
from connector_runner.sources.ethereum.settings import LogFilter
from connector_runner.sources.ethereum.verify import bloom
from connector_runner.sources.ethereum.verify.families import ETHEREUM, Family

# Roots of an empty trie (Keccak-256 of RLP's empty string), of chains without roots, and of nodes that don't return them.
_NOTHING = ("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421", "0x" + "00" * 32, None)


def require(holds: bool, header: Header, message: str) -> None:
    """Raises StaleAnswerError, which names the block, unless `holds`."""
    if not holds:
        raise StaleAnswerError(f"block {header.number} ({header.hash}): {message}")


def _are_counted(objects: Sequence[Json], member: str) -> bool:
    found = values_of(objects, member)
    # First in the nodes' usual format, which is quick to compare; then by value.
    return found == _quantities_to(len(found)) or [*map(whole, found)] == [*range(len(found))]


@lru_cache(maxsize=256)
def _quantities_to(count: int) -> list[str]:
    return [hex(index) for index in range(count)]


def _are_of(objects: Sequence[Json], header: Header) -> bool:
    return values_of(objects, "blockHash") == [header.hash] * len(objects)


def check_number(header: Header, number: int) -> Header:
    """Checks that the block has the requested number."""
    if header.number != number:
        raise StaleAnswerError(f"asked for block {number}, the node answered with block {header.number}")
    return header


def check_contents(header: Header, block: Json, family: Family = ETHEREUM) -> None:
    """Checks that a block whose root commits to transactions also has them in its list."""
    require(
        bool(block.get("transactions")) or block.get("transactionsRoot") in _NOTHING or not family.transactions,
        header,
        "its transactions are left out, but its transactionsRoot is not that of none",
    )


def check_transactions(header: Header, block: Json) -> list[Json]:
    """Checks and returns the block's full transactions: each belongs to this block, in order, none missing in between."""
    transactions = block.get("transactions")
    if not isinstance(transactions, list) or not are_objects(transactions):
        raise MalformedAnswerError("block: transactions is not a list of objects")
    require(_are_of(transactions, header), header, "a transaction in it names another block")
    require(_are_counted(transactions, "transactionIndex"), header, "its transactions are not numbered 0, 1, 2, …")
    return transactions


def check_withdrawals(header: Header, block: Json, family: Family = ETHEREUM) -> list[Json]:
    """Checks and returns the block's withdrawals: there must be some if its root commits to some."""
    withdrawals = block.get("withdrawals") or []
    if not isinstance(withdrawals, list) or not are_objects(withdrawals):
        raise MalformedAnswerError("block: withdrawals is not a list of objects")
    require(
        bool(withdrawals) or block.get("withdrawalsRoot") in _NOTHING or not family.withdrawals,
        header,
        "its withdrawals are left out, but its withdrawalsRoot is not that of none",
    )
    return withdrawals


def check_receipts(
    header: Header,
    hashes: Sequence[str] | None,
    receipts: Sequence[Json],
    family: Family = ETHEREUM,
    *,
    by_bloom: bool = True,
) -> list[Json]:
    """Checks that there is one receipt of this block per transaction (None: unknown), in order, up to the last. Returns the logs.

    If their root is not recomputed, they must have all logs of the block's bloom (`by_bloom`).
    """
    require(_are_of(receipts, header), header, "a receipt names another block")
    found = [receipt.get("transactionHash") for receipt in receipts]
    require(
        hashes is None or found == list(hashes),
        header,
        f"{len(receipts)} receipts do not match its {len(hashes or ())} transactions",
    )
    require(_are_counted(receipts, "transactionIndex"), header, "its receipts are not numbered 0, 1, 2, …")
    logs: list[Json] = []
    for receipt in receipts:
        own = receipt.get("logs")
        if not isinstance(own, list) or not are_objects(own):
            raise MalformedAnswerError("receipt: logs is not a list of objects")
        logs += own
    if family.gas and header.gas_used is not None and receipts:
        stated = receipts[-1].get("cumulativeGasUsed")
        require(stated is None or whole(stated) == whole(header.gas_used), header, "its receipts do not use its gas up")
    _check_numbering(header, logs, family, "its receipts' logs")
    if _have_capitals(logs):
        logs = lowered(logs)
    if by_bloom and family.bloom:
        check_receipts_bloom(header, receipts)
    return logs


def check_receipts_bloom(header: Header, receipts: Sequence[Json]) -> None:
    """Checks that receipts have all logs of the blooms; for receipts whose root is not proven."""
    union = 0
    for receipt in receipts:
        own, stated = receipt["logs"], receipt.get("logsBloom")
        has = _bloom_of(own) if stated in (None, "0x") else whole(stated)
        require(bool(has) == bool(own), header, "a receipt's logs do not match its bloom")
        union |= has
    require(not (header.bloom or 0) & ~union, header, "its receipts do not make up its bloom")


def _check_numbering(header: Header, logs: Sequence[Json], family: Family, what: str) -> None:
    if family.numbering:
        require(_are_counted(logs, "logIndex"), header, f"{what} are not numbered 0, 1, 2, …")
    else:
        numbers = [*map(whole, values_of(logs, "logIndex"))]
        require(numbers == sorted(set(numbers)), header, f"{what} have the same number twice, or are out of order")


def _have_capitals(logs: Sequence[Json]) -> bool:
    """Whether an address or topic has capitals A, B, D or F; texts with C, E or X were already handled in decoding."""
    try:
        joined = "".join(("".join(values_of(logs, "address")), *map("".join, values_of(logs, "topics"))))
    except TypeError:  # malformed, which is detected elsewhere
        return False
    return any(letter in joined for letter in "ABDF")


def check_logs(header: Header, logs: Sequence[Json], family: Family = ETHEREUM) -> bool:
    """Checks that these are all logs of this block. Returns whether its bloom has all of them; True if there is no bloom to check.

    The block's bloom is recomputed from the logs, which costs more than decoding them, but detects even a missing last log
    (unless its address and all its topics also occur in the block's other logs).
    """
    require(_are_of(logs, header), header, "a log names another block")
    require(not any(values_of(logs, "removed")), header, "a log is marked as removed")
    require(set(map(type, values_of(logs, "topics"))) <= {list}, header, "a log has no topics")
    _check_numbering(header, logs, family, "its logs")
    found = _bloom_of(logs)
    if header.bloom is None or not family.bloom:
        return True
    # Logs that are not in the bloom are allowed: some chains add logs that their headers don't commit to.
    require(not header.bloom & ~found, header, f"its {len(logs)} logs do not make up its bloom")
    return not found & ~header.bloom


def holds_logs(header: Header, logs: Sequence[Json]) -> bool:
    """Whether the block's bloom has all its logs; True if there is no bloom."""
    return header.bloom is None or not _bloom_of(logs) & ~header.bloom


def _require_bytes(texts: Sequence[str]) -> None:
    """Checks that all texts are whole bytes in hexadecimal; all together, which takes a third of the time.

    Raises:
        ValueError, TypeError: Some are not.
    """
    digits = "".join([text[2:] for text in texts])
    are_even = not any(size % 2 for size in set(map(len, texts)))
    if not are_even or 2 * len(bytes.fromhex(digits)) != len(digits):  # `fromhex` skips spaces
        raise ValueError("not whole bytes")


def _bloom_of(logs: Sequence[Json]) -> int:
    try:
        _require_bytes(values_of(logs, "data"))
        return bloom.bloom_of(logs)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedAnswerError(f"a log's address, topics or data: {type(error).__name__}") from None


LogPredicate = Callable[[Json], bool]


def passes(wanted: LogFilter) -> LogPredicate:
    """Returns the filter as a predicate over checked logs."""
    addresses = frozenset(wanted.addresses)

    def is_wanted(log: Json) -> bool:
        topics = log["topics"]
        return (not addresses or log["address"].lower() in addresses) and all(
            not allowed or (place < len(topics) and topics[place].lower() in allowed)
            for place, allowed in enumerate(wanted.topics)
        )

    return is_wanted
