"""Rows of one stream on their way into a table: operations to be merged, or the history as columns of Arrow. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.fencing import encode_position
from connector_runner.datasets.names import METADATA, OWNER, ROW_NUMBER
from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.batch import Batch, Operation, Row, place_of
from connector_runner.protocols.schema import StreamSchema

UPSERT, DELETE, INSERT, REPLACE = Operation
_ADDED = {ROW_NUMBER: pa.int64(), "_written_at": pa.timestamp("us", "UTC")}
APPENDED = pa.schema([(name, _ADDED.get(name, pa.string())) for name in METADATA])
"""The columns that a history has after those of the stream."""
Stored = tuple[object, ...]


def history_schema(columns: Columns) -> pa.Schema:
    """The columns of a history; any of the stream's may be null, since a deletion has only its key."""
    own = [field.with_nullable(field.name not in columns.schema.key) for field in columns.arrow]
    return pa.schema([*own, *APPENDED])


def operations(batch: Batch) -> Sequence[int]:
    """The operation of each row."""
    return batch.operations if batch.operations is not None else bytes(len(batch.rows))


def build_history(
    columns: Columns, arrays: Sequence[pa.Array], names: Sequence[str], batch: Batch, owner: Sequence[str], first: int,
    at: dt.datetime,
) -> pa.Table:  # fmt: skip
    """Rows of a history.

    Args:
        columns: The columns of the stream.
        arrays: The values, one array a column.
        names: The name of each row's operation.
        batch: Where they come from.
        owner: Whose rows they are: connector and stream.
        first: The number of the first row.
        at: When they are written.
    """
    count = len(names)
    position = encode_position(place_of(batch.position))
    added: Mapping[str, pa.Array] = {
        ROW_NUMBER: pa.array(range(first, first + count), pa.int64()),
        "_op": pa.array(names, pa.string()),
        "_position": pa.repeat(pa.scalar(position, pa.string()), count),
        "_written_at": pa.repeat(pa.scalar(at, pa.timestamp("us", "UTC")), count),
        **{name: pa.repeat(pa.scalar(value, pa.string()), count) for name, value in zip(OWNER, owner, strict=True)},
    }
    return pa.Table.from_arrays([*arrays, *(added[name] for name in METADATA)], schema=history_schema(columns))


class LiveRows:
    """The rows of a stream that its history has not taken back: by key, or in their order if it has none.

    Args:
        schema: The schema of the stream.
        entries: Entries of the history that are stored, oldest first: the operation and the stored values of a row.
    """

    def __init__(self, schema: StreamSchema, entries: Sequence[tuple[str, Stored]]) -> None:
        self._places = schema.key_indices
        self._rows: dict[object, Stored] = {}
        self._count = 0
        for operation, row in entries:
            self.note(operation, row)

    def note(self, operation: str, row: Stored) -> None:
        """An entry was added."""
        if not self._places:
            if operation == NAMES[DELETE]:
                self._rows.clear()  # rows without a key are taken back all at once
            else:
                self._count += 1
                self._rows[self._count] = row
            return
        key = tuple(row[place] for place in self._places)
        self._rows.pop(key, None)
        if operation != NAMES[DELETE]:
            self._rows[key] = row

    def take(self, prefix: Sequence[object]) -> list[Stored]:
        """Takes back the rows whose key begins with these stored values."""
        count, start = len(prefix), tuple(prefix)
        keys = [key for key in self._rows if not count or (isinstance(key, tuple) and key[:count] == start)]
        return [self._rows.pop(key) for key in keys]


def segments(batch: Batch) -> Iterator[tuple[Row | None, slice]]:
    """The batch cut at its replacements: each with the rows that follow it; None for those before the first."""
    codes = operations(batch)
    cuts = [place for place, code in enumerate(codes) if code == REPLACE]
    start, prefix = 0, None
    for cut in cuts:
        if prefix is not None or cut > start:
            yield prefix, slice(start, cut)
        prefix, start = batch.rows[cut], cut + 1
    if prefix is not None or start < len(codes):
        yield prefix, slice(start, len(codes))
