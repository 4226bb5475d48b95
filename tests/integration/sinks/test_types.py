"""Value → sink → value is the identity, or a dead letter; never a silently different value."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
import struct
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector_runner.protocols.batch import Operation
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import Kind, LogicalType
from tests.kit.datasets import DATASETS, WITH_TABLES, Dataset, fresh_dataset
from tests.kit.pipeline import batch, context, run_to_end

TEXTS = st.text(st.characters(codec=None), max_size=40)
FLOATS32 = st.floats(width=32)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(),
    Kind.INT64: st.integers(-(2**63) - 2, 2**63 + 2),
    Kind.UINT64: st.integers(0, 2**64 - 1),
    Kind.INT256: st.integers(-(2**255), 2**256 - 1),
    Kind.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False)
    | st.decimals(places=30, min_value=-(10**35), max_value=10**35),
    Kind.FLOAT32: FLOATS32,
    Kind.FLOAT64: st.floats(),
    Kind.STRING: TEXTS,
    Kind.BYTES: st.binary(max_size=40),
    Kind.DATE: st.dates(),
    Kind.TIME: st.times(),
    Kind.TIMESTAMP: st.datetimes(),
    Kind.TIMESTAMPTZ: st.datetimes(timezones=st.just(dt.UTC)),
    Kind.JSON: st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, st.lists, max_leaves=4).map(json.dumps),
    Kind.UUID: st.uuids().map(str),
}


def is_same(sent: Any, found: Any) -> bool:
    if isinstance(sent, float) and isinstance(found, float):
        return sent == found or (math.isnan(sent) and math.isnan(found))
    if isinstance(sent, Decimal) and isinstance(found, Decimal):
        # Every digit, trailing zeros included; where there is a positive exponent, the value.
        return sent.as_tuple() == found.as_tuple() or (sent == found and str(sent).find("E+") > 0) or sent == found == 0
    return type(sent) is type(found) and bool(sent == found)


@pytest.fixture(scope="module")
def shared_dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    folder: Path = tmp_path_factory.mktemp("types")
    with fresh_dataset(request.param, folder, request.getfixturevalue) as made:
        yield made


@pytest.fixture
def shared_database(shared_dataset: Dataset) -> Dataset:
    """One with tables; see `pytest_generate_tests`."""
    return shared_dataset


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shared_dataset" in metafunc.fixturenames:
        # What becomes of values in Kafka and lakes needs no server: test_kafka_records.py and test_lake.py in tests/unit/runner.
        names = (
            WITH_TABLES
            if "shared_database" in metafunc.fixturenames
            else [n for n in DATASETS if n not in {"kafka", "delta", "iceberg"}]
        )
        metafunc.parametrize("shared_dataset", names, indirect=True, scope="module")


_table_numbers: Iterator[int] = iter(range(10**6))


def store(dataset: Dataset, kind: Kind, values: list[Any]) -> tuple[dict[int, Any], set[int]]:
    """What is found by place, and the places that became dead letters."""
    schema = StreamSchema("test", (Column("k", LogicalType(Kind.INT64)), Column("v", LogicalType(kind))), ("k",))
    table = f"t{next(_table_numbers)}"
    rows = [(Operation.UPSERT, (place, value)) for place, value in enumerate(values)]
    asyncio.run(_run(dataset, table, schema, rows))
    found = {row[0]: row[1] for row in dataset.read(schema, table)}
    letters = dataset.query(f'SELECT "row" FROM {table}_dead_letters')
    refused = {(letter if isinstance(letter, dict) else json.loads(letter))["k"] for (letter,) in letters}
    dataset.drop(table)
    return found, refused


async def _run(dataset: Dataset, table: str, schema: StreamSchema, rows: list[Any]) -> None:
    await run_to_end([batch(schema, 1, *rows)], context(dataset, table, refusal_limit=10**6))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_value_comes_back_as_it_was_or_is_refused(shared_dataset: Dataset, kind: Kind) -> None:
    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(VALUES[kind] | st.none(), min_size=10, max_size=60))
    def check(values: list[Any]) -> None:
        found, refused = store(shared_dataset, kind, values)
        assert set(found) | refused == set(range(len(values)))
        assert not set(found) & refused
        for place, value in found.items():
            sent = values[place]
            if shared_dataset.name == "http" and sent == "null" and kind is Kind.JSON:
                sent = None  # in JSON they are one
            assert is_same(sent, value), (sent, value)

    check()


EXTREMES: list[tuple[Kind, Any, set[str]]] = [
    # kind, value, the datasets that must refuse it
    (Kind.FLOAT64, math.nan, {"sqlite", "http"}),
    (Kind.FLOAT64, math.inf, {"http"}),
    (Kind.FLOAT64, -0.0, set()),
    (Kind.FLOAT32, struct.unpack("f", struct.pack("f", 0.1))[0], set()),
    (Kind.STRING, "a\0b", {"postgresql"}),
    (Kind.STRING, "\ud800", {"sqlite", "postgresql", "http"}),
    (Kind.STRING, "x" * 10_000_000, set()),
    (Kind.STRING, "", set()),
    (Kind.BYTES, bytes(range(256)), set()),
    (Kind.UINT64, 2**64 - 1, set()),
    (Kind.INT256, 2**256 - 1, set()),
    (Kind.INT256, int("9" * 77), set()),
    (Kind.DECIMAL, Decimal("9" * 78), set()),
    (Kind.DECIMAL, Decimal("-1.50000"), set()),
    (Kind.DECIMAL, Decimal("9" * 35 + "." + "9" * 30), set()),
    (Kind.DECIMAL, Decimal("1E-30"), set()),
    (Kind.DECIMAL, Decimal("1E+200000"), {"postgresql"}),
    (Kind.INT64, 2**63, {"sqlite", "postgresql"}),
    (Kind.INT64, -(2**63), set()),
    (Kind.DATE, dt.date.min, set()),
    (Kind.TIME, dt.time.max, set()),
    (Kind.TIMESTAMP, dt.datetime.min, set()),
    (Kind.TIMESTAMP, dt.datetime.max, set()),
    (Kind.JSON, '{"a": 1.0000000000000000000001, "a": "\\u0000"}', set()),
    (Kind.UUID, str(uuid.UUID(int=0)), set()),
]  # fmt: skip


def name_of(value: object) -> str:
    """The same in every process: the order of a set is not."""
    text = "refused by " + " and ".join(sorted(value)) if isinstance(value, set) else str(value)[:20]
    return text.encode("ascii", "replace").decode()


@pytest.mark.parametrize(("kind", "value", "refusing"), EXTREMES, ids=name_of)
def test_extreme_values(shared_dataset: Dataset, kind: Kind, value: Any, refusing: set[str]) -> None:
    found, refused = store(shared_dataset, kind, [value])
    if shared_dataset.name in refusing:
        assert refused == {0}
    else:
        assert is_same(value, found[0])


@pytest.mark.parametrize(
    ("kind", "text", "shown"),
    [
        (Kind.TIMESTAMP, "294276-12-31T23:59:59.999999", "294276-12-31 23:59:59.999999"),
        (Kind.TIMESTAMP, "0000-02-29T00:00:00", "0001-02-29 00:00:00 BC"),
        (Kind.TIMESTAMPTZ, "10000-01-01T00:00:00Z", "10000-01-01 00:00:00+00"),
        (Kind.DATE, "-4712-01-01", "4713-01-01 BC"),
        (Kind.DATE, "5874897-12-31", "5874897-12-31"),
    ],
)
def test_years_that_python_does_not_have(shared_database: Dataset, kind: Kind, text: str, shown: str) -> None:
    schema = StreamSchema("test", (Column("k", LogicalType(Kind.INT64)), Column("v", LogicalType(kind))), ("k",))
    table = f"t{next(_table_numbers)}"
    asyncio.run(_run(shared_database, table, schema, [(Operation.UPSERT, (1, text))]))
    found = shared_database.query(f"SELECT CAST(v AS text) FROM {table}")
    assert found == [(shown if shared_database.name == "postgresql" else text,)]


@pytest.mark.parametrize(
    "text", ["294277-01-01T00:00:00", "294277-01-09T04:00:54.775807", "10000-02-30T00:00:00", "soon"]
)
def test_times_that_postgresql_can_not_hold_are_refused(shared_database: Dataset, text: str) -> None:
    if shared_database.name == "sqlite":
        found, _ = store(shared_database, Kind.TIMESTAMP, [text])
        assert found == {0: text}  # texts are what SQLite holds
    else:
        assert store(shared_database, Kind.TIMESTAMP, [text]) == ({}, {0})


def test_equal_numbers_are_one_key(shared_database: Dataset) -> None:
    """1.0 and 1.00 are the same price."""
    schema = StreamSchema(
        "test", (Column("price", LogicalType(Kind.DECIMAL)), Column("v", LogicalType(Kind.INT64))), ("price",)
    )
    table = f"t{next(_table_numbers)}"
    prices = [
        Decimal("1.0"),
        Decimal("1.00"),
        Decimal(100),
        Decimal("1E+2"),
        Decimal("0.10"),
        Decimal("-0.1"),
        Decimal(0),
        Decimal("0.00"),
    ]
    rows = [(Operation.UPSERT, (price, place)) for place, price in enumerate(prices)]
    rows.append((Operation.DELETE, (Decimal("0.1000"), 0)))
    asyncio.run(_run(shared_database, table, schema, rows))
    found = shared_database.read(schema, table, order="v")
    assert found == [(Decimal(1), 1), (Decimal(100), 3), (Decimal("-0.1"), 5), (Decimal(0), 7)]
