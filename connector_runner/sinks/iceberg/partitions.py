"""How a table is partitioned: the option of the URL as a specification, and in which partitions rows are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.partitioning import (
    UNPARTITIONED_PARTITION_SPEC,
    PartitionField,
    PartitionSpec,
    _to_partition_representation,
)
from pyiceberg.schema import Schema
from pyiceberg.transforms import (
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    Transform,
    YearTransform,
)
from pyiceberg.types import NestedField

from connector_runner.datasets.columnar.groups import grouped
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.schemas.datasets.partitions import Partitions, partition_name

_TRANSFORMS: Mapping[str, Callable[[], Transform[Any, Any]]] = {
    "identity": IdentityTransform,
    "year": YearTransform,
    "month": MonthTransform,
    "day": DayTransform,
    "hour": HourTransform,
}
FIRST_ID = 1000
"""The number of the first field, by Iceberg's convention."""


def build_spec(schema: Schema, partitions: Partitions) -> PartitionSpec:
    """The specification for a new table.

    Raises:
        ActionRequiredError: A column is missing, or its type has no such parts.
    """
    fields = []
    for number, (name, column) in enumerate(partitions, FIRST_ID):
        found = next((field for field in schema.fields if field.name == column), None)
        transform = _TRANSFORMS[name]()
        if found is None or not transform.can_transform(found.field_type):
            raise ActionRequiredError(_problem(found, name, column), reason="InvalidDataset")
        fields.append(PartitionField(found.field_id, number, transform, partition_name(name, column)))
    return PartitionSpec(*fields) if fields else UNPARTITIONED_PARTITION_SPEC


def _problem(found: NestedField | None, name: str, column: str) -> str:
    if found is None:
        return f"partitionBy names the column {column}, which the stream has not; choose another in the Dataset's URL"
    return f"partitionBy wants the {name} of the column {column}, but that is {found.field_type}; choose another in the Dataset's URL"


def foreign_transforms(spec: PartitionSpec, schema: Schema) -> list[str]:
    """Fields of a specification that this dataset can't write: other transforms, and of a column's inner fields."""
    columns = {field.field_id for field in schema.fields}
    return [
        f"{field.name} ({field.transform})"
        for field in spec.fields
        if str(field.transform) not in _TRANSFORMS or field.source_id not in columns
    ]


def split_rows(spec: PartitionSpec, schema: Schema, rows: pa.Table) -> Iterator[tuple[list[Any], pa.Table]]:
    """The rows of each partition, with its values as Iceberg keeps them."""
    sources, columns = [schema.find_field(field.source_id) for field in spec.fields], []
    for field, source in zip(spec.fields, sources, strict=True):
        # A column that the stream does not have is null in each of its rows.
        column = rows[source.name] if source.name in rows.schema.names else _nulls(len(rows), source)
        columns.append(_transformed(field.transform, column))
    # By number: no comparison finds the rows of NaN, and one finds those of 0.0 and of -0.0.
    for places in grouped(columns):
        found = [column[places[0].as_py()].as_py() for column in columns]
        values = [_kept(value, source) for value, source in zip(found, sources, strict=True)]
        yield values, rows if len(places) == len(rows) else rows.take(places)


def _nulls(count: int, field: NestedField) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(count, schema_to_pyarrow(field.field_type))])


def _transformed(transform: Transform[Any, Any], column: pa.ChunkedArray) -> pa.ChunkedArray:
    if isinstance(transform, IdentityTransform):
        return column
    if isinstance(transform, YearTransform):
        return pc.subtract(pc.year(column), 1970)
    if isinstance(transform, MonthTransform):
        return pc.add(pc.multiply(pc.subtract(pc.year(column), 1970), 12), pc.subtract(pc.month(column), 1))
    if isinstance(transform, DayTransform):
        return pc.floor_temporal(column, unit="day").cast(pa.date32()).cast(pa.int32())
    hours = pc.floor_temporal(column, unit="hour").cast(pa.int64())
    return pc.divide(hours, 3_600_000_000)


def _kept(value: Any, field: NestedField) -> Any:
    """A value of a partition as Iceberg keeps it: times and dates as numbers."""
    return value if isinstance(value, int) else _to_partition_representation(field.field_type, value)
