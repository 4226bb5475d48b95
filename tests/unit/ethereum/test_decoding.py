"""Raw answers to rows: exact numbers, what is unknown, what is malformed, and checks that find what was left out."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.decode import tables
from connector_runner.sources.ethereum.decode.responses import Header, decode_block, decode_header, decode_objects
from connector_runner.sources.ethereum.decode.rows import block_time
from connector_runner.sources.ethereum.decode.traces import TRACE_SCHEMA, call_tree_rows, flat_trace_rows
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
from connector_runner.sources.ethereum.verify.traces import check_call_trees, check_flat_traces, check_traces

OWN, PARENT = "0x" + "11" * 32, "0x" + "22" * 32
ALICE, BOB = "0x" + "aa" * 20, "0x" + "bb" * 20


def block(**changes: Any) -> dict[str, Any]:
    plain = {
        "number": "0x10", "hash": OWN, "parentHash": PARENT, "timestamp": "0x66000000", "logsBloom": "0x" + "00" * 256,
        "miner": ALICE, "gasLimit": "0xffffffffffffffff", "gasUsed": "0x0", "transactions": [], "stateRoot": OWN,
        "transactionsRoot": OWN, "receiptsRoot": OWN, "sha3Uncles": OWN,
    }  # fmt: skip
    return {**plain, **changes}


def transaction(index: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "blockHash": OWN, "blockNumber": "0x10", "transactionIndex": hex(index), "hash": f"0x{index:064x}", "from": ALICE,
        "to": BOB, "value": "0x1", "nonce": "0x0", "gas": "0x5208", "gasPrice": "0x1", "input": "0x", "type": "0x0",
    }  # fmt: skip
    return {**plain, **changes}


def log(index: int, *topics: str, **changes: Any) -> dict[str, Any]:
    plain = {
        "blockHash": OWN, "blockNumber": "0x10", "transactionIndex": "0x0", "transactionHash": f"0x{1:064x}",
        "logIndex": hex(index), "address": ALICE, "topics": [*topics], "data": "0x", "removed": False,
    }  # fmt: skip
    return {**plain, **changes}


def header(*logs: dict[str, Any]) -> Header:
    return Header(16, OWN, PARENT, 0x66000000, bloom.bloom_of(logs))


def column(schema: Any, row: tuple[Any, ...], name: str) -> Any:
    return row[schema.names.index(name)]


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_block_keeps_what_it_does_not_know() -> None:
    raw = encode(block(slotNumber="0x99", blockAccessListHash=OWN, baseFeePerGas=hex(2**100)))
    found = decode_block(raw)
    assert found is not None
    (row,) = tables.block_rows(*found)
    assert row[:3] == (OWN, 16, datetime.fromtimestamp(0x66000000, UTC))
    assert column(tables.BLOCK_SCHEMA, row, "gas_limit") == 2**64 - 1
    assert column(tables.BLOCK_SCHEMA, row, "base_fee_per_gas") == 2**100
    assert column(tables.BLOCK_SCHEMA, row, "withdrawals_root") is None
    assert json.loads(row[-1]) == {"slotNumber": "0x99", "blockAccessListHash": OWN}


@given(st.lists(st.integers(0, 2**256 - 1), min_size=1, max_size=5), st.booleans())
def test_numbers_of_any_size_stay_exact(values: list[int], strange: bool) -> None:
    """Also when objects of one block have different members."""
    objects = [transaction(index, value=hex(value)) for index, value in enumerate(values)]
    objects[-1] |= {"type": "0x7f", "mint": {"deep": [1, 2**70]}} if strange else {"maxFeePerGas": hex(values[-1])}
    rows = tables.transaction_rows(header(), copy.deepcopy(objects))
    assert [column(tables.TRANSACTION_SCHEMA, row, "value") for row in rows] == values
    assert [column(tables.TRANSACTION_SCHEMA, row, "transaction_index") for row in rows] == [*range(len(values))]
    last = rows[-1]
    if strange:
        assert column(tables.TRANSACTION_SCHEMA, last, "type") == 127
        assert json.loads(last[-1]) == {"mint": {"deep": [1, 2**70]}}
    else:
        assert column(tables.TRANSACTION_SCHEMA, last, "max_fee_per_gas") == values[-1]
        assert last[-1] is None


@pytest.mark.parametrize(
    "change", [{}, {"new": {"deep": [2**70]}}, {"transactionHash": ...}, {"blockTimestamp": "0x1"}]
)
@pytest.mark.parametrize("place", [0, 1])
def test_objects_without_anything_unknown_make_the_same_rows(change: dict[str, Any], place: int) -> None:
    logs = [log(0, OWN), log(4095), log(4096, OWN, PARENT, OWN, PARENT)]
    logs[place] = {name: value for name, value in {**logs[place], **change}.items() if value is not ...}
    raw = encode(logs)
    known, plain = decode_objects(raw, "logs", tables.KNOWN_LOG), decode_objects(raw, "logs")
    assert known is not None
    assert plain is not None
    mixed = [known[0], *copy.deepcopy(plain[1:])]
    rows = tables.log_rows(header(), plain)
    assert [column(tables.LOG_SCHEMA, row, "log_index") for row in rows] == [0, 4095, 4096]
    assert tables.log_rows(header(), known) == tables.log_rows(header(), mixed) == rows
    assert isinstance(known[0], tables.KNOWN_LOG) is ("new" not in change)


@pytest.mark.parametrize("changes", [{}, {"mint": "0x1"}, {"input": ...}, {"value": []}])
def test_full_blocks_read_by_either_way_are_the_same(changes: dict[str, Any]) -> None:
    changed = {name: value for name, value in transaction(1, **changes).items() if value is not ...}
    raw = encode(block(transactions=[transaction(0), changed], slotNumber="0x9"))

    def outcome(*known: Any) -> Any:
        found = decode_block(raw, *known)
        assert found is not None
        try:
            return found[0], tables.transaction_rows(found[0], check_transactions(*found))
        except MalformedAnswerError as error:
            return str(error)

    assert outcome() == outcome(tables.KnownFullBlock)
    assert isinstance(outcome(), str) is (list(changes) in (["input"], ["value"]))


@pytest.mark.parametrize(
    "change", [{"value": "many"}, {"value": ["0x1"]}, {"nonce": {}}, {"hash": ...}, {"input": ...}]
)
def test_malformed_objects_are_named_and_not_shown(change: dict[str, Any]) -> None:
    item = {name: value for name, value in transaction(0, **change).items() if value is not ...}
    with pytest.raises(MalformedAnswerError) as caught:
        tables.transaction_rows(header(), [item])
    assert next(iter(change)) in str(caught.value)
    assert "many" not in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [b"5", b"[]", b'{"number"', encode(block(hash=None)), encode(block(number="sixteen")), encode(block(logsBloom="0xzz")), encode(block(logsBloom=[])), encode({"number": "0x1"}),
     encode(block(parentHash="0x12"))],
)  # fmt: skip
def test_malformed_blocks(raw: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        decode_block(raw)
    with pytest.raises(MalformedAnswerError):
        decode_header(raw)


def test_null_is_no_block() -> None:
    assert decode_block(b"null") is None
    assert decode_header(b"null") is None
    assert decode_objects(b"null", "logs") is None


@given(st.integers(0, 2**50))
def test_times_beyond_the_calendar_stay_exact(seconds: int) -> None:
    found = block_time(seconds)
    if isinstance(found, datetime):
        assert found.timestamp() == seconds
    else:
        assert int(found.split("-")[0]) > 9999
        assert found.endswith("Z")


def test_a_time_far_away() -> None:
    assert block_time(253_402_300_800) == "10000-01-01T00:00:00Z"


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


def flat(path: list[int], own: str = OWN, **changes: Any) -> dict[str, Any]:
    action = {"from": ALICE, "to": BOB, "callType": "call", "value": "0x5", "gas": "0x10", "input": "0x"}
    plain = {
        "action": action, "blockHash": OWN, "blockNumber": 16, "result": {"gasUsed": "0x1", "output": "0xff"},
        "subtraces": 0, "traceAddress": path, "transactionHash": own, "transactionPosition": 0, "type": "call",
    }  # fmt: skip
    return {**plain, **changes}


def test_both_forms_of_traces_make_the_same_rows() -> None:
    call = {"type": "CALL", "from": ALICE, "to": BOB, "value": "0x5", "gas": "0x10", "gasUsed": "0x1", "input": "0x", "output": "0xff"}  # fmt: skip
    tree = [{"txHash": OWN, "result": {**call, "calls": [{**call, "calls": [call]}, call]}}]
    flats = [flat([], subtraces=2), flat([0], subtraces=1), flat([0, 0]), flat([1])]
    assert call_tree_rows(header(), [OWN], tree) == flat_trace_rows(header(), flats)


def test_rewards_and_creations() -> None:
    reward = flat([], type="reward", action={"author": BOB, "rewardType": "block", "value": "0x2"}, result=None, transactionHash=None, transactionPosition=None)  # fmt: skip
    create = flat([], type="create", action={"from": ALICE, "gas": "0x1", "init": "0x60", "value": "0x0"}, result={"address": BOB, "code": "0x00", "gasUsed": "0x1"})  # fmt: skip
    one, two = flat_trace_rows(header(), [create, reward])
    pick = ("transaction_index", "type", "from_address", "to_address", "input", "output", "value")
    assert [column(TRACE_SCHEMA, one, name) for name in pick] == [0, "create", ALICE, BOB, "0x60", "0x00", 0]
    assert [column(TRACE_SCHEMA, two, name) for name in pick] == [-1, "reward", None, BOB, None, None, 2]


def test_a_deep_tree_does_not_exhaust_the_stack() -> None:
    call: dict[str, Any] = {"type": "CALL"}
    for _ in range(5000):
        call = {"type": "CALL", "calls": [call]}
    assert len(call_tree_rows(header(), [OWN], [{"result": call}])) == 5001


def test_missing_traces_are_not_believed() -> None:
    with pytest.raises(StaleAnswerError):
        check_traces(header(), [OWN, PARENT], [OWN])
    with pytest.raises(StaleAnswerError):
        check_flat_traces(header(), [OWN], [flat([], blockHash=PARENT)])
    with pytest.raises(StaleAnswerError):
        check_call_trees(header(), [OWN], [{"txHash": OWN, "error": "execution timeout"}])


@pytest.mark.parametrize(("kind", "to"), [("block", ALICE), ("uncle", BOB)])
def test_what_a_reward_is_for_is_kept(kind: str, to: str) -> None:
    reward = flat([], type="reward", action={"author": to, "rewardType": kind, "value": "0x2"}, result=None, transactionHash=None, transactionPosition=None)  # fmt: skip
    (row,) = flat_trace_rows(header(), [reward])
    assert json.loads(column(TRACE_SCHEMA, row, "extra")) == {"rewardType": kind}


def test_members_of_traces_that_have_no_column_are_kept() -> None:
    one = flat([], vmTrace={"ops": []}, subtraces=0)
    one["action"] = {**one["action"], "feeCurrency": ALICE}
    one["result"] = {**one["result"], "gas": "0x7", "refund": "0x1"}
    (row,) = flat_trace_rows(header(), [one])
    kept = {"vmTrace": {"ops": []}, "feeCurrency": ALICE, "_gas": "0x7", "refund": "0x1"}
    assert json.loads(column(TRACE_SCHEMA, row, "extra")) == kept


def test_an_error_is_the_nodes_word_and_the_reason_of_a_revert_is_beside_it() -> None:
    call = {"type": "CALL", "from": ALICE, "to": BOB, "error": "execution reverted", "revertReason": "not yet"}
    tree = [{"txHash": OWN, "result": {**call, "calls": [{**call, "revertReason": None, "logs": [{"index": "0x0"}]}]}}]
    first, second = call_tree_rows(header(), [OWN], tree)
    assert [column(TRACE_SCHEMA, row, "error") for row in (first, second)] == ["execution reverted"] * 2
    assert json.loads(column(TRACE_SCHEMA, first, "extra")) == {"revertReason": "not yet"}
    assert json.loads(column(TRACE_SCHEMA, second, "extra")) == {"logs": [{"index": "0x0"}]}
