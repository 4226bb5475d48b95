"""What documented messages become, and everything that the documentation does not promise."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from connector_runner.protocols.types import Kind
from connector_runner.sources.coinbase.decode import messages
from connector_runner.sources.coinbase.decode.decoder import Decoder, MalformedError, colons, price_key
from connector_runner.sources.coinbase.decode.rest import decode_page
from connector_runner.sources.coinbase.readers.batch_builder import BatchBuilder
from connector_runner.sources.coinbase.readers.building import build_reader
from connector_runner.sources.coinbase.streams import STREAMS
from tests.unit.coinbase.shapes import (
    CONTROL,
    L2UPDATE,
    LISTS,
    MATCH,
    SHAPES,
    SNAPSHOT,
    TICKER,
    TIME,
)

PYTHON_TYPES: dict[Kind, type] = {
    Kind.STRING: str,
    Kind.UUID: str,
    Kind.JSON: str,
    Kind.DECIMAL: Decimal,
    Kind.INT64: int,
    Kind.BOOL: bool,
    Kind.TIMESTAMPTZ: datetime,
}


def read(stream: str, *texts: str) -> BatchBuilder:
    builder = BatchBuilder()
    build_reader(STREAMS[stream], None, ()).read([text.encode() for text in texts], builder, 0.0)
    return builder


@pytest.mark.parametrize(
    ("stream", "text", "expected"), SHAPES, ids=[f"{s}-{json.loads(t)['type']}" for s, t, _ in SHAPES]
)
def test_documented_shapes_become_documented_columns(stream: str, text: str, expected: dict[str, Any]) -> None:
    schema = STREAMS[stream].schema
    (row,) = read(stream, text).rows
    assert len(row) == len(schema.columns)
    found = {name: value for name, value in zip(schema.names, row, strict=True) if value is not None}
    assert found == {name: value for name, value in expected.items() if value is not None}
    for column, value in zip(schema.columns, row, strict=True):
        assert value is None or type(value) is PYTHON_TYPES[column.type.kind], column
        assert value is not None or column.nullable, column
    assert [str(value) for value in row if isinstance(value, Decimal)] == [
        str(value) for name in schema.names if isinstance(value := expected.get(name), Decimal)
    ], "every digit is kept"


@pytest.mark.parametrize(("stream", "texts", "expected"), LISTS, ids=["snapshot", "l2update", "status"])
def test_documented_lists_become_rows(stream: str, texts: list[str], expected: list[dict[str, Any]]) -> None:
    names = STREAMS[stream].schema.names
    rows = [row for row in read(stream, *texts).rows if len(row) == len(names)]
    found = [{n: v for n, v in zip(names, row, strict=True) if v is not None} for row in rows]
    assert found == expected


@pytest.mark.parametrize(("text", "expected"), CONTROL, ids=["subscriptions", "error"])
def test_documented_answers_are_understood(text: str, expected: messages.Subscriptions | messages.FeedError) -> None:
    assert Decoder(()).decode(text.encode()) == expected
    builder = read("ticker", text)
    assert (builder.rows, builder.errors) == ([], [expected] if isinstance(expected, messages.FeedError) else [])


@pytest.mark.parametrize("spec", STREAMS.values(), ids=STREAMS)
def test_every_column_is_described_and_keys_are_never_null(spec: Any) -> None:
    assert all(column.description for column in spec.schema.columns)
    assert spec.schema.key
    assert all(not spec.schema.columns[index].nullable for index in spec.schema.key_indices)
    assert spec.schema.columns[-1].name == "extra"


def test_ticker_batch_has_the_columns_of_ticker() -> None:
    assert read("ticker_batch", TICKER).rows == read("ticker", TICKER).rows


def test_documented_messages_take_the_fast_way() -> None:
    decoder = Decoder([messages.Ticker, messages.Match])
    for text in (TICKER, MATCH):
        decoder.decode(text.encode())
    assert not decoder.counts
    assert colons(messages.Ticker) == TICKER.count(":")


def test_missing_fields_are_null_and_fields_of_another_type_are_kept() -> None:
    document = json.loads(TICKER) | {"price": {"amount": "1"}, "best_bid": None, "open_24h": ""}
    del document["last_size"], document["trade_id"]
    (row,) = read("ticker", json.dumps(document)).rows
    found = dict(zip(STREAMS["ticker"].schema.names, row, strict=True))
    assert [found[name] for name in ("price", "last_size", "trade_id", "best_bid", "open_24h")] == [None] * 5
    assert json.loads(found["extra"]) == {"price": {"amount": "1"}}
    assert found["best_ask"] == Decimal("1285.27")


def test_numbers_where_texts_were_documented_keep_their_digits() -> None:
    (row,) = read("ticker", TICKER.replace('"1285.22"', "1285.220")).rows
    assert str(row[2]) == "1285.220"


def test_times_are_in_utc() -> None:
    (row,) = read("matches", MATCH.replace("08:19:27.028459Z", "10:19:27.028459+02:00")).rows
    assert row[6] == TIME
    assert row[6].utcoffset().total_seconds() == 0


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: name not in json.loads(TICKER)),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5),
        min_size=1,
    ),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]),
)  # fmt: skip
def test_no_unknown_field_is_lost(unknown: dict[str, Any], separators: tuple[str, str]) -> None:
    text = json.dumps({**json.loads(TICKER), **unknown}, separators=separators)
    (row,) = read("ticker", text).rows
    assert json.loads(row[-1]) == {name: value for name, value in unknown.items() if value is not None} | {
        name: None for name, value in unknown.items() if value is None
    }
    assert row[:-1] == read("ticker", TICKER).rows[0][:-1]


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", "12", '"ticker"', '{"type":"ticker"', "\ufffd", TICKER[:-5]])
def test_garbage_is_counted_and_nothing_else(text: str) -> None:
    reader = build_reader(STREAMS["ticker"], None, ())
    builder = BatchBuilder()
    reader.read([text.encode(), b"\xc3\x28", TICKER.encode()], builder, 0.0)
    assert len(builder.rows) == 1
    assert reader.counts["malformed_messages"] == 2


VALID = [
    *((stream, text) for stream, text, _ in SHAPES),
    *((stream, text) for stream, texts, _ in LISTS for text in texts),
    *(("matches", text) for text, _ in CONTROL),
]
NOISE = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [b"\xc3\x28", b"null", b"[]", b'"NaN"', b"1e999", b'"-Infinity"', b"\\ud800", b":", b'"', b"{}", b"-1"]
    ),
    st.integers(1, 3).map(lambda depth: b"[" * 10**depth),
)


@settings(deadline=None, max_examples=500)
@given(st.sampled_from(VALID), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), NOISE), min_size=1, max_size=3))
def test_no_bytes_break_a_reader(valid: tuple[str, str], changes: list[tuple[float, int, bytes]]) -> None:
    """Any place of a message may hold anything; what comes out has the columns' types all the same."""
    stream, text = valid
    raw = text.encode()
    for place, length, noise in changes:
        start = int(place * len(raw))
        raw = raw[:start] + noise + raw[start + length :]
    schema = STREAMS[stream].schema
    builder = BatchBuilder()
    build_reader(STREAMS[stream], None, ()).read([raw], builder, 0.0)
    for row in builder.rows:
        if len(row) == len(schema.columns):
            for column, value in zip(schema.columns, row, strict=True):
                assert column.nullable if value is None else type(value) is PYTHON_TYPES[column.type.kind], column


@pytest.mark.parametrize("spec", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("value", [b'"\xc3\x28"', b"[" * 100_000 + b"]" * 100_000], ids=["no UTF-8", "deep"])
def test_an_unknown_field_that_can_not_be_read_makes_the_message_malformed(spec: Any, value: bytes) -> None:
    reader = build_reader(spec, None, ())
    tag = str(spec.shapes[0].__struct_config__.tag)
    text = next(text for _, text in VALID if json.loads(text)["type"] == tag)
    reader.read([text.encode()[:-1] + b',"novelty":' + value + b"}"], builder := BatchBuilder(), 0.0)
    assert (builder.rows, reader.counts["malformed_messages"]) == ([], 1)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e30"])
def test_a_timestamp_that_is_no_time_makes_the_message_malformed(value: str) -> None:
    reader = build_reader(STREAMS["user"], None, ())
    text = next(text for _, text, _ in SHAPES if '"activate"' in text).replace("1483736448.299000", value)
    reader.read([text.encode()], builder := BatchBuilder(), 0.0)
    assert (builder.rows, reader.counts["malformed_messages"]) == ([], 1)


@pytest.mark.parametrize("stream", ["heartbeat", "auctionfeed", "balance"])
def test_a_key_time_without_a_zone_makes_the_message_malformed(stream: str) -> None:
    reader = build_reader(STREAMS[stream], None, ())
    text = next(text for name, text, _ in SHAPES if name == stream).replace("Z", "")
    reader.read([text.encode()], builder := BatchBuilder(), 0.0)
    assert (builder.rows, reader.counts["malformed_messages"]) == ([], 1)


def test_another_time_without_a_zone_is_kept_beside_the_columns() -> None:
    (row,) = read("matches", MATCH.replace("459Z", "459")).rows
    assert (row[6], json.loads(row[-1])) == (None, {"time": "2014-11-07T08:19:27.028459"})


def test_messages_that_nobody_knows_are_ignored_and_counted() -> None:
    reader = build_reader(STREAMS["ticker"], None, ())
    builder = BatchBuilder()
    reader.read([b'{"type":"novelty","x":1}', b'{"no":"type"}'], builder, 0.0)
    assert builder.rows == []
    assert reader.counts["unknown_messages"] == 2


def test_a_message_without_its_key_is_malformed() -> None:
    decoder = Decoder([messages.Match])
    with pytest.raises(MalformedError, match="trade_id"):
        decoder.decode(MATCH.replace('"trade_id":10', '"trade_id":"ten"').encode())


def test_pages_of_rest_trades() -> None:
    text = b'[{"time":"2014-11-07T08:19:27.028459Z","trade_id":74,"price":"10.00","size":"0.01","side":"buy"}]'
    (trade,) = decode_page(text)
    assert astuple(trade) == (74, "buy", Decimal("10.00"), Decimal("0.01"), TIME, None)
    (trade,) = decode_page(text.replace(b'"side"', b'"venue":"x","side"'))
    assert trade.extra == '{"venue":"x"}'
    for wrong in (
        b"",
        b'{"message":"NotFound"}',
        b"[1]",
        b'[{"price":"1"}]',
        b'["\xc3\x28"]',
        b"[" * 100_000,
        text.replace(b"buy", b"\xc3\x28"),
    ):
        with pytest.raises(MalformedError):
            decode_page(wrong)


@pytest.mark.parametrize(
    ("text", "key"), [("10101.80000000", "10101.8"), ("10000", "10000"), ("10000.00", "10000"), ("0.00000100", "0.000001"), ("1.50E3", "1.50E+3")]
)  # fmt: skip
def test_one_price_has_one_key(text: str, key: str) -> None:
    assert str(price_key(text)) == key


FINE = [
    ("27.999999999Z", 999999),
    ("27.1234567Z", 123456),
    ("27.123456789012Z", 123456),
    ("27.0000001Z", 0),
]


@pytest.mark.parametrize(("end", "microsecond"), FINE)
@pytest.mark.parametrize(
    ("stream", "text"), [(s, t) for s, t, _ in SHAPES if ":27.028459Z" in t] + [("level2", L2UPDATE)]
)
def test_a_time_finer_than_a_microsecond_is_cut_and_its_text_is_kept(
    stream: str, text: str, end: str, microsecond: int
) -> None:
    reader, builder = build_reader(STREAMS[stream], None, ()), BatchBuilder()
    snapshot = [SNAPSHOT.encode()] if stream == "level2" else []
    reader.read([*snapshot, text.replace("27.028459Z", end).encode()], builder, 0.0)
    names, row = STREAMS[stream].schema.names, builder.rows[-1]
    moments = {name: value for name, value in zip(names, row, strict=True) if isinstance(value, datetime)}
    assert moments
    assert set(moments.values()) == {TIME.replace(microsecond=microsecond)}, "cut, never rounded"
    kept = json.loads(row[-1])
    assert {name: kept[name] for name in moments} == dict.fromkeys(moments, f"2014-11-07T08:19:{end}")


@pytest.mark.parametrize("end", ["27.028459000Z", "27.0284590Z", "27.028459000+00:00"])
def test_zeros_behind_the_microseconds_are_nothing_to_be_kept(end: str) -> None:
    row = read("matches", MATCH.replace("27.028459Z", end)).rows[0]
    assert (row[6], row[-1]) == (TIME, None)


def test_a_small_z_hides_no_finer_time() -> None:
    text = TICKER.replace("22.061769Z", "22.0617699z").replace('"last_size":"11.4396987"', '"last_size":"1.43969"')
    assert text[-8] == "."
    row = read("ticker", text).rows[0]
    assert (row[13].microsecond, json.loads(row[-1])) == (61769, {"time": "2022-10-19T23:28:22.0617699z"})


def test_the_last_moment_of_all_does_not_become_the_first_of_none() -> None:
    row = read("matches", MATCH.replace("2014-11-07T08:19:27.028459Z", "9999-12-31T23:59:59.9999999Z")).rows[0]
    assert row[6] == datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def test_times_of_rest_are_cut_as_well() -> None:
    text = b'[{"time":"2014-11-07T08:19:27.9999999Z","trade_id":74,"price":"10.00","size":"0.01","side":"buy"}]'
    (trade,) = decode_page(text)
    assert trade.time == TIME.replace(microsecond=999999)
    assert trade.extra == '{"time":"2014-11-07T08:19:27.9999999Z"}'


def test_a_heartbeat_without_its_newest_trade_is_still_a_heartbeat() -> None:
    text = next(text for name, text, _ in SHAPES if name == "heartbeat")
    row = read("heartbeat", text.replace('"last_trade_id":20,', "")).rows[0]
    assert (row[1], row[3]) == (TIME, None)
