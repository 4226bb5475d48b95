"""Computes the root of an ordered list, as headers commit to transactions, receipts and withdrawals.

It is the root of a Merkle Patricia trie whose keys are the indices in the list (yellow paper, appendices B and D). All data is
hexadecimal text until it is hashed: nodes send it like this, and joining texts is fast in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from connector_runner.sources.ethereum.verify.keccak import keccak

EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
"""Keccak-256 of RLP's empty string: the root of an empty list."""


def rlp_bytes(digits: str) -> str:
    """Encodes a byte string, given as hexadecimal digits."""
    size = len(digits) >> 1
    if size == 1 and digits < "80":
        return digits
    return rlp_prefix(size, 0x80) + digits


def rlp_quantity(digits: str) -> str:
    """Encodes an integer, given as hexadecimal digits with any padding."""
    digits = digits.lstrip("0")
    if len(digits) & 1:
        digits = f"0{digits}"
    return rlp_bytes(digits)


def rlp_list(items: Iterable[str]) -> str:
    """Encodes a list of encoded items."""
    body = "".join(items)
    return rlp_prefix(len(body) >> 1, 0xC0) + body


@lru_cache(maxsize=4096)
def rlp_prefix(size: int, kind: int) -> str:
    """The prefix of `size` bytes; `kind` is 0x80 for a byte string, 0xC0 for a list."""
    if size < 56:
        return f"{kind + size:02x}"
    digits = f"{size:x}"
    digits = digits if len(digits) % 2 == 0 else f"0{digits}"
    return f"{kind + 55 + len(digits) // 2:02x}{digits}"


@lru_cache(maxsize=64)
def _ordered_keys(count: int) -> tuple[tuple[str, int], ...]:
    """The keys' nibbles in order, each with its index in the list."""
    return tuple(sorted((rlp_quantity(f"{place:x}"), place) for place in range(count)))


def ordered_root(values: Sequence[str]) -> str:
    """Returns the root of a list of encoded items (hexadecimal digits), with 0x.

    Raises:
        ValueError: They are not hexadecimal.
    """
    if not values:
        return EMPTY_ROOT
    node = _node([(key, values[place]) for key, place in _ordered_keys(len(values))], 0)
    return f"0x{keccak(bytes.fromhex(node)).hex()}"


def _node(entries: Sequence[tuple[str, str]], depth: int) -> str:
    """Encodes the node of keys that are equal up to `depth`."""
    first, last = entries[0][0], entries[-1][0]
    if len(entries) == 1:
        return rlp_list((_path(first[depth:], is_leaf=True), rlp_bytes(entries[0][1])))
    common = depth
    while first[common] == last[common]:  # no key is a prefix of another
        common += 1
    if common > depth:
        return rlp_list((_path(first[depth:common], is_leaf=False), _reference(_node(entries, common))))
    children = ["80"] * 17
    start = 0
    for place in range(1, len(entries) + 1):
        if place == len(entries) or entries[place][0][depth] != entries[start][0][depth]:
            children[int(entries[start][0][depth], 16)] = _reference(_node(entries[start:place], depth + 1))
            start = place
    return rlp_list(children)


def _path(nibbles: str, *, is_leaf: bool) -> str:
    kind = 2 * is_leaf
    return rlp_bytes(f"{kind + 1}{nibbles}" if len(nibbles) % 2 else f"{kind}0{nibbles}")


def _reference(node: str) -> str:
    """The reference to a node in its parent: the node itself when it is short, otherwise its hash."""
    return node if len(node) < 64 else f"a0{keccak(bytes.fromhex(node)).hex()}"
