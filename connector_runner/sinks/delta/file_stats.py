"""The statistics of a Parquet file, as the log of a Delta table states them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def read_stats(file: pa.NativeFile) -> str:
    """The statistics of a file, as Delta stores them: the number of rows, and the range of whole numbers."""
    metadata = pq.read_metadata(file)
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for place in range(metadata.num_columns):
        columns = [metadata.row_group(group).column(place) for group in range(metadata.num_row_groups)]
        name, found = metadata.schema.column(place).name, [column.statistics for column in columns]
        if not found or any(each is None or not each.has_null_count for each in found):
            continue
        nulls[name] = sum(each.null_count for each in found)
        ranges = [each for each in found if each.has_min_max and type(each.min) is int]
        if ranges and all(each.has_min_max or each.num_values == 0 for each in found):
            least[name], greatest[name] = min(each.min for each in ranges), max(each.max for each in ranges)
    return json.dumps({"numRecords": metadata.num_rows, "minValues": least, "maxValues": greatest, "nullCount": nulls})
