"""Rows as Avro: what the encoder writes, a library reads back as it was, or the value is refused."""

from __future__ import annotations

import io
import json
import math
import struct
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import INT64, STRING, Kind, LogicalType
from connector_runner.schemas.datasets.kafka import KAFKA
from connector_runner.schemas.datasets.kafka_options import check_options, settings_of
from connector_runner.sinks.kafka.avro import AvroValues, build_schema, is_avro, legal_name, schema_number
from connector_runner.sinks.kafka.avro_reader import read_row
from connector_runner.sinks.kafka.records import Encoder, with_operation, without_operation
from tests.unit.runner.test_kafka_records import ERRORS, VALUES

PRICE = LogicalType(Kind.DECIMAL, 12, 4)
MUST_REFUSE = {
    Kind.INT64: lambda value: not -(2**63) <= value < 2**63,
    Kind.UINT64: lambda value: not 0 <= value < 2**64,
    Kind.STRING: lambda value: any(0xD800 <= ord(letter) < 0xE000 for letter in value),
    Kind.TIMESTAMP: lambda value: isinstance(value, str),
    Kind.TIMESTAMPTZ: lambda value: isinstance(value, str),
}


def schema_of(kind: LogicalType) -> StreamSchema:
    return StreamSchema("test", (Column("k", INT64), Column("v", kind)), ("k",))


def decoded(schema: StreamSchema, value: bytes, *, append: bool = False) -> Any:
    parsed = fastavro.parse_schema(json.loads(build_schema(schema, "topic", append=append)))
    stream = io.BytesIO(value[5:])
    found = fastavro.schemaless_reader(stream, parsed, None)
    assert stream.read() == b""
    return found


@pytest.mark.parametrize("kind", list(Kind))
def test_a_library_reads_each_value_as_it_was_or_it_is_refused(kind: Kind) -> None:
    schema = schema_of(LogicalType(kind))
    values = AvroValues(schema, 7)

    @given(VALUES[kind])
    def check(sent: Any) -> None:
        must_refuse = kind in MUST_REFUSE and MUST_REFUSE[kind](sent)
        try:
            (value,) = values.values([(1, sent)])
        except ERRORS:
            assert must_refuse, sent
            return
        assert not must_refuse, sent
        assert schema_number(value) == 7
        found = decoded(schema, value)["v"]
        match kind:
            case Kind.UINT64 | Kind.INT256:
                assert int(found) == sent
            case Kind.DECIMAL:
                assert str(Decimal(found)) == str(sent) or Decimal(found) == sent
            case Kind.UUID:
                assert str(found) == sent
            case Kind.FLOAT32 | Kind.FLOAT64:
                assert struct.pack("d", found) == struct.pack("d", sent) or (math.isnan(found) and math.isnan(sent))
            case _:
                assert (type(found), found) == (type(sent), sent)

    check()
    (value,) = values.values([(1, None)])
    assert decoded(schema, value) == {"k": 1, "v": None}


@given(st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(-(10**8), 10**8, places=4))
def test_decimals_of_a_known_size_are_numbers_or_refused(sent: Decimal) -> None:
    schema = schema_of(PRICE)
    fits = sent.is_finite() and abs(sent) < 10**8 and sent == sent.quantize(Decimal("0.0001"))
    try:
        (value,) = AvroValues(schema, 1).values([(1, sent)])
    except ERRORS:
        assert not fits, sent
        return
    assert fits, sent
    found = decoded(schema, value)["v"]
    assert (type(found), found) == (Decimal, sent)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1, max_size=20))
def test_columns_with_gaps_stay_in_their_rows(numbers: list[int | None]) -> None:
    schema = schema_of(INT64)
    values = AvroValues(schema, 1).values([(place, number) for place, number in enumerate(numbers)])
    assert [decoded(schema, value) for value in values] == [{"k": k, "v": v} for k, v in enumerate(numbers)]


@pytest.mark.parametrize("operation", ["upsert", "delete", "insert"])
def test_the_operation_of_a_history_is_its_last_field(operation: str) -> None:
    schema = schema_of(STRING)
    encoder = Encoder(schema, AvroValues(schema, 2**32 - 1))
    (row,) = encoder.values([(1, "upsert")])
    marked = with_operation(row, operation)
    assert decoded(schema, marked, append=True) == {"k": 1, "v": "upsert", "_op": operation}
    assert without_operation(marked) == (row, operation)
    assert encoder.keys([(1, "x")]) == [b'{"k":1}']
    with pytest.raises(ValueError, match="operation"):
        without_operation(Encoder(schema, AvroValues(schema, 1)).values([(1, "other")])[0])


@given(st.text(max_size=30), st.text(max_size=20))
def test_any_name_has_a_legal_one_and_comes_back(topic: str, column: str) -> None:
    schema = StreamSchema("test", (Column("key", INT64), Column(f"{column}'", STRING)), ("key",))
    text = build_schema(schema, topic or "t", append=False)
    fastavro.parse_schema(json.loads(text))
    (value,) = AvroValues(schema, 1).values([(1, "x")])
    assert read_row(json.loads(text), value) == {"key": 1, f"{column}'": "x"}


def test_two_columns_that_would_be_one_field_are_refused() -> None:
    schema = StreamSchema("test", (Column("a b", INT64), Column("a-b", STRING)), ("a b",))
    with pytest.raises(SchemaConflictError, match=r"columns 'a b' and 'a-b'.*the same field a_b"):
        build_schema(schema, "topic", append=False)
    assert legal_name("7Ä.x") == "_7__x"


def test_a_column_may_come_and_go_under_full_compatibility() -> None:
    """Old rows are read with the new schema, and new rows with the old one."""
    old = schema_of(STRING)
    new = StreamSchema("test", (*old.columns, Column("w", PRICE, nullable=False)), ("k",))
    schemas: list[Any] = [
        fastavro.parse_schema(json.loads(build_schema(each, "topic", append=True))) for each in (old, new)
    ]
    rows = [
        with_operation(AvroValues(old, 1).values([(1, "a")])[0], "upsert"),
        with_operation(AvroValues(new, 2).values([(2, "b", Decimal("1.5"))])[0], "upsert"),
    ]
    assert fastavro.schemaless_reader(io.BytesIO(rows[0][5:]), schemas[0], schemas[1]) == {
        "k": 1, "v": "a", "w": None, "_op": "upsert",
    }  # fmt: skip
    assert fastavro.schemaless_reader(io.BytesIO(rows[1][5:]), schemas[1], schemas[0]) == {
        "k": 2,
        "v": "b",
        "_op": "upsert",
    }


def test_json_is_never_taken_for_avro() -> None:
    assert not is_avro(Encoder(schema_of(STRING)).values([(0, "\x00")])[0])
    with pytest.raises(ValueError, match="id of a schema"):
        schema_number(b"\x00\x00")


URL = {"schema.registry.url": "http://registry:8080/apis/ccompat/v7"}
USER = {"schema.registry.username": "a", "schema.registry.password": "b"}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"format": "avro"}, "schema.registry.url is missing"),
        (URL, "has no effect with format json"),
        ({"format": "avro", **URL, "schema.registry.username": "a"}, "belong together"),
        ({"format": "avro", **URL, **USER, "schema.registry.bearer.token": "t"}, "two ways"),
        ({"format": "avro", **URL, "schema.registry.ca.pem": "-"}, "begins with http://"),
        ({"format": "avro", **URL, **USER}, None),
        ({"format": "json"}, None),
    ],
)
def test_options_of_a_registry_fit_together(options: dict[str, str], problem: str | None) -> None:
    problems = list(check_options(options))
    assert len(problems) == (problem is not None), problems
    assert problem is None or problem in problems[0]
    assert settings_of(options) == {}  # librdkafka knows none of them
    assert set(options) <= set(KAFKA.options)


def test_every_kind_has_a_documented_type_in_avro() -> None:
    assert set(KAFKA.more_types["Kafka (Avro)"]) == {kind.value for kind in Kind}
