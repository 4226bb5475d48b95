"""One short stream: `EARLIER` is what the earlier build wrote, `LATER` is what comes after it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from connector_runner.protocols.batch import Incident, Operation
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import BYTES, DECIMAL, FLOAT64, INT64, JSON, STRING, TIMESTAMPTZ, UINT64
from tests.kit.pipeline import batch

UPSERT, DELETE, INSERT, REPLACE = Operation
AT = dt.datetime(2026, 1, 31, 13, 59, 59, 1, tzinfo=dt.UTC)
SCHEMA = StreamSchema(
    "test",
    (
        Column("product", STRING, nullable=False), Column("number", INT64, nullable=False), Column("size", DECIMAL),
        Column("at", TIMESTAMPTZ), Column("count", UINT64), Column("extra", JSON), Column("raw", BYTES), Column("ratio", FLOAT64),
    ),
    ("product", "number"),
)  # fmt: skip


def row(product: str, number: int, size: str = "1.50") -> tuple[object, ...]:
    return (product, number, Decimal(size), AT, 2**64 - 1, '{"a": 1.0}', b"\x00\xff", 0.5)


def gap(number: int) -> Incident:
    return Incident("gap", "BTC", f"trade {number} can't be had", {"first": number})


EARLIER = [
    batch(SCHEMA, 1, (UPSERT, row("BTC", 1)), (UPSERT, row("BTC", 2)), (UPSERT, row("ETH", 1)), incidents=(gap(0),)),
    batch(SCHEMA, 2, (UPSERT, row("BTC", 2, "2.25")), (UPSERT, row("\ud800", 3)), (DELETE, row("ETH", 1)), (INSERT, row("ETH", 2))),
    batch(SCHEMA, 3),
]  # fmt: skip
LATER = [
    batch(SCHEMA, 4, (REPLACE, ("BTC",)), (UPSERT, row("BTC", 5)), (INSERT, row("ETH", 2, "7.00")), incidents=(gap(4),)),
    batch(SCHEMA, 5, (UPSERT, row("\ud800", 6)), (UPSERT, row("ETH", 3, "0.10"))),
]  # fmt: skip
# What the tables hold after both, and what append mode holds.
STATE = [row("BTC", 5), row("ETH", 2), row("ETH", 3, "0.10")]
HISTORY = [
    ("upsert", 1, row("BTC", 1)), ("upsert", 1, row("BTC", 2)), ("upsert", 1, row("ETH", 1)),
    ("upsert", 2, row("BTC", 2, "2.25")), ("delete", 2, row("ETH", 1)), ("insert", 2, row("ETH", 2)),
    ("delete", 4, row("BTC", 1)), ("delete", 4, row("BTC", 2, "2.25")),
    ("upsert", 4, row("BTC", 5)), ("insert", 4, row("ETH", 2, "7.00")), ("upsert", 5, row("ETH", 3, "0.10")),
]  # fmt: skip
