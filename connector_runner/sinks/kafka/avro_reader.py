"""Reads values in Avro back, for people."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro

from connector_runner.sinks.kafka.avro import HEADER, columns_of


def read_row(schema: Any, value: bytes) -> dict[str, Any]:
    """The row in a value that begins with its schema's id, by the names of its columns.

    Args:
        schema: The schema with that id.
        value: The value.
    """
    found = fastavro.schemaless_reader(BytesIO(value[HEADER.size :]), fastavro.parse_schema(schema), None)
    assert isinstance(found, dict)  # noqa: S101 - `columns_of` refuses all but records
    return {column: found[field] for field, column in columns_of(schema).items()}
