"""Topics with Avro as a dataset for the sink tests, decoded by a library and the registry, never by the sink's code."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro

from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind
from tests.kit.kafka_dataset import KafkaDataset, headers
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import SmallRegistry, ask

Rows = list[tuple[Any, ...]]
FROM_TEXT: Mapping[Kind, Callable[[str], Any]] = {Kind.INT256: int, Kind.DECIMAL: Decimal, Kind.UINT64: int}


class AvroDataset(KafkaDataset):
    """Topics whose values are Avro.

    Attributes:
        registry: Where their schemas are.
        options: Those of the Dataset.
    """

    name = "kafka"

    def __init__(self, server: KafkaServer, folder: Path, registry: SmallRegistry) -> None:
        super().__init__(server, folder)
        self.registry = registry
        self.options = {"format": "avro", "schema.registry.url": registry.url}
        self._schemas: dict[int, Any] = {}

    def decode(self, value: bytes) -> dict[str, Any]:
        """A value by its schema in the registry, with the names of the columns."""
        assert value[0] == 0
        number = int.from_bytes(value[1:5], "big")
        if number not in self._schemas:
            text = ask(self.registry.url, "GET", f"/schemas/ids/{number}")["schema"]
            found = json.loads(text)
            names = {field["name"]: field.get("connector.column", field["name"]) for field in found["fields"]}
            self._schemas[number] = fastavro.parse_schema(found), names
        schema, names = self._schemas[number]
        source = io.BytesIO(value[5:])
        row: Any = fastavro.schemaless_reader(source, schema, None)
        assert not source.read(), "bytes behind the row"
        return {names[field]: each for field, each in row.items()}

    def read(self, schema: StreamSchema, table: str, extra: Sequence[str] = (), order: str = "") -> Rows:
        """See `KafkaDataset.read`."""
        is_history = "_op" in extra or order.startswith("_id")
        rows: dict[Any, tuple[Any, ...]] = {}
        for number, message in enumerate(self.topics.committed(table)):
            if (value := message.value()) is None:
                rows.pop(message.key(), None)
                continue
            record = self.decode(value)
            added = {f"_{name}": text for name, text in headers(message).items()}
            assert record.get("_op", added["_op"]) == added["_op"]
            values = [_value(record.get(column.name), column.type.kind) for column in schema.columns]
            rows[number if is_history else message.key()] = (*values, *(added[name] for name in extra))
        if is_history:
            return list(rows.values())[int(order.partition("OFFSET ")[2] or 0) :]
        places = [schema.names.index(name) for name in ([order] if order else schema.key)]
        return sorted(rows.values(), key=lambda row: tuple(row[place] for place in places))


def _value(found: Any, kind: Kind) -> Any:
    return FROM_TEXT[kind](found) if found is not None and kind in FROM_TEXT else found
