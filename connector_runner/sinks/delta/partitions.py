"""How a Delta table is partitioned: columns of the stream, and columns that are derived from its times and dates. Pure.

Delta itself knows only columns. One that is derived (`time_day`) is a plain column with the value in UTC: as a generated one it would
depend on the time zone of whoever reads or writes. The table's property `SETTING` says how each came about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from connector_runner.datasets.columnar.groups import grouped
from connector_runner.datasets.dead_letters import RefusedError
from connector_runner.protocols.errors import ActionRequiredError
from connector_runner.schemas.datasets.partitions import Partitions, parse_partitions, partition_name, spell_partitions

SETTING = "connectorRunner.partitionBy"
LONGEST = 255
"""How many bytes the name of a folder may have: a merge and a compaction write into `<column>=<value>`."""
DERIVED: Mapping[str, pa.DataType] = {
    "year": pa.int64(),
    "month": pa.string(),
    "day": pa.date32(),
    "hour": pa.string(),
}
_WHOLE = (pa.bool_(), pa.int64(), pa.string(), pa.date32())


@dataclass(frozen=True, slots=True)
class Field:
    """One partition column: its name, and by which transform of which column it came about."""

    name: str
    transform: str
    column: str

    @property
    def is_derived(self) -> bool:
        """Whether the stream does not have it."""
        return self.transform != "identity"


@dataclass(frozen=True, slots=True)
class Layout:
    """The partition columns of a table, in their order."""

    fields: tuple[Field, ...] = ()

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [field.name for field in self.fields]

    @property
    def text(self) -> str:
        """As `partitionBy` spells them."""
        return spell_partitions([(field.transform, field.column) for field in self.fields])

    @property
    def derived(self) -> pa.Schema:
        """The columns that the stream does not have."""
        return pa.schema([(field.name, DERIVED[field.transform]) for field in self.fields if field.is_derived])

    def derive(self, rows: pa.Table) -> pa.Table:
        """Rows of the stream with the derived columns; null where the column is missing."""
        for field in self.fields:
            if field.is_derived:
                column = rows[field.column] if field.column in rows.schema.names else pa.nulls(len(rows), pa.date32())
                rows = rows.append_column(field.name, _derived(field.transform, column))
        return rows

    def split(self, rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each partition, without its columns; and its values, as JSON."""
        names, all_ = self.names, self.derive(rows)
        for name in names:
            if name not in all_.schema.names:  # somebody else's column
                all_ = all_.append_column(name, pa.nulls(len(all_), pa.string()))
        rows = rows.drop_columns([name for name in names if name in rows.schema.names])
        keys = all_.select(names)
        for places in grouped(keys.columns):
            values = keys.slice(places[0].as_py(), 1).to_pylist()[0]
            label = json.dumps({name: partition_text(value) for name, value in values.items()})
            yield label, rows if len(places) == len(rows) else rows.take(places)

    def require_storable(self, arrays: Mapping[str, pa.Array]) -> None:
        """Checks values that are to be those of partitions.

        Raises:
            RefusedError: One of them can't be.
        """
        for field in self.fields:
            if not field.is_derived and field.column in arrays and pa.types.is_string(arrays[field.column].type):
                for value in pc.unique(arrays[field.column]).to_pylist():
                    _require_text(field.name, value)

    def known_by(self, key: Sequence[str]) -> list[str]:
        """The partition columns that the key decides: a row of the same key is in the same partition."""
        return [field.name for field in self.fields if field.column in key]


def _require_text(name: str, value: str | None) -> None:
    if value == "":
        raise RefusedError(f"column {name} is a partition, and Delta reads an empty text there as null")
    if value is not None and len(quote(f"{name}={value}", safe="")) > LONGEST:
        raise RefusedError(f"column {name} is a partition, and {value[:40]!r}… is too long for the name of its folder")


def _derived(transform: str, column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    if transform == "hour" and pa.types.is_timestamp(column.type):
        text = column.cast(pa.timestamp("us")).cast(pa.string())  # a time with a zone is kept in UTC
        return pc.replace_substring(pc.utf8_slice_codeunits(text, 0, len("2026-01-01 00")), " ", "-")
    day = pc.floor_temporal(column, unit="day").cast(pa.date32()) if pa.types.is_timestamp(column.type) else column
    if transform == "day":
        return day.cast(pa.date32())
    text = pc.utf8_slice_codeunits(day.cast(pa.string()), 0, len("2026" if transform == "year" else "2026-01"))
    return text.cast(DERIVED[transform])


def partition_text(value: Any) -> str | None:
    """A value as Delta's log has it; None for null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def build_layout(schema: pa.Schema, partitions: Partitions) -> Layout:
    """The layout of a new table with these columns.

    Raises:
        ActionRequiredError: A table with these columns can't be partitioned so.
    """
    fields = []
    for transform, column in partitions:
        found = schema.field(column).type if column in schema.names else None
        if problem := _problem(transform, column, found):
            raise ActionRequiredError(
                f"partitionBy {problem}; choose another in the Dataset's URL", reason="InvalidDataset"
            )
        fields.append(Field(partition_name(transform, column), transform, column))
    layout = Layout(tuple(fields))
    if taken := sorted({name.lower() for name in layout.derived.names} & {name.lower() for name in schema.names}):
        raise ActionRequiredError(
            f"partitionBy={layout.text} needs the name {', '.join(taken)} for a column of the table's own, and the stream has one "
            "of that name; choose another partition in the Dataset's URL",
            reason="InvalidDataset",
        )
    if fields and set(layout.names) >= set(schema.names):
        raise ActionRequiredError(
            "partitionBy names every column of the stream, and a Delta table needs one that is none; name fewer in the "
            "Dataset's URL",
            reason="InvalidDataset",
        )
    return layout


def _problem(transform: str, column: str, found: pa.DataType | None) -> str:
    if found is None:
        return f"names the column {column}, which the stream has not"
    if transform == "identity":
        if found in _WHOLE or pa.types.is_decimal(found):
            return ""
        advice = f"; of a time take days({column}) or the like" if pa.types.is_timestamp(found) else ""
        return f"names the column {column}, whose type {found} a Delta table can't be partitioned by{advice}"
    if pa.types.is_timestamp(found) or (found == pa.date32() and transform != "hour"):
        return ""
    return f"wants the {transform} of the column {column}, but that is {found}"


def read_layout(columns: Sequence[str], setting: str) -> Layout:
    """The layout of a table that exists.

    Args:
        columns: Its partition columns.
        setting: Its property `SETTING`; "" if it has none.
    """
    known = {partition_name(*each): each for each in parse_partitions(setting) or ()}
    return Layout(tuple(Field(name, *known.get(name, ("identity", name))) for name in columns))


def require_layout(layout: Layout, schema: pa.Schema, wanted: pa.Schema, partitions: Partitions, table: str) -> None:
    """Checks the layout of a table that exists.

    Args:
        layout: How it is partitioned.
        schema: Its columns.
        wanted: The columns of the stream.
        partitions: What the URL asks for; empty for whatever the table has.
        table: Its name, for messages.

    Raises:
        ActionRequiredError: It is partitioned otherwise, or can't be written.
    """
    if partitions and spell_partitions(partitions) != layout.text:
        has = f"is partitioned by {layout.text}" if layout.fields else "has no partitions"
        raise ActionRequiredError(
            f"table {table} {has}, but the Dataset's URL says partitionBy={spell_partitions(partitions)}; no partition of a table can be "
            "changed: put back what the table has, or choose another table",
            reason="InvalidDataset",
        )
    for field in layout.fields:
        if field.is_derived:
            if field.name in wanted.names:
                raise ActionRequiredError(
                    f"table {table} is partitioned by {layout.text}, for which it has the column {field.name} of its own; the "
                    "stream has a column of that name now: choose another table",
                    reason="InvalidDataset",
                )
        elif problem := _problem("identity", field.name, schema.field(field.name).type):
            raise ActionRequiredError(
                f"table {table} is partitioned in a way that this dataset can't write: it {problem}; choose another table",
                reason="InvalidDataset",
            )
