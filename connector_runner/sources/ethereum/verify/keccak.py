"""Keccak-256, by the fastest implementation that is installed.

Roots and blooms take some hundred hashes of short data a block, so that what a call costs counts for more than what a byte costs.
"""

from __future__ import annotations

from collections.abc import Callable

Keccak = Callable[[bytes], bytes]


def from_pysha3() -> Keccak:
    """The implementation in C; the faster one.

    Raises:
        ImportError: It is not installed: there are no wheels for this platform.
    """
    from sha3 import keccak_256

    return lambda data: keccak_256(data).digest()


def from_pycryptodome() -> Keccak:
    """The implementation that is installed everywhere, below web3."""
    from Crypto.Hash import keccak

    return lambda data: keccak.new(digest_bits=256, data=data).digest()


def _fastest() -> Keccak:
    try:
        return from_pysha3()
    except ImportError:
        return from_pycryptodome()


keccak = _fastest()
"""Computes the Keccak-256 hash."""
