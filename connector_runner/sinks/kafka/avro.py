"""Rows as Avro: the schema of a stream, and its rows in Avro's binary form, a column at a time. Pure.

Columns are encoded one after the other and joined row by row: about a third of the time that a general library takes, which walks the
schema anew for each value. What is written is read back by a library in the tests.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from connector_runner.datasets.write_plan import NAMES
from connector_runner.protocols.errors import SchemaConflictError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.protocols.types import Kind, LogicalType
from connector_runner.sinks.kafka.avro_values import ENCODE, Encode, decimals, optional, text_bytes
from connector_runner.sinks.kafka.types import decimal_text

MAGIC = b"\x00"
"""The first byte of a value that a registry's schema describes; four bytes with the schema's id follow."""
HEADER = struct.Struct(">bI")
MOST_DIGITS = 38
"""The longest decimal that is written as a number; engines of tables take no more digits."""
NAMESPACE = "connector"
COLUMN = "connector.column"
"""The member of a field that holds the column's name, if a field can't have it."""
OPERATION = "_op"
_OPERATION = {"name": OPERATION, "type": "string"}
_PLAIN: Mapping[Kind, Any] = {
    Kind.BOOL: "boolean",
    Kind.INT64: "long",
    Kind.UINT64: {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 0},
    Kind.INT256: "string",
    Kind.DECIMAL: "string",
    Kind.FLOAT32: "float",
    Kind.FLOAT64: "double",
    Kind.STRING: "string",
    Kind.BYTES: "bytes",
    Kind.DATE: {"type": "int", "logicalType": "date"},
    Kind.TIME: {"type": "long", "logicalType": "time-micros"},
    Kind.TIMESTAMP: {"type": "long", "logicalType": "local-timestamp-micros"},
    Kind.TIMESTAMPTZ: {"type": "long", "logicalType": "timestamp-micros"},
    Kind.JSON: "string",
    Kind.UUID: {"type": "string", "logicalType": "uuid"},
}
_ENDS = {name: text_bytes(name) for name in NAMES.values()}


def subject_of(topic: str) -> str:
    """The subject under which a registry keeps the schemas of a topic's values."""
    return f"{topic}-value"


def build_schema(schema: StreamSchema, topic: str, *, append: bool) -> str:
    """The Avro schema of a stream's rows, as JSON.

    Columns of the key are required. All others may be null and have that as default, so that a column may come and go under
    each kind of compatibility.

    Raises:
        SchemaConflictError: Two columns would be one field, or one that of the operation.
    """
    fields: list[dict[str, Any]] = []
    columns = {OPERATION: OPERATION} if append else {}
    for column in schema.columns:
        name = legal_name(column.name)
        if (other := columns.setdefault(name, column.name)) != column.name:
            raise SchemaConflictError(
                f"stream {schema.stream} has columns {other!r} and {column.name!r}, which Avro would take for the same field {name}; "
                "rename one at the source, or use format json"
            )
        kind = avro_type(column.type)
        field = {"name": name, "type": kind} if column.name in schema.key else _optional_field(name, kind)
        fields.append(field if name == column.name else {**field, COLUMN: column.name})
    if append:
        fields.append(dict(_OPERATION))
    return msgspec.json.encode(
        {"type": "record", "name": legal_name(topic), "namespace": NAMESPACE, "fields": fields}
    ).decode()


def _optional_field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], "default": None}


def legal_name(name: str) -> str:
    """The name of a field or record: letters, digits and underscores; all else becomes an underscore."""
    legal = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return legal if legal[:1].isalpha() or legal[:1] == "_" else f"_{legal}"


def avro_type(kind: LogicalType) -> Any:
    """The Avro type of a column's values."""
    if is_number(kind):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale or 0}
    return _PLAIN[kind.kind]


def is_number(kind: LogicalType) -> bool:
    """Whether a decimal is written as a number; else it is text with all digits."""
    return kind.kind is Kind.DECIMAL and kind.precision is not None and kind.precision <= MOST_DIGITS


class AvroValues:
    """Encodes the rows of one schema.

    Args:
        schema: Of the rows.
        number: The schema's id in the registry.
    """

    def __init__(self, schema: StreamSchema, number: int) -> None:
        self._header = HEADER.pack(0, number)
        self._columns: list[Encode] = [
            _encoder(column.type, is_key=column.name in schema.key) for column in schema.columns
        ]

    def values(self, rows: Sequence[Sequence[Any]]) -> list[bytes]:
        """The values of full rows, without their operation.

        Raises:
            RefusedError and `VALUE_ERRORS`: Avro can't represent one of them.
        """
        columns = zip(*rows, strict=True)
        encoded = [encode(column) for encode, column in zip(self._columns, columns, strict=True)]
        return list(map(b"".join, zip([self._header] * len(rows), *encoded, strict=True)))


def _encoder(kind: LogicalType, *, is_key: bool) -> Encode:
    encode: Encode = ENCODE[kind.kind]
    if is_number(kind):
        assert kind.precision is not None  # noqa: S101 - so says is_number
        encode = decimals(kind.precision, kind.scale or 0)
    elif kind.kind is Kind.DECIMAL:
        encode = _texts_of(decimal_text)
    elif kind.kind is Kind.INT256:
        encode = _texts_of(str)
    return encode if is_key else optional(encode)


def _texts_of(convert: Callable[[Any], str]) -> Encode:
    return lambda values: [text_bytes(convert(value)) for value in values]


def is_avro(value: bytes) -> bool:
    """Whether a value is one that a registry's schema describes; JSON never begins so."""
    return value[:1] == MAGIC


def schema_number(value: bytes) -> int:
    """The id of the schema of such a value.

    Raises:
        ValueError: It is too short to have one.
    """
    if len(value) < HEADER.size or not is_avro(value):
        raise ValueError("it does not begin with the id of a schema")
    number: int = HEADER.unpack_from(value)[1]
    return number


def with_avro_operation(value: bytes, operation: str) -> bytes:
    """A value of a history: the operation is its last field."""
    return value + text_bytes(operation)


def without_avro_operation(value: bytes) -> tuple[bytes, str]:
    """The row in a value of a history, and its operation.

    Raises:
        ValueError: It has none.
    """
    for name, end in _ENDS.items():
        if value.endswith(end):
            return value[: -len(end)], name
    raise ValueError("it does not end with an operation")


def layout_of(schema: Any) -> Any:
    """Of a schema of rows what decides how their bytes are read: names and types; None for any other schema."""
    if not isinstance(schema, dict) or not isinstance(schema.get("fields"), list):
        return None
    return [(field.get("name"), _plain_type(field.get("type"))) for field in schema["fields"]]


def _plain_type(kind: Any) -> Any:
    """A type as it is written shortest: some registries write {"type": "string"} for "string"."""
    if isinstance(kind, list):
        return [_plain_type(each) for each in kind]
    return kind["type"] if isinstance(kind, dict) and kind.keys() == {"type"} else kind


def columns_of(schema: Any) -> dict[str, str]:
    """The fields of a schema of rows, each with the column's name.

    Raises:
        ValueError: It is no schema of a record.
    """
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise ValueError("it is not the schema of a record")
    return {field["name"]: field.get(COLUMN, field["name"]) for field in schema["fields"]}
