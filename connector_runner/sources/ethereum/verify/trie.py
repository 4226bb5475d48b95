"""Computes the root of an ordered list, as headers commit to transactions, receipts and withdrawals.

It is the root of a Merkle Patricia trie whose keys are the indices in the list (yellow paper, appendices B and D). All data is
hexadecimal text until it is hashed: nodes send it like this, and joining texts is fast in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from connector_runner.sources.ethereum.verify.keccak import keccak

EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
"""Keccak-256 of RLP's empty string: the root of an empty list."""


def rlp_bytes(digits: str) -> str:
    """Encodes a byte string, given as hexadecimal digits."""
    count = len(digits)
    if 2 < count < _LONG:
        return _BYTES[count] + digits
    size = count >> 1
    if size == 1 and digits < "80":
        return digits
    return rlp_prefix(size, 0x80) + digits


def rlp_quantity(digits: str) -> str:
    """Encodes an integer, given as hexadecimal digits with any padding."""
    count = len(digits)
    if 2 < count < _LONG and digits[0] != "0":
        return _QUANTITIES[count] + digits
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


_LONG = 2 * 56
"""Digits from which on a prefix has more than one byte."""
# What precedes so many digits, from three on: the table replaces a call for each of the hundred items of a usual transaction.
_BYTES = [rlp_prefix(count >> 1, 0x80) for count in range(_LONG)]
_QUANTITIES = [rlp_prefix(count + 1 >> 1, 0x80) + "0" * (count & 1) for count in range(_LONG)]


class _Leaf(NamedTuple):
    """A node of the shape of a trie: the item at `place` below an encoded path."""

    path: str
    place: int


class _Extension(NamedTuple):
    """A node of the shape of a trie: another one below an encoded path."""

    path: str
    child: _Shape


class _Branch(NamedTuple):
    """A node of the shape of a trie: others by the next nibble of the key."""

    children: tuple[tuple[int, _Shape], ...]


_Shape = _Leaf | _Extension | _Branch


@lru_cache(maxsize=64)
def _shape_of(count: int) -> _Shape:
    """The shape of the trie of so many items: it is the same for all lists of this length."""
    return _shape(sorted((rlp_quantity(f"{place:x}"), place) for place in range(count)), 0)


def _shape(entries: Sequence[tuple[str, int]], depth: int) -> _Shape:
    """The node of keys (as nibbles, in order) that are equal up to `depth`, each with its place in the list."""
    first, last = entries[0][0], entries[-1][0]
    if len(entries) == 1:
        return _Leaf(_path(first[depth:], is_leaf=True), entries[0][1])
    common = depth
    while first[common] == last[common]:  # no key is a prefix of another
        common += 1
    if common > depth:
        return _Extension(_path(first[depth:common], is_leaf=False), _shape(entries, common))
    children = groupby(entries, lambda entry: entry[0][depth])
    return _Branch(tuple((int(nibble, 16), _shape(list(below), depth + 1)) for nibble, below in children))


def _path(nibbles: str, *, is_leaf: bool) -> str:
    kind = 2 * is_leaf
    return rlp_bytes(f"{kind + 1}{nibbles}" if len(nibbles) % 2 else f"{kind}0{nibbles}")


def ordered_root(values: Sequence[str]) -> str:
    """Returns the root of a list of encoded items (hexadecimal digits), with 0x.

    Raises:
        ValueError: They are not hexadecimal.
    """
    if not values:
        return EMPTY_ROOT
    node = _node(_shape_of(len(values)), values)
    return f"0x{keccak(bytes.fromhex(node)).hex()}"


def _node(shape: _Shape, values: Sequence[str]) -> str:
    """Encodes a node of the trie of these items."""
    if isinstance(shape, _Leaf):
        body = shape.path + rlp_bytes(values[shape.place])
    elif isinstance(shape, _Branch):
        children = ["80"] * 17
        for nibble, below in shape.children:
            children[nibble] = _reference(_node(below, values))
        body = "".join(children)
    else:
        body = shape.path + _reference(_node(shape.child, values))
    return rlp_prefix(len(body) >> 1, 0xC0) + body


def _reference(node: str) -> str:
    """The reference to a node in its parent: the node itself when it is short, otherwise its hash."""
    return node if len(node) < 64 else f"a0{keccak(bytes.fromhex(node)).hex()}"
