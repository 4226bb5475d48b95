"""Rows as records of Kafka: value → JSON → value is the identity, or a refusal; keys and prefixes; addresses."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import DECIMAL, INT64, STRING, Kind, LogicalType
from connector_runner.schemas.dataset_url import url_problems
from connector_runner.schemas.datasets.kafka import KAFKA, parse_address
from connector_runner.schemas.datasets.kafka_options import settings_of, state_limit
from connector_runner.sinks.kafka import ledger_records
from connector_runner.sinks.kafka.ledger_records import (
    apply_record,
    decode_mark,
    decode_taking,
    encode_key,
    encode_mark,
    encode_taking,
)
from connector_runner.sinks.kafka.records import VALUE_ERRORS, Encoder, with_operation, without_operation

ERRORS = (RefusedError, *VALUE_ERRORS)
TEXTS = st.text(st.characters(codec=None), max_size=40)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(),
    Kind.INT64: st.integers(-(2**63) - 2, 2**63 + 2),
    Kind.UINT64: st.integers(-2, 2**64 + 2),
    Kind.INT256: st.integers(-(2**255), 2**256 - 1),
    Kind.DECIMAL: st.decimals(),
    Kind.FLOAT32: st.floats(width=32),
    Kind.FLOAT64: st.floats(),
    Kind.STRING: TEXTS,
    Kind.BYTES: st.binary(max_size=40),
    Kind.DATE: st.dates(),
    Kind.TIME: st.times(),
    Kind.TIMESTAMP: st.datetimes() | st.just("294276-12-31T23:59:59.999999"),
    Kind.TIMESTAMPTZ: st.datetimes(timezones=st.just(dt.UTC)) | st.just("10000-01-01T00:00:00Z"),
    Kind.JSON: st.recursive(st.booleans() | st.integers() | TEXTS, st.lists, max_leaves=4).map(json.dumps)
    | st.sampled_from(["{", "NaN", "1e999", '{"a": 1.0000000000000000000001}', "[Infinity]", '"\\ud800"', "", "1 2"]),
    Kind.UUID: st.uuids().map(str),
}
READ: dict[Kind, Any] = {
    Kind.INT256: int,
    Kind.DECIMAL: Decimal,
    Kind.BYTES: base64.b64decode,
    Kind.DATE: dt.date.fromisoformat,
    Kind.TIME: dt.time.fromisoformat,
    Kind.TIMESTAMP: dt.datetime.fromisoformat,
    Kind.TIMESTAMPTZ: dt.datetime.fromisoformat,
}
REFUSED = {
    Kind.INT64: lambda value: not -(2**63) <= value < 2**63,
    Kind.UINT64: lambda value: not 0 <= value < 2**64,
    Kind.FLOAT32: lambda value: not math.isfinite(value),
    Kind.FLOAT64: lambda value: not math.isfinite(value),
    Kind.STRING: lambda value: any(0xD800 <= ord(letter) < 0xE000 for letter in value),
    Kind.JSON: lambda value: value in {"{", "NaN", "[Infinity]", "", "1 2"},
}


def schema_of(kind: Kind) -> StreamSchema:
    return StreamSchema("test", (Column("k", INT64), Column("v", LogicalType(kind))), ("k",))


def read(kind: Kind, text: bytes, sent: object) -> Any:
    if kind is Kind.JSON:
        return text[len(b'{"k":1,"v":') : -1].decode()
    value = json.loads(text, parse_int=int)["v"]
    is_text = isinstance(sent, str) and kind in {Kind.TIMESTAMP, Kind.TIMESTAMPTZ}
    return value if is_text or kind not in READ else READ[kind](value)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_value_comes_back_as_it_was_or_is_refused(kind: Kind) -> None:
    encoder = Encoder(schema_of(kind))

    @given(VALUES[kind])
    def check(sent: Any) -> None:
        must_refuse = kind in REFUSED and REFUSED[kind](sent)
        try:
            (text,) = encoder.values([(1, sent)])
        except ERRORS:
            assert must_refuse, sent
            return
        assert not must_refuse, sent
        found = read(kind, text, sent)
        if kind is Kind.DECIMAL:
            same = str(found) == str(sent) if not sent.is_finite() else found == sent and is_as_long(found, sent)
            assert same, (sent, found)
        elif kind is Kind.FLOAT32:
            assert struct.pack("f", found) == struct.pack("f", sent)
        else:
            assert (type(found), found) == (type(sent), sent)

    check()
    (text,) = encoder.values([(1, None)])
    assert json.loads(text) == {"k": 1, "v": None}


def is_as_long(found: Decimal, sent: Decimal) -> bool:
    """Every digit, trailing zeros included; where there is a positive exponent, the value."""
    exponent = sent.as_tuple().exponent
    return found.as_tuple() == sent.as_tuple() or (isinstance(exponent, int) and exponent > 0) or not sent


def test_one_value_that_is_refused_refuses_its_batch_only_for_the_whole_attempt() -> None:
    encoder = Encoder(schema_of(Kind.FLOAT64))
    with pytest.raises(RefusedError):
        encoder.values([(1, 1.0), (2, math.nan), (3, 2.0)])
    assert encoder.values([(1, 1.0), (2, None)]) == [b'{"k":1,"v":1.0}', b'{"k":2,"v":null}']


def test_equal_decimals_are_one_key() -> None:
    encoder = Encoder(StreamSchema("test", (Column("k", DECIMAL),), ("k",)))
    texts = ["1.50", "1.5", "15E-1", "0.00", "-0", "0", "1E+2", "100", "100.00"]
    keys = encoder.keys([(Decimal(text),) for text in texts])
    assert keys == [b'{"k":"1.5"}'] * 3 + [b'{"k":"0"}'] * 3 + [b'{"k":"100"}'] * 3


@pytest.mark.parametrize("kind", [Kind.FLOAT32, Kind.FLOAT64])
def test_zero_is_one_key_whatever_its_sign(kind: Kind) -> None:
    encoder = Encoder(StreamSchema("test", (Column("k", LogicalType(kind)), Column("v", LogicalType(kind))), ("k",)))
    assert encoder.keys([(0.0, 1.0), (-0.0, 1.0), (-1.5, 1.0)]) == [b'{"k":0.0}', b'{"k":0.0}', b'{"k":-1.5}']
    assert encoder.prefix((-0.0,)) == b'{"k":0.0}'
    assert encoder.values([(-0.0, -0.0)]) == [b'{"k":-0.0,"v":-0.0}']


PAIR = StreamSchema("test", (Column("v", STRING), Column("b", INT64), Column("a", STRING)), ("a", "b"))


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 20)), min_size=1), st.text(max_size=3))
def test_keys_begin_with_the_prefix_of_exactly_their_first_values(keys: list[tuple[str, int]], wanted: str) -> None:
    encoder = Encoder(PAIR)
    encoded = [key or b"" for key in encoder.keys([("v", b, a) for a, b in keys])]
    start = encoder.prefix((wanted,))
    end = start[:-1] + bytes([start[-1] + 1])
    for (a, _), key in zip(keys, encoded, strict=True):
        assert key.startswith(start) == (a == wanted) == (start <= key < end)
    whole = encoder.prefix(keys[0])
    assert [key == whole for key in encoded] == [pair == keys[0] for pair in keys]
    assert encoder.prefix(()) == b""


@given(st.dictionaries(st.text(max_size=4), st.text() | st.integers(), max_size=4))
def test_the_operation_of_a_history_can_be_taken_off_again(members: dict[str, Any]) -> None:
    value = json.dumps(members, separators=(",", ":")).encode()
    marked = with_operation(value, "upsert")
    assert json.loads(marked) == {**members, "_op": "upsert"}
    assert without_operation(marked) == (value, "upsert")


def test_rows_of_the_ledger_are_records_and_back() -> None:
    rows: ledger_records.Rows = {}
    row = ("default/test", "s", "t", 3, 7, "uid", 2, "id", "v", '{"next":1}', "upsert", "2026-01-01T00:00:00.000Z")
    key = ledger_records.encode_key(row[:3])
    ledger_records.apply_record(rows, key, ledger_records.encode_row(row))
    ledger_records.apply_record(rows, b'"settled"', None)
    assert rows == {("default/test", "s", "t"): row}
    ledger_records.apply_record(rows, key, None)
    assert rows == {}


@pytest.mark.parametrize("one", ["a/b", "a.b/c", "a/b.c", "Ä/b", "a/b/c", "x" * 300 + "/y", "x" * 300 + "/z", "a.b"])
def test_each_connector_has_a_ledger_of_its_own(one: str) -> None:
    others = {"a/b", "a.b/c", "a/b.c", "Ä/b", "a/b/c", "x" * 300 + "/y", "x" * 300 + "/z", "a.b"} - {one}
    name = ledger_records.ledger_topic(one)
    assert name not in {ledger_records.ledger_topic(other) for other in others}
    assert len(name) <= 249
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_a_dead_letter_that_is_too_long_is_cut_and_says_so() -> None:
    members = ledger_records.LETTERS
    letter = ["c", "s", "too long", "upsert", "{}", json.dumps({"v": "ä" * 1_000_000})]
    short = ledger_records.shorten_letter(ledger_records.encode_beside(members, letter), 1_000_000)
    assert len(short) < 1_000_000
    found = json.loads(short)
    assert found["row"].startswith('{"v":"ä')
    assert "cut" in found["reason"]
    whole = ledger_records.encode_beside(members, [*letter[:5], '{"v": 1}'])
    assert ledger_records.shorten_letter(whole, 1_000_000) == whole
    assert json.loads(whole)["row"] == {"v": 1}


@pytest.mark.parametrize(
    ("url", "table", "topic"),
    [
        ("kafka://b:9092", "rows", "rows"),
        ("kafka://b:9092/", "rows", "rows"),
        ("kafka://b:9092/market", "rows", "market"),
        ("kafka://b:9092/raw.{table}", "rows", "raw.rows"),
        ("kafka://b:9092/raw.{table}", "raw.rows", "raw.rows"),
        ("kafka://b:9092/%7Btable%7D-v2", "rows", "rows-v2"),
        ("kafka://b:9092/raw.{table}", "raw.", "raw.raw."),
    ],
)
def test_the_topic_of_a_table(url: str, table: str, topic: str) -> None:
    assert url_problems(url) == ()
    address = parse_address(url)
    assert address.topic(table) == topic
    assert address.topic(topic) == topic


def test_the_options_of_an_address() -> None:
    address = parse_address("kafka://one:9092,[::1]:9093/t?partitions=6&replication=3&topics=exist")
    assert address.brokers == ("one:9092", "[::1]:9093")
    assert (address.partitions, address.replication, address.creates) == (6, 3, False)
    assert set(KAFKA.types) == {kind.value for kind in Kind}


def test_a_mark_in_the_ledger_is_no_row_and_a_row_is_no_mark() -> None:
    """Earlier versions of the runner leave marks out, too: they take only lists for rows."""
    mark, rows = encode_mark("stream", "raw.rows"), dict[Any, Any]()
    apply_record(rows, mark, b"true")
    assert rows == {}
    assert decode_mark(mark) == ("stream", "raw.rows")
    for other in (encode_key(("default/test", "stream", "raw.rows")), b'"settled"', b"{}", None):
        assert decode_mark(other) is None


def test_a_taking_in_the_ledger_is_neither_a_row_nor_a_mark() -> None:
    taking, rows = encode_taking("default/other"), dict[Any, Any]()
    apply_record(rows, taking, b"true")
    assert rows == {}
    assert decode_taking(taking) == "default/other"
    assert decode_mark(taking) is None
    for other in (encode_mark("stream", "rows"), encode_key(("default/test", "stream", "rows")), b"{}", None):
        assert decode_taking(other) is None


def test_the_limit_on_disk_is_no_setting_of_librdkafka() -> None:
    assert settings_of({"state.max.mib": "16", "format": "json", "linger.ms": "1"}) == {"linger.ms": "1"}
    assert (state_limit({"state.max.mib": "16"}), state_limit({})) == (16, 4096)
