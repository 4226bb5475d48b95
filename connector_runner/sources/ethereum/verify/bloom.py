"""A block's bloom filter of its logs (yellow paper 4.3.1), which proves that logs are missing.

A filter has 2048 bits; each address and each topic of a log sets three of them, taken from its Keccak-256 hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce
from operator import or_

from connector_runner.sources.ethereum.decode.rows import Json, values_of
from connector_runner.sources.ethereum.settings import LogFilter
from connector_runner.sources.ethereum.verify.keccak import keccak


@lru_cache(maxsize=16_384)
def bits(value: str) -> int:
    """Returns the three bits of an address or topic (hexadecimal with 0x) as a number of 2048 bits.

    Raises:
        ValueError: It is not hexadecimal.
    """
    digest = keccak(bytes.fromhex(value[2:]))
    first, second, third = digest[0] << 8 | digest[1], digest[2] << 8 | digest[3], digest[4] << 8 | digest[5]
    return 1 << (first & 2047) | 1 << (second & 2047) | 1 << (third & 2047)


def bloom_of(logs: Sequence[Json]) -> int:
    """Computes the bloom filter of logs.

    Raises:
        ValueError, TypeError: A log lacks an address or topics, or they are not hexadecimal.
    """
    values: set[str] = set(values_of(logs, "address"))  # many occur in several logs
    values.update(*values_of(logs, "topics"))
    return reduce(or_, map(bits, values), 0)


def may_match(bloom: int | None, wanted: LogFilter) -> bool:
    """Whether a block with this bloom may have logs that match the filter; False is certain, True is not.

    Always True for a bloom that the node did not return (None).
    """
    if not bloom:
        return bloom is None

    def is_possible(allowed: tuple[str, ...]) -> bool:
        return not allowed or any(bloom & (mask := bits(value)) == mask for value in allowed)

    return is_possible(wanted.addresses) and all(map(is_possible, wanted.topics))
