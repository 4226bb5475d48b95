"""Which rows are meant: prefixes of keys whose rows are removed, as text in an intent: exact values, by Arrow's own format. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

import pyarrow as pa

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.protocols.batch import Row


def prefix_tables(columns: Columns, prefixes: Sequence[Row]) -> list[pa.Table]:
    """The prefixes as stored values: a table for each length; one without columns stands for all rows.

    Raises:
        `types.VALUE_ERRORS`: A value has no exact form.
    """
    tables = []
    for length in sorted({len(prefix) for prefix in prefixes}):
        names = columns.schema.key[:length]
        rows = [columns.stored(prefix, names) for prefix in prefixes if len(prefix) == length]
        fields = [columns.arrow.field(name) for name in names]
        arrays = [
            pa.array(list(values), field.type) for values, field in zip(zip(*rows, strict=True), fields, strict=True)
        ]
        tables.append(pa.Table.from_arrays(arrays, schema=pa.schema(fields)))
    return tables


def encode_tables(tables: Sequence[pa.Table]) -> str:
    """As text."""
    texts = []
    for table in tables:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        texts.append(base64.b64encode(sink.getvalue()).decode())
    return json.dumps(texts)


def decode_tables(text: str) -> list[pa.Table]:
    """The reverse of `encode_tables`."""
    return [pa.ipc.open_stream(base64.b64decode(each)).read_all() for each in json.loads(text or "[]")]
