"""Raw answers to rows: exact numbers, what is unknown, what is malformed, and checks that find what was left out."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.sources.ethereum.decode import tables
from connector_runner.sources.ethereum.decode.responses import decode_block, decode_header, decode_objects
from connector_runner.sources.ethereum.decode.rows import block_time
from connector_runner.sources.ethereum.errors import MalformedAnswerError
from connector_runner.sources.ethereum.verify.consistency import (
    check_transactions,
)
from tests.unit.ethereum.objects import OWN, PARENT, block, column, encode, header, log, transaction


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


@pytest.mark.parametrize("zero", ["0x0", "0x", "0", 0])
def test_a_header_with_nothing_where_a_number_is_expected(zero: str | int) -> None:
    """Some nodes send 0x for 0, as for the number and the time of block 0."""
    found = decode_header(
        encode({"number": zero, "hash": OWN, "parentHash": PARENT, "timestamp": zero, "gasUsed": zero})
    )
    assert found is not None
    assert (found.number, found.seconds) == (0, 0)


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
