"""Types of columns: Arrow's and Iceberg's; what may be widened. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

_PLAIN: Mapping[pa.DataType, IcebergType] = {
    pa.bool_(): BooleanType(),
    pa.int64(): LongType(),
    pa.float32(): FloatType(),
    pa.float64(): DoubleType(),
    pa.binary(): BinaryType(),
    pa.string(): StringType(),
    pa.date32(): DateType(),
    pa.timestamp("us"): TimestampType(),
    pa.timestamp("us", "UTC"): TimestamptzType(),
}
FIELD_ID = b"PARQUET:field_id"
"""The member of an Arrow field's metadata that becomes the field's number in a Parquet file."""


def iceberg_type(type_: pa.DataType) -> IcebergType:
    """The type of a column in a table."""
    return DecimalType(type_.precision, type_.scale) if pa.types.is_decimal(type_) else _PLAIN[type_]


def build_schema(arrow: pa.Schema) -> Schema:
    """A table's schema; its columns are numbered in order."""
    return Schema(
        *(
            NestedField(number, field.name, iceberg_type(field.type), required=not field.nullable)
            for number, field in enumerate(arrow, 1)
        )
    )


def widens(found: IcebergType, wanted: IcebergType) -> bool:
    """Whether a column can be altered to the wanted type, as Iceberg's rules allow, and its rows stay as they are."""
    if isinstance(found, DecimalType) and isinstance(wanted, DecimalType):
        return found.scale == wanted.scale and found.precision < wanted.precision
    return (str(found), str(wanted)) in {("int", "long"), ("float", "double")}


def present_names(staged: pa.Schema, schema: Schema) -> dict[str, str]:
    """Columns of a staged file, and what the table calls them now: others may have renamed one meanwhile. Those that are gone are left out."""
    by_number = {str(field.field_id).encode(): field.name for field in schema.fields}
    names, found = set(by_number.values()), {}
    for field in staged:
        number = (field.metadata or {}).get(FIELD_ID)
        name = by_number.get(number) if number is not None else field.name
        if name in names:
            found[field.name] = name
    return found


def numbered(arrow: pa.Schema, schema: Schema) -> pa.Schema:
    """The same columns with the numbers that they have in the table; one that it has not is left without."""
    numbers = {field.name: str(field.field_id).encode() for field in schema.fields}
    fields = [
        field.with_metadata({FIELD_ID: numbers[field.name]}) if field.name in numbers else field for field in arrow
    ]
    return pa.schema(fields)
