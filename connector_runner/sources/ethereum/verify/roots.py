"""Encodes transactions, receipts and withdrawals from a node's JSON objects, and computes their roots.

Types 0 to 4 as in EIP-2718, 2930, 1559, 4844 and 7702; 0x7e as in the OP stack's specification, 0x7b as in Celo's CIP-64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connector_runner.sources.ethereum.decode.rows import Json, values_of
from connector_runner.sources.ethereum.errors import MalformedAnswerError
from connector_runner.sources.ethereum.verify.bloom import bloom_of
from connector_runner.sources.ethereum.verify.trie import ordered_root, rlp_bytes, rlp_list, rlp_quantity

NO_BLOOM_BYTES = 256


class UnknownTypeError(Exception):
    """A transaction type whose encoding is not known here: its list can't be proven.

    Attributes:
        kind: The type.
    """

    def __init__(self, kind: int) -> None:
        super().__init__(f"transactions of type {kind:#x} have no known encoding")
        self.kind = kind


Encode = Callable[[Any], str]


def _number(value: Any) -> str:
    if type(value) is str:
        return rlp_quantity(value[2:])
    if type(value) is int:
        return rlp_quantity(f"{value:x}")
    return "80" if value is None else rlp_quantity(value[2:])


def _data(value: Any) -> str:
    return "80" if value is None else rlp_bytes(value[2:])


def _flag(value: Any) -> str:
    return "01" if value else "80"


def _hashes(value: Any) -> str:
    return rlp_list([rlp_bytes(item[2:]) for item in value or ()])


def _access_list(value: Any) -> str:
    return (
        rlp_list([rlp_list((_data(item["address"]), _hashes(item["storageKeys"]))) for item in value])
        if value
        else "c0"
    )


def _authorizations(value: Any) -> str:
    names = ("chainId", "address", "nonce", "yParity", "r", "s")
    return rlp_list(
        [
            rlp_list(
                _data(item[name]) if name == "address" else _number(item.get(name, item.get("v") if name == "yParity" else None))
                for name in names
            )
            for item in value or ()
        ]
    )  # fmt: skip


_Table = tuple[tuple[str, Encode], ...]
_TARGET: _Table = (("gas", _number), ("to", _data), ("value", _number), ("input", _data))
_FEES: _Table = (("maxPriorityFeePerGas", _number), ("maxFeePerGas", _number))
_SIGNED: _Table = (("yParity", _number), ("r", _number), ("s", _number))
_ACCESS: _Table = (("accessList", _access_list),)
_FROM_CHAIN: _Table = (("chainId", _number), ("nonce", _number))
_DYNAMIC: _Table = (*_FROM_CHAIN, *_FEES, *_TARGET, *_ACCESS)
TRANSACTIONS: Mapping[int, _Table] = {
    0: (("nonce", _number), ("gasPrice", _number), *_TARGET, ("v", _number), ("r", _number), ("s", _number)),
    1: (*_FROM_CHAIN, ("gasPrice", _number), *_TARGET, *_ACCESS, *_SIGNED),
    2: (*_DYNAMIC, *_SIGNED),
    3: (*_DYNAMIC, ("maxFeePerBlobGas", _number), ("blobVersionedHashes", _hashes), *_SIGNED),
    4: (*_DYNAMIC, ("authorizationList", _authorizations), *_SIGNED),
    0x7B: (*_DYNAMIC, ("feeCurrency", _data), *_SIGNED),
    0x7E: (
        ("sourceHash", _data), ("from", _data), ("to", _data), ("mint", _number), ("value", _number), ("gas", _number),
        ("isSystemTx", _flag), ("input", _data),
    ),
}  # fmt: skip
"""The members of a transaction of each type, in order."""
DEPOSIT = 0x7E
_TYPED_RECEIPTS = frozenset(TRANSACTIONS) - {0, 0x7B}
_OTHER_NAMES = {"input": "data", "yParity": "v", "gas": "gasLimit"}


def _kind(item: Json) -> int:
    value = item.get("type")
    return 0 if value is None else value if type(value) is int else int(value, 16)


def _member(item: Json, name: str) -> Any:
    value = item.get(name)
    return _get(item, _OTHER_NAMES[name]) if value is None and name in _OTHER_NAMES else value


def _get(item: Json, name: str) -> Any:
    try:
        return item.get(name)
    except AttributeError:  # objects with known members have no others
        return None


def encode_transaction(item: Json) -> str:
    """Returns the hexadecimal digits of a transaction's canonical encoding.

    Raises:
        UnknownTypeError: Its type is unknown.
    """
    kind = _kind(item)
    table = TRANSACTIONS.get(kind)
    # Another chain also uses this type; and some providers return only the members that all transactions have.
    if table is None or (kind == DEPOSIT and _get(item, "sourceHash") is None):
        raise UnknownTypeError(kind)
    get = item.get
    body = rlp_list([encode(get(name) or _member(item, name)) for name, encode in table])
    return f"{kind:02x}{body}" if kind else body


def encode_receipt(item: Json, bloom: str | None = None) -> str:
    """Returns the hexadecimal digits of a receipt's canonical encoding; `bloom` (digits) replaces its own bloom.

    Raises:
        UnknownTypeError: Its type is unknown.
    """
    kind = _kind(item)
    if kind and kind not in _TYPED_RECEIPTS:
        raise UnknownTypeError(kind)
    stated = bloom or item["logsBloom"][2:]
    logs = [
        rlp_list((f"94{log['address'][2:]}", _hashes(log["topics"]), rlp_bytes(log["data"][2:])))
        for log in item["logs"]
    ]
    root = item.get("root")
    status = _number(item.get("status")) if root is None or item.get("status") is not None else _data(root)
    parts = [status, _number(item["cumulativeGasUsed"]), rlp_bytes(stated), rlp_list(logs)]
    if kind == DEPOSIT and (version := _get(item, "depositReceiptVersion")) is not None:
        parts += [_number(_get(item, "depositNonce")), _number(version)]
    body = rlp_list(parts)
    return f"{kind:02x}{body}" if kind else body


def encode_withdrawal(item: Json) -> str:
    """Returns the hexadecimal digits of a withdrawal's encoding (EIP-4895)."""
    return rlp_list(
        (_number(item["index"]), _number(item["validatorIndex"]), _data(item["address"]), _number(item["amount"]))
    )


def transactions_root(items: Sequence[Json]) -> str:
    """Computes the root of a block's full transactions.

    Raises:
        UnknownTypeError: One has an unknown type.
        MalformedAnswerError: They are not transactions.
    """
    return _root(encode_transaction, items, "transactions")


def receipts_roots(items: Sequence[Json]) -> list[Callable[[], str]]:
    """Returns functions that compute the root of a block's receipts: with their own blooms, and with recomputed ones.

    Some nodes return no blooms, or empty ones, although the root is made from the correct ones.
    """

    def recomputed(item: Json) -> str:
        return encode_receipt(item, f"{bloom_of(item['logs']):0{2 * NO_BLOOM_BYTES}x}")

    ways: list[Callable[[], str]] = [lambda: _root(recomputed, items, "receipts")]
    if all(
        isinstance(stated, str) and len(stated) == 2 + 2 * NO_BLOOM_BYTES for stated in values_of(items, "logsBloom")
    ):
        ways.insert(0, lambda: _root(encode_receipt, items, "receipts"))
    return ways


def withdrawals_root(items: Sequence[Json]) -> str:
    """Computes the root of a block's withdrawals.

    Raises:
        MalformedAnswerError: They are not withdrawals.
    """
    return _root(encode_withdrawal, items, "withdrawals")


def _root(encode: Callable[[Json], str], items: Sequence[Json], what: str) -> str:
    try:
        return ordered_root([encode(item) for item in items])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedAnswerError(f"{what}: {type(error).__name__} while their root is made") from None
