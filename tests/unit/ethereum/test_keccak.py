"""Keccak-256 by each implementation that may be in use."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.verify.keccak import from_pycryptodome, from_pysha3, keccak


@pytest.mark.parametrize("implementation", [from_pysha3(), from_pycryptodome(), keccak])
def test_known_hashes(implementation: Callable[[bytes], bytes]) -> None:
    assert implementation(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert implementation(b"\x80").hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    transfer = b"Transfer(address,address,uint256)"
    assert implementation(transfer).hex() == "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@given(st.binary(max_size=3000))
def test_all_implementations_agree(data: bytes) -> None:
    assert from_pysha3()(data) == from_pycryptodome()(data) == keccak(data)
