"""Rows with equal values, as partitions need them. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc


def grouped(columns: Sequence[pa.ChunkedArray]) -> Iterator[pa.Array]:
    """The places of the rows with the same values, for each combination of values; null is a value, and so is NaN."""
    numbers = _number(columns)
    order = pc.sort_indices(numbers)
    ends = pc.run_end_encode(numbers.take(order)).run_ends.to_pylist()
    for first, end in itertools.pairwise([0, *ends]):
        yield order.slice(first, end - first)


def _number(columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    """A number for each row, the same for rows with equal values."""
    numbers = pa.repeat(pa.scalar(0, pa.int64()), len(columns[0]))
    for column in columns:
        codes = column.combine_chunks().dictionary_encode(null_encoding="encode")
        both = pc.add(pc.multiply(numbers, len(codes.dictionary)), codes.indices.cast(pa.int64()))
        numbers = both.dictionary_encode().indices.cast(pa.int64())
    return numbers
