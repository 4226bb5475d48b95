"""A stream that is a pure function of its settings: batches and expected rows can be computed from a number alone."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from connector_runner.protocols.batch import Batch, Incident, Operation, Row
from connector_runner.protocols.schema import Column, StreamSchema
from connector_runner.protocols.types import (
    BOOL,
    BYTES,
    DECIMAL,
    FLOAT64,
    INT64,
    JSON,
    STRING,
    TIMESTAMPTZ,
)

COLUMNS = (
    Column("book", STRING, nullable=False),
    Column("id", INT64, nullable=False),
    Column("amount", DECIMAL),
    Column("ratio", FLOAT64),
    Column("is_open", BOOL),
    Column("note", STRING),
    Column("raw", BYTES),
    Column("extra", JSON),
    Column("at", TIMESTAMPTZ),
    Column("version", INT64),
)
SCHEMA = StreamSchema("mixed", COLUMNS, ("book", "id"))
WIDER = StreamSchema("mixed", (*COLUMNS, Column("added_later", STRING)), ("book", "id"))
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Script:
    """What is streamed.

    Attributes:
        seed: The seed of everything.
        batches: The number of batches; then the stream ends, or stays open with heartbeats if `endless`.
        rows: The largest number of rows in a batch.
        stream: `mixed` (all operations), `upserts` (operations None), `widening` (one more column in the second half).
    """

    seed: int = 1
    batches: int = 100
    rows: int = 10
    stream: str = "mixed"
    books: int = 4
    ids: int = 40

    @cached_property
    def wide_from(self) -> int:
        return self.batches // 2 if self.stream == "widening" else self.batches

    @cached_property
    def _schemas(self) -> tuple[StreamSchema, StreamSchema]:
        return replace(SCHEMA, stream=self.stream), replace(WIDER, stream=self.stream)

    def schema(self, number: int) -> StreamSchema:
        return self._schemas[number >= self.wide_from]

    def batch(self, number: int) -> Batch:
        """Batch `number` of 0 … batches - 1."""
        random_ = random.Random(f"{self.seed}/{number}")
        wide = number >= self.wide_from
        rows: list[Row] = []
        operations = bytearray()
        for place in range(random_.randint(1, self.rows)):
            row = self._row(random_, number, place, wide=wide)
            choice = random_.random() if self.stream != "upserts" else 0.0
            operation = (
                Operation.UPSERT if choice < 0.7 else Operation.DELETE if choice < 0.85
                else Operation.INSERT if choice < 0.985 else Operation.REPLACE
            )  # fmt: skip
            if operation is Operation.REPLACE:
                row = row[: random_.choice([1, 1, 2])]
            rows.append(row)
            operations.append(operation)
        return Batch(
            schema=self.schema(number),
            rows=rows,
            operations=bytes(operations) if self.stream != "upserts" else None,
            position={"next": number + 1},
            size=100 * len(rows),
            incidents=(Incident("gap", f"batch {number}", "a hole"),) if number % 50 == 49 else (),
        )

    def _row(self, random_: random.Random, number: int, place: int, *, wide: bool) -> Row:
        row = (
            f"book-{random_.randrange(self.books)}",
            random_.randrange(self.ids),
            Decimal(random_.randrange(10**9)).scaleb(-4),
            random_.random(),
            random_.random() < 0.5,
            random_.choice([None, "", "text", "ünïcödé 🎈", 'it\'s "quoted"\n\\x']),
            random_.randbytes(random_.randrange(4)),
            '{"a": [1, 2.50]}',
            START + dt.timedelta(microseconds=random_.randrange(10**15)),
            number * 1000 + place,
        )
        return (*row, f"added {number}") if wide else row

    def operations(self, until: int | None = None) -> Iterator[tuple[Operation, Row]]:
        """All operations of the batches before `until`, in order."""
        for number in range(self.batches if until is None else until):
            batch = self.batch(number)
            codes = batch.operations or bytes(len(batch.rows))
            for code, row in zip(codes, batch.rows, strict=True):
                yield Operation(code), row

    def state(self, until: int | None = None) -> dict[Any, Row]:
        """The expected rows by key, computed one operation after the other."""
        return apply(self.operations(until))

    def incidents(self, until: int | None = None) -> int:
        return (self.batches if until is None else until) // 50


def apply(operations: Iterator[tuple[Operation, Row]], state: dict[Any, Row] | None = None) -> dict[Any, Row]:
    """The state by (book, id) after applying operations to a state; the model that every sink is compared with."""
    state = {} if state is None else state
    for operation, row in operations:
        key = row[:2]
        if operation is Operation.UPSERT:
            state[key] = row
        elif operation is Operation.DELETE:
            state.pop(key, None)
        elif operation is Operation.INSERT:
            state.setdefault(key, row)
        else:
            for found in [at for at in state if at[: len(row)] == row]:
                del state[found]
    return state


def build_script(config: Mapping[str, Any], stream: str) -> Script:
    fields = ("seed", "batches", "rows", "books", "ids")
    return Script(stream=stream, **{name: config[name] for name in fields if name in config})
