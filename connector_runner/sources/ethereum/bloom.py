"""The logs' bloom filter of a block (yellow paper 4.3.1): what proves that logs were left out.

A filter has 2048 bits; each address and each topic of a log sets three of them, taken from its Keccak-256 hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from connector_runner.sources.ethereum.settings import LogFilter


def is_empty(bloom: str) -> bool:
    """Whether a block of this bloom has no logs at all."""
    return bloom.strip("0") in ("x", "")


@lru_cache(maxsize=16_384)
def bits(value: str) -> int:
    """The three bits of an address or topic (hexadecimal with 0x) as a number of 2048 bits."""
    from Crypto.Hash import keccak  # what eth-hash uses beneath, at a third of its cost

    digest = keccak.new(digest_bits=256, data=bytes.fromhex(value[2:])).digest()
    first, second, third = digest[0] << 8 | digest[1], digest[2] << 8 | digest[3], digest[4] << 8 | digest[5]
    return 1 << (first & 2047) | 1 << (second & 2047) | 1 << (third & 2047)


def bloom_of(logs: Iterable[Mapping[str, Any]]) -> int:
    """The filter that these logs make."""
    found = 0
    for log in logs:
        found |= bits(log["address"])
        for topic in log["topics"]:
            found |= bits(topic)
    return found


def may_match(bloom: str, wanted: LogFilter) -> bool:
    """Whether a block of this bloom may have logs that pass the filter; False is certain, True is not."""
    if is_empty(bloom):
        return False
    has = int(bloom, 16)

    def is_possible(allowed: tuple[str, ...]) -> bool:
        return not allowed or any(has & (mask := bits(value)) == mask for value in allowed)

    return is_possible(wanted.addresses) and all(map(is_possible, wanted.topics))
