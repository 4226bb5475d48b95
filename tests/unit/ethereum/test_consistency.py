"""Checks that find what a node left out or put into the wrong block."""

from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.decode import tables
from connector_runner.sources.ethereum.decode.responses import decode_block, decode_header, decode_objects
from connector_runner.sources.ethereum.errors import MalformedAnswerError, StaleAnswerError
from connector_runner.sources.ethereum.settings import LogFilter
from connector_runner.sources.ethereum.verify import bloom
from connector_runner.sources.ethereum.verify.consistency import (
    check_contents,
    check_logs,
    check_receipts,
    check_transactions,
    check_withdrawals,
    passes,
)
from tests.unit.ethereum.objects import ALICE, BOB, OWN, PARENT, block, encode, header, log, transaction


@given(st.binary(min_size=20, max_size=20))
def test_bloom_bits_are_those_of_the_yellow_paper(address: bytes) -> None:
    """M3:2048: bits by the low eleven bits of the first three pairs of bytes of the hash."""
    digest = keccak(address)
    places = {int.from_bytes(digest[at : at + 2], "big") % 2048 for at in (0, 2, 4)}
    assert bloom.bits(f"0x{address.hex()}") == sum(2**place for place in places)


@pytest.mark.parametrize("told", [{"logsBloom": None}, {"logsBloom": ...}])
def test_a_bloom_that_is_not_told_says_nothing(told: dict[str, Any]) -> None:
    raw = encode({name: value for name, value in block(**told).items() if value is not ...})
    found, decoded = decode_header(raw), decode_block(raw)
    assert found is not None
    assert decoded is not None
    assert found.bloom is decoded[0].bloom is None
    assert bloom.may_match(found.bloom, LogFilter((ALICE,)))
    assert not bloom.may_match(0, LogFilter((ALICE,)))


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=4))
def test_a_filter_that_matches_is_never_excluded_by_the_bloom(topics: list[bytes]) -> None:
    texts = [f"0x{value.hex()}" for value in topics]
    item = log(0, *texts)
    wanted = LogFilter((ALICE,), tuple((text,) for text in texts))
    assert passes(wanted)(item)
    assert bloom.may_match(header(item).bloom, wanted)
    assert not bloom.may_match(header().bloom, wanted)
    assert not passes(LogFilter((BOB,)))(item)


LOG_FAULTS: dict[str, Any] = {
    "the first is missing": lambda logs: logs[1:],
    "one in between is missing": lambda logs: logs[:1] + logs[2:],
    "the last is missing": lambda logs: logs[:-1],
    "all are missing": lambda logs: [],
    "one is doubled": lambda logs: [*logs, logs[-1]],
    "one is removed": lambda logs: [{**logs[0], "removed": True}, *logs[1:]],
    "one is of another block": lambda logs: [*logs[:-1], {**logs[-1], "blockHash": PARENT}],
    "the order": lambda logs: logs[::-1],
    "another topic": lambda logs: [*logs[:-1], {**logs[-1], "topics": ["0x" + "99" * 32]}],
    "no topics": lambda logs: [{**logs[0], "topics": None}, *logs[1:]],
}


def as_dicts(logs: list[dict[str, Any]]) -> Any:
    return logs


def as_known(logs: list[dict[str, Any]]) -> Any:
    return decode_objects(encode(logs), "logs", tables.KNOWN_LOG)


@pytest.mark.parametrize("form", [as_dicts, as_known])
@pytest.mark.parametrize("fault", LOG_FAULTS)
def test_logs_that_do_not_fit_their_block_are_not_believed(fault: str, form: Any) -> None:
    logs = [log(index, "0x" + f"{index + 1:02x}" * 32) for index in range(3)]
    check_logs(header(*logs), form(logs))
    with pytest.raises(StaleAnswerError, match=f"block 16 .{OWN}"):
        check_logs(header(*logs), form(LOG_FAULTS[fault](logs)))


def test_logs_that_a_header_does_not_commit_to_are_no_omission() -> None:
    logs = [log(0, "0x" + "01" * 32), log(1, "0x" + "02" * 32)]
    check_logs(header(logs[0]), logs)


@pytest.mark.parametrize(
    "change",
    [{"address": "0xzz"}, {"address": ...}, {"address": None}, {"topics": ["0xzz"]}, {"topics": [5]}, {"data": ...},
     {"data": None}, {"data": "0x1"}, {"data": "0x1 "}, {"data": "0x 1"}, {"data": "0xzz"}, {"data": 5}, {"logIndex": "first"}, {"logIndex": ...}],
)  # fmt: skip
def test_malformed_logs_are_doubted(change: dict[str, Any]) -> None:
    wrong = {name: value for name, value in log(0, **change).items() if value is not ...}
    for form in (as_dicts, as_known):
        with pytest.raises(MalformedAnswerError):
            check_logs(header(log(0)), form([wrong]))
    receipt = {"blockHash": OWN, "transactionHash": OWN, "transactionIndex": "0x0", "logs": [wrong]}
    with pytest.raises(MalformedAnswerError):
        check_receipts(header(log(0)), [OWN], [receipt])


def test_transactions_and_receipts_that_do_not_fit() -> None:
    whole = [transaction(0), transaction(1)]
    assert check_transactions(header(), {"transactions": whole}) == whole
    for wrong in ([whole[1]], whole[::-1], [transaction(0, blockHash=PARENT)]):
        with pytest.raises(StaleAnswerError):
            check_transactions(header(), {"transactions": wrong})
    with pytest.raises(MalformedAnswerError):
        check_transactions(header(), {"transactions": [OWN]})
    hashes = [item["hash"] for item in whole]
    receipts = [{"blockHash": OWN, "transactionHash": own, "transactionIndex": hex(i), "logs": [], "logsBloom": "0x00"} for i, own in enumerate(hashes)]  # fmt: skip
    check_receipts(header(), hashes, receipts)
    with pytest.raises(MalformedAnswerError):
        check_receipts(header(), hashes, [receipts[0], {**receipts[1], "logs": None}])
    lying = [receipts[0], {**receipts[1], "logsBloom": "0x01"}]
    for wrong in (receipts[:1], receipts[::-1], lying, [*receipts, receipts[1]]):
        with pytest.raises(StaleAnswerError):
            check_receipts(header(), hashes, wrong)


RECEIPT_FAULTS: dict[str, Any] = {
    "a log is missing": lambda one, two: [{**one, "logs": one["logs"][1:]}, two],
    "all logs of one are missing": lambda one, two: [one, {**two, "logs": []}],
    "all logs of one are missing and its bloom is empty": lambda one, two: [
        one,
        {**two, "logs": [], "logsBloom": "0x0"},
    ],
    "all blooms are empty": lambda one, two: [{**item, "logs": [], "logsBloom": "0x0"} for item in (one, two)],
}


@pytest.mark.parametrize("fault", RECEIPT_FAULTS)
def test_receipts_that_lack_logs_are_not_believed(fault: str) -> None:
    logs = [log(index, "0x" + f"{index + 1:02x}" * 32) for index in range(3)]
    receipts = [
        {
            "blockHash": OWN, "transactionHash": f"0x{place:064x}", "transactionIndex": hex(place), "logs": own,
            "logsBloom": f"0x{bloom.bloom_of(own):0512x}",
        }
        for place, own in enumerate((logs[:2], logs[2:]))
    ]  # fmt: skip
    hashes = [f"0x{place:064x}" for place in range(2)]
    assert check_receipts(header(*logs), hashes, receipts) == logs
    with pytest.raises(StaleAnswerError):
        check_receipts(header(*logs), hashes, RECEIPT_FAULTS[fault](*receipts))


EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


def test_contents_that_a_root_commits_to_may_not_be_left_out() -> None:
    check_contents(header(), block(transactionsRoot=EMPTY_ROOT))
    check_contents(header(), block(transactions=[OWN]))
    with pytest.raises(StaleAnswerError, match="transactionsRoot"):
        check_contents(header(), block())
    paid = [{"index": "0x0"}]
    assert check_withdrawals(header(), block()) == []
    assert check_withdrawals(header(), block(withdrawalsRoot=EMPTY_ROOT, withdrawals=[])) == []
    assert check_withdrawals(header(), block(withdrawalsRoot=OWN, withdrawals=paid)) == paid
    for left_out in (block(), block(withdrawals=[]), block(withdrawals=None)):
        with pytest.raises(StaleAnswerError, match="withdrawalsRoot"):
            check_withdrawals(header(), {**left_out, "withdrawalsRoot": OWN})
    with pytest.raises(MalformedAnswerError):
        check_withdrawals(header(), block(withdrawalsRoot=OWN, withdrawals=["paid"]))
