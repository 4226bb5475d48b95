"""Encodings and roots against other people's: eth-account's transactions, pyrlp's lists, and known roots."""

from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.decode.responses import Header
from connector_runner.sources.ethereum.errors import MalformedAnswerError, StaleAnswerError
from connector_runner.sources.ethereum.verify.families import family_of
from connector_runner.sources.ethereum.verify.proofs import Prover
from connector_runner.sources.ethereum.verify.roots import (
    UnknownTypeError,
    encode_receipt,
    encode_transaction,
    encode_withdrawal,
    receipts_roots,
    transactions_root,
    withdrawals_root,
)
from connector_runner.sources.ethereum.verify.trie import EMPTY_ROOT, ordered_root, rlp_bytes, rlp_list, rlp_quantity

KEY = "0x" + "45" * 32
ALICE, SLOT = "0x" + "17" * 20, "0x" + "01" * 32
OWN = "0x" + "11" * 32
DYNAMIC = {"chainId": 1, "maxPriorityFeePerGas": 2, "maxFeePerGas": 3}
ACCESS = [{"address": ALICE, "storageKeys": [SLOT, SLOT]}]
KINDS: dict[int, dict[str, Any]] = {
    0: {"gasPrice": 5, "chainId": 1},
    1: {"gasPrice": 5, "chainId": 1, "accessList": ACCESS},
    2: {**DYNAMIC, "accessList": ACCESS},
    3: {**DYNAMIC, "accessList": [], "maxFeePerBlobGas": 7, "blobVersionedHashes": ["0x01" + "22" * 31]},
    4: {**DYNAMIC, "accessList": []},
}


def as_node_tells(kind: int, signed: Any, body: dict[str, Any]) -> dict[str, Any]:
    """The members of a node's object."""
    told = {name: hex(value) if isinstance(value, int) else value for name, value in body.items()}
    told["input"] = told.pop("data")
    return {**told, "type": hex(kind), "r": hex(signed.r), "s": hex(signed.s), "v": hex(signed.v)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("to", [ALICE, None])
@given(value=st.integers(0, 2**200), nonce=st.integers(0, 2**40), data=st.binary(max_size=80))
def test_transactions_are_encoded_as_they_are_signed(
    kind: int, to: str | None, value: int, nonce: int, data: bytes
) -> None:
    body: dict[str, Any] = {
        "to": to or b"",
        "value": value,
        "nonce": nonce,
        "gas": 21000,
        "data": f"0x{data.hex()}",
        **KINDS[kind],
    }
    if kind in (3, 4):
        body["to"] = ALICE
    if kind == 4:
        given = Account.sign_authorization({"chainId": 1, "address": ALICE, "nonce": nonce}, KEY)
        body["authorizationList"] = [given]
    if kind:
        body["type"] = kind
    signed = Account.sign_transaction(body, KEY)
    told = as_node_tells(kind, signed, body) | {"to": to if kind < 3 else ALICE}
    if kind == 4:
        told["authorizationList"] = [
            {
                "chainId": "0x1",
                "address": ALICE,
                "nonce": hex(nonce),
                "yParity": hex(given.y_parity),
                "r": hex(given.r),
                "s": hex(given.s),
            }
        ]
    encoded = encode_transaction(told)
    assert bytes.fromhex(encoded) == signed.raw_transaction
    upper = {name: item.upper().replace("0X", "0x") if isinstance(item, str) else item for name, item in told.items()}
    assert encode_transaction(upper).lower() == encoded


nested = st.recursive(st.binary(max_size=70), lambda items: st.lists(items, max_size=4), max_leaves=12)


@given(nested)
def test_rlp_is_pyrlps(value: Any) -> None:
    def encode(item: Any) -> str:
        return rlp_list(map(encode, item)) if isinstance(item, list) else rlp_bytes(item.hex())

    assert encode(value) == rlp.encode(value).hex()


@given(st.integers(0, 2**300), st.integers(0, 5))
def test_quantities_are_shortest(value: int, zeros: int) -> None:
    assert rlp_quantity("0" * zeros + f"{value:x}") == rlp.encode(value).hex()


@given(st.lists(st.binary(min_size=1, max_size=120), max_size=300))
def test_the_root_of_a_list_is_that_of_a_trie_built_one_by_one(values: list[bytes]) -> None:
    assert ordered_root([value.hex() for value in values]) == f"0x{slow_root(values).hex()}"


def slow_root(values: list[bytes]) -> bytes:
    """By the definition in the yellow paper (appendix D), without any of the tricks."""
    pairs = {tuple(int(digit, 16) for digit in rlp.encode(place).hex()): value for place, value in enumerate(values)}

    def path(nibbles: tuple[int, ...], flag: int) -> bytes:
        own = (flag + 1, *nibbles) if len(nibbles) % 2 else (flag, 0, *nibbles)
        return bytes(high << 4 | low for high, low in zip(own[::2], own[1::2], strict=True))

    def node(found: dict[tuple[int, ...], bytes]) -> Any:
        if not found:
            return b""
        if len(found) == 1:
            ((key, value),) = found.items()
            return [path(key, 2), value]
        keys = list(found)
        common = 0
        while len({key[common] for key in keys}) == 1:
            common += 1
        if common:
            return [path(keys[0][:common], 0), short({key[common:]: value for key, value in found.items()})]
        return [
            *(short({key[1:]: value for key, value in found.items() if key[0] == digit}) for digit in range(16)), b"",
        ]  # fmt: skip

    def short(found: dict[tuple[int, ...], bytes]) -> Any:
        made = node(found)
        return made if not found or len(rlp.encode(made)) < 32 else keccak(rlp.encode(made))

    return keccak(rlp.encode(node(pairs)))


LOG = {"address": ALICE, "topics": [SLOT], "data": "0x1234"}
BLOOM = "0x" + "00" * 256


def receipt(**changes: Any) -> dict[str, Any]:
    return {"status": "0x1", "cumulativeGasUsed": "0x5208", "logsBloom": BLOOM, "logs": [LOG], "type": "0x0", **changes}


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, 0x7E])
@pytest.mark.parametrize("status", [{"status": "0x0"}, {"status": "0x1"}, {"status": None, "root": OWN}])
def test_receipts_are_encoded_as_the_protocol_says(kind: int, status: dict[str, Any]) -> None:
    first = bytes.fromhex(OWN[2:]) if "root" in status else b"\x01" if status["status"] == "0x1" else b""
    logs = [[bytes.fromhex(ALICE[2:]), [bytes.fromhex(SLOT[2:])], b"\x12\x34"]]
    fields: list[Any] = [first, 0x5208, bytes(256), logs]
    prefix = bytes([kind] if kind else [])
    assert bytes.fromhex(encode_receipt(receipt(type=hex(kind), **status))) == prefix + rlp.encode(fields)
    if kind == 0x7E:  # since Canyon the deposit's nonce and the version are part of it
        told = receipt(type="0x7e", depositNonce="0x9", depositReceiptVersion="0x1", **status)
        assert bytes.fromhex(encode_receipt(told)) == prefix + rlp.encode([*fields, 9, 1])


def test_a_deposit_is_encoded_as_the_op_stack_says() -> None:
    told = {
        "type": "0x7e", "sourceHash": OWN, "from": ALICE, "to": None, "mint": "0x5", "value": "0x7", "gas": "0x5208",
        "isSystemTx": True, "input": "0x12",
    }  # fmt: skip
    fields = [bytes.fromhex(OWN[2:]), bytes.fromhex(ALICE[2:]), b"", 5, 7, 0x5208, 1, b"\x12"]
    assert bytes.fromhex(encode_transaction(told)) == b"\x7e" + rlp.encode(fields)
    with pytest.raises(UnknownTypeError):  # a provider that tells less of it
        encode_transaction({**told, "sourceHash": None})


def test_withdrawals_are_encoded_as_the_protocol_says() -> None:
    told = {"index": "0x0", "validatorIndex": "0x7f", "address": ALICE, "amount": "0x10"}
    assert bytes.fromhex(encode_withdrawal(told)) == rlp.encode([0, 0x7F, bytes.fromhex(ALICE[2:]), 16])
    assert withdrawals_root([]) == transactions_root([]) == EMPTY_ROOT


def test_what_is_left_out_is_found_by_the_root() -> None:
    transactions = [{"type": "0x0", "nonce": hex(index), "gasPrice": "0x1", "gas": "0x5208", "to": ALICE, "value": "0x0", "input": "0x", "v": "0x1b", "r": "0x1", "s": "0x2"} for index in range(3)]  # fmt: skip
    withdrawals = [
        {"index": hex(index), "validatorIndex": "0x1", "address": ALICE, "amount": "0x1"} for index in range(3)
    ]
    receipts = [receipt(cumulativeGasUsed=hex(21000 * (index + 1))) for index in range(3)]
    header = Header(
        7,
        OWN,
        OWN,
        0,
        None,
        transactions_root(transactions),
        receipts_roots(receipts)[0](),
        withdrawals_root(withdrawals),
    )
    prover = Prover()
    prover.prove_transactions(header, transactions)
    prover.prove_withdrawals(header, withdrawals)
    assert prover.prove_receipts(header, receipts)
    for prove, items, root in (
        (prover.prove_transactions, transactions, "transactionsRoot"),
        (prover.prove_withdrawals, withdrawals, "withdrawalsRoot"),
        (prover.prove_receipts, receipts, "receiptsRoot"),
    ):
        for wrong in (items[:-1], items[1:], items[::-1], []):
            with pytest.raises(StaleAnswerError, match=f"block 7 .*{root}.*proofs: relaxed"):
                prove(header, wrong)


def test_a_root_made_from_blooms_that_are_not_told_is_found() -> None:
    logs = [receipt(logsBloom=bloom) for bloom in (None, BLOOM)]
    by_logs = receipts_roots(logs)[-1]()
    header = Header(7, OWN, OWN, 0, None, None, by_logs)
    for told in (None, BLOOM, "0x"):
        assert Prover().prove_receipts(header, [receipt(logsBloom=told), receipt(logsBloom=told)])


def test_a_type_without_a_known_encoding_is_told_once_and_not_taken_for_a_fault() -> None:
    prover = Prover()
    odd = [{"type": "0x6a"}]
    with pytest.raises(UnknownTypeError):
        encode_transaction(odd[0])
    header = Header(7, OWN, OWN, 0, None, OWN, OWN)
    for _ in range(2):
        prover.prove_transactions(header, odd)
    assert not prover.prove_receipts(header, [receipt(type="0x6a")])
    assert [(key, incident.kind) for key, incident in prover.reported.items()] == [
        ("transactionsRoot 0x6a", "unproven"), ("receiptsRoot 0x6a", "unproven"),
    ]  # fmt: skip
    assert "block 7" in prover.reported["transactionsRoot 0x6a"].message


@pytest.mark.parametrize("change", [{"nonce": "many"}, {"nonce": []}, {"input": "0x1"}, {"accessList": [{}]}])
def test_what_is_no_transaction_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswerError):
        transactions_root([{"type": "0x2", **change}])


def test_a_family_without_roots_proves_nothing_by_them() -> None:
    prover = Prover(family_of(324, None))
    header = Header(7, OWN, OWN, 0, None, OWN, OWN, OWN)
    prover.prove_transactions(header, [])
    prover.prove_withdrawals(header, [])
    assert not prover.prove_receipts(header, [])
    assert prover.reported == {}
