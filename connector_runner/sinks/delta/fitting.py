"""Makes the table with the rows of a stream, or checks that it can hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.rows import history_schema
from connector_runner.datasets.schema_evolution import Alteration, FoundColumn, FoundTable, fit_table
from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.schemas.datasets.partitions import Partitions
from connector_runner.sinks.delta.partitions import build_layout, require_layout
from connector_runner.sinks.delta.tables import KEY, Table
from connector_runner.sinks.delta.types import delta_name

_ILLEGAL = set(' ,;{}()\n\t="`')
"""Parquet's readers do not take these in the name of a column."""
FORGETS = "delta.setTransactionRetentionDuration"


def ensure_table(table: Table, schema: StreamSchema, partitions: Partitions, *, append: bool, own: bool) -> bool:
    """Makes the table fit; returns whether it was created.

    Raises:
        SchemaConflictError: It can't be made to fit.
        ActionRequiredError: It has settings under which the promise can't be kept.
    """
    alteration, wanted = plan_table(table, schema, partitions, append=append, own=own)
    if alteration is None:
        layout = build_layout(wanted, partitions)
        if table.create(wanted, "", () if append else schema.key, layout):
            return True
        alteration, _ = plan_table(table, schema, partitions, append=append, own=own)  # somebody else was faster
    if alteration is not None and alteration.added:
        table.add_columns([wanted.field(name).with_nullable(True) for name in alteration.added], "")
    return False


def plan_table(
    table: Table, schema: StreamSchema, partitions: Partitions, *, append: bool, own: bool
) -> tuple[Alteration | None, pa.Schema]:
    """What `ensure_table` does, without doing it: what is altered (None: the table is created), and the columns.

    Raises:
        SchemaConflictError, ActionRequiredError: As `ensure_table`.
    """
    if bad := [name for name in schema.names if _ILLEGAL & set(name)]:
        raise SchemaConflictError(
            f"stream {schema.stream} has columns named {', '.join(map(repr, bad))}; a Delta table takes no spaces, quotes or any "
            "of ,;{}()= in a name"
        )
    columns = Columns(schema)
    wanted = history_schema(columns) if append else columns.arrow
    if not table.exists:
        build_layout(wanted, partitions)
        return None, wanted
    table.refresh()
    _require_settings(table, append=append)
    require_layout(table.layout, table.schema, wanted, partitions, table.name)
    types = {field.name: delta_name(field.type) for field in wanted}
    found = _found(table, schema, append=append)
    return fit_table(schema, found, types, table=table.name, own=own, widens={}, append=append), wanted


def _found(table: Table, schema: StreamSchema, *, append: bool) -> FoundTable:
    fields = table.schema
    has_history = "_op" in fields.names and "_position" in fields.names
    if has_history and not append:
        raise SchemaConflictError(
            f"table {table.name} is a history (columns _op and _position), which writeMode append has made; choose another table"
        )
    columns = {field.name: FoundColumn(_name(field.type), not field.nullable) for field in fields}
    key = tuple(json.loads(table.settings.get(KEY, "null")) or ())
    return FoundTable(columns, ("_id",) if append else key or schema.key)


def _name(type_: pa.DataType) -> str:
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        type_ = pa.string()
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        type_ = pa.binary()
    try:
        return delta_name(type_)
    except KeyError:
        return str(type_)


def _require_settings(table: Table, *, append: bool) -> None:
    settings: Mapping[str, str] = table.settings
    if FORGETS in settings:
        raise ActionRequiredError(
            f"table {table.name} forgets transactions ({FORGETS}={settings[FORGETS]}), so what was committed could be committed "
            "again; remove that property",
            reason="InvalidDataset",
        )
    if settings.get("delta.appendOnly") == "true" and not append:
        raise ActionRequiredError(
            f"table {table.name} has delta.appendOnly, but writeMode upsert changes rows; remove it, or set writeMode: append",
            reason="InvalidDataset",
        )
