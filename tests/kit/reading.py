"""Reads a source as the pipeline does, into a table in memory, and checks the protocol's promises for each batch."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any

from connector_runner.protocols.batch import Batch, Incident, Operation, Position, Row
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.source import Checkpoint, Opened, Source
from connector_runner.protocols.types import Kind

DEADLINE = 60.0
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _is_json(value: Any) -> bool:
    json.loads(value)
    return isinstance(value, str)


def _is_float32(value: Any) -> bool:
    return type(value) is float and (value != value or struct.unpack("f", struct.pack("f", value))[0] == value)


# `PYTHON_FORM` as code: the type of a value of each kind; for all times a text is allowed (years that Python does not support).
FORMS: dict[Kind, Callable[[Any], bool]] = {
    Kind.BOOL: lambda value: type(value) is bool,
    Kind.INT64: lambda value: type(value) is int and -(2**63) <= value < 2**63,
    Kind.UINT64: lambda value: type(value) is int and 0 <= value < 2**64,
    Kind.INT256: lambda value: type(value) is int and -(2**255) <= value < 2**256,
    Kind.DECIMAL: lambda value: type(value) is Decimal,
    Kind.FLOAT32: _is_float32,
    Kind.FLOAT64: lambda value: type(value) is float,
    Kind.STRING: lambda value: type(value) is str,
    Kind.BYTES: lambda value: type(value) is bytes,
    Kind.DATE: lambda value: type(value) in {dt.date, str},
    Kind.TIME: lambda value: type(value) is dt.time and value.tzinfo is None,
    Kind.TIMESTAMP: lambda value: type(value) is str or (type(value) is dt.datetime and value.tzinfo is None),
    Kind.TIMESTAMPTZ: lambda value: (
        type(value) is str or (type(value) is dt.datetime and value.utcoffset() == dt.timedelta())
    ),
    Kind.JSON: _is_json,
    Kind.UUID: lambda value: type(value) is str and UUID.fullmatch(value) is not None,
}


def check_row(schema: StreamSchema, operation: Operation, row: Row) -> None:
    """Checks a row's form against `Operation` and `PYTHON_FORM`."""
    if operation is Operation.REPLACE:
        assert len(row) <= len(schema.key)
        assert len(row) < len(schema.columns)
        return
    assert type(row) is tuple
    assert len(row) == len(schema.columns), f"{row} for {schema.names}"
    assert None not in [row[place] for place in schema.key_indices], f"a null in the key {schema.key}: {row}"
    for column, value in zip(schema.columns, row, strict=True):
        if value is not None:
            assert FORMS[column.type.kind](value), f"{column.name} {column.type}: {value!r}"
        elif operation is not Operation.DELETE:
            assert column.nullable, f"{column.name} is null in {row}"


Table = dict[tuple[Any, ...], Row]


class SourceReader(ABC):
    """Opens a source and takes its batches one by one; a subclass says which source, from where, and what a batch does.

    Attributes:
        source: The one that is open, or None.
        opened: What its last `open` gave.
        batches: What was taken, in order.
        incidents: Those of all batches.
    """

    def __init__(self) -> None:
        self.source: Source | None = None
        self.opened: Opened | None = None
        self.batches: list[Batch] = []
        self.incidents: list[Incident] = []
        self._iterator: AsyncIterator[Batch] | None = None

    @abstractmethod
    def build(self) -> Source:
        """The source to open."""

    @abstractmethod
    def checkpoints(self) -> Mapping[str, Checkpoint | None]:
        """The streams to open, each with where it goes on."""

    def store(self, batch: Batch) -> None:
        """What a dataset would do with the batch."""
        self.batches.append(batch)
        self.incidents += batch.incidents

    async def open(self) -> Opened:
        self.source = self.build()
        self.opened = await self.source.open(self.checkpoints())
        self._iterator = self.source.batches().__aiter__()
        return self.opened

    async def take(self, patience: float | None) -> Batch | None:
        """The next batch, within that many seconds; None at the end of the stream. Opens the source first if none is open."""
        if self._iterator is None:
            await self.open()
        assert self._iterator is not None
        try:
            async with asyncio.timeout(patience):
                return await self._iterator.__anext__()
        except StopAsyncIteration:
            return None

    async def close(self) -> None:
        """Drops the source as it is; the next `take` opens another one."""
        source, self.source, self._iterator = self.source, None, None
        if source is not None:
            await source.close()


class Reading(SourceReader):
    """A source and the dataset that it fills; checks what the protocol promises for each batch.

    Attributes:
        table: Rows by key.
        operations: All operations, in order.
        tables: `table` as it was after each batch.
        fresh: Rows since `mark` was called.
    """

    def __init__(
        self, source: Source, stream: str, checkpoint: Checkpoint | None = None, table: Table | None = None
    ) -> None:
        super().__init__()
        self.source: Source = source
        self.stream, self.checkpoint = stream, checkpoint
        self.table: Table = dict(table or {})
        self.operations: list[tuple[Operation, Row]] = []
        self.tables: list[Table] = []
        self.has_ended = False
        self.fresh = 0
        self._positions: list[str] = []

    @property
    def place(self) -> Position:
        """The position that was reached; empty before the first batch."""
        return {} if self.checkpoint is None else self.checkpoint.position

    def build(self) -> Source:
        return self.source

    def checkpoints(self) -> Mapping[str, Checkpoint | None]:
        return {self.stream: self.checkpoint}

    async def step(self) -> None:
        """Reads one batch, or the end of the stream."""
        assert self._iterator is not None
        batch = await self.take(None)
        if batch is None:
            self.has_ended = True
        else:
            self.store(batch)

    def mark(self) -> int:
        """Marks everything from now on as new; returns how many batches there were."""
        self.fresh = 0
        return len(self.batches)

    async def until(self, is_done: Callable[[Reading], bool]) -> None:
        """Reads until the condition holds (if the stream ends before, it must hold then)."""
        async with asyncio.timeout(DEADLINE):
            while not is_done(self):
                assert not self.has_ended, "the stream ended too early"
                await self.step()

    def store(self, batch: Batch) -> None:
        assert self.opened is not None
        if not self.batches:
            assert batch.schema.version == self.opened.schemas[self.stream].version, (
                "the first batch has the schema that open gave"
            )
        codes = batch.operations if batch.operations is not None else bytes(len(batch.rows))
        assert len(codes) == len(batch.rows)
        assert batch.size >= 1
        for code, row in zip(codes, batch.rows, strict=True):
            operation = Operation(code)
            check_row(batch.schema, operation, row)
            self.operations.append((operation, row))
            apply(self.table, batch.schema, operation, row)
        self.fresh += len(batch.rows)
        position = json.dumps(batch.position)
        assert json.loads(position) == batch.position, "a position survives JSON"
        self.checkpoint = Checkpoint(json.loads(position), self.opened.identity, batch.schema.version)
        super().store(batch)
        self.tables.append(dict(self.table))
        self._positions.append(position)

    def check_given_away(self) -> None:
        """Checks that no batch was changed after the source had yielded it."""
        assert [json.dumps(batch.position) for batch in self.batches] == self._positions
        assert [row for batch in self.batches for row in batch.rows] == [row for _, row in self.operations]

    def checkpoint_after(self, number: int) -> Checkpoint:
        """The checkpoint in a dataset after the batch of this number."""
        assert self.opened is not None
        batch = self.batches[number]
        return Checkpoint(json.loads(self._positions[number]), self.opened.identity, batch.schema.version)

    def operations_after(self, number: int) -> list[tuple[Operation, Row]]:
        """The operations after the batch of this number."""
        return self.operations[sum(len(batch.rows) for batch in self.batches[: number + 1]) :]


def apply(table: Table, schema: StreamSchema, operation: Operation, row: Row) -> None:
    """Applies an operation to rows by key."""
    if operation is Operation.REPLACE:
        for found in [key for key in table if key[: len(row)] == row]:
            del table[found]
        return
    key = tuple(row[place] for place in schema.key_indices)
    if operation is Operation.UPSERT:
        table[key] = row
    elif operation is Operation.DELETE:
        table.pop(key, None)
    else:
        table.setdefault(key, row)
