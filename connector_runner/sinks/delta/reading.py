"""Reads the newest rows of a Delta table that has no order of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable


def newest_rows(
    table: DeltaTable, names: Sequence[str], limit: int, open_: Callable[[str], pa.NativeFile]
) -> list[tuple[Any, ...]]:
    """The rows of the newest files, newest last.

    Args:
        table: As it was read last.
        names: Its columns.
        limit: How many rows.
        open_: Opens a file of the table.
    """
    partitions = table.metadata().partition_columns
    files = pa.table(table.get_add_actions(flatten=True)).sort_by("modification_time").to_pylist()
    rows: list[tuple[Any, ...]] = []
    for listed in reversed(files):
        values = {name: listed.get(f"partition.{name}") for name in partitions}
        with open_(unquote(listed["path"])) as file:
            found = [{**values, **row} for row in pq.read_table(file).to_pylist()]
        rows = [tuple(row.get(name) for name in names) for row in found[-(limit - len(rows)) :]] + rows
        if len(rows) >= limit:
            break
    return rows
