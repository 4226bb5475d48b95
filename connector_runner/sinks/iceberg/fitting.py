"""Makes the table with the rows of a stream, or checks that it can hold them."""

from __future__ import annotations

import json

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.types import IcebergType

from connector_runner.datasets.columnar.columns import Columns
from connector_runner.datasets.columnar.rows import history_schema
from connector_runner.datasets.schema_evolution import Alteration, FoundColumn, FoundTable, fit_table
from connector_runner.protocols.errors import ActionRequiredError, SchemaConflictError, TransientError
from connector_runner.protocols.schema import StreamSchema
from connector_runner.schemas.datasets.partitions import Partitions
from connector_runner.sinks.iceberg.commits import OneCommit
from connector_runner.sinks.iceberg.partitions import build_spec, foreign_transforms
from connector_runner.sinks.iceberg.tables import KEY, Table
from connector_runner.sinks.iceberg.types import build_schema, iceberg_type, widens

TRIES = 20


def ensure_table(table: Table, schema: StreamSchema, partitions: Partitions, *, append: bool, own: bool) -> bool:
    """Makes the table fit; returns whether it was created.

    Raises:
        SchemaConflictError: It can't be made to fit.
        ActionRequiredError: It has partitions that this dataset can't write.
    """
    alteration, wanted = plan_table(table, schema, partitions, append=append, own=own)
    if alteration is None and table.create(wanted, "", () if append else schema.key, partitions):
        return True
    types = {field.name: iceberg_type(field.type) for field in wanted}
    for _ in range(TRIES):
        alteration, _ = plan_table(table, schema, partitions, append=append, own=own)
        table.require_fence()
        try:
            _alter(table, alteration or Alteration(), types)
        except CommitFailedException:
            continue
        return False
    raise TransientError(f"the table {table.name} is changed again and again", reason="DatasetUnavailable")


def plan_table(
    table: Table, schema: StreamSchema, partitions: Partitions, *, append: bool, own: bool
) -> tuple[Alteration | None, pa.Schema]:
    """What `ensure_table` does, without doing it: what is altered (None: the table is created), and the columns.

    Raises:
        SchemaConflictError, ActionRequiredError: As `ensure_table`.
    """
    columns = Columns(schema)
    wanted = history_schema(columns) if append else columns.arrow
    if not table.exists:
        build_spec(build_schema(wanted), partitions)
        return None, wanted
    table.refresh()
    if foreign := foreign_transforms(table.iceberg.spec(), table.iceberg.schema()):
        raise ActionRequiredError(
            f"table {table.name} is partitioned by {', '.join(foreign)}, which this dataset can't write; choose another table",
            reason="InvalidDataset",
        )
    types = {field.name: iceberg_type(field.type) for field in wanted}
    return _alteration(table, schema, types, append=append, own=own), wanted


def _alteration(
    table: Table, schema: StreamSchema, types: dict[str, IcebergType], *, append: bool, own: bool
) -> Alteration:
    fields = {field.name: field for field in table.iceberg.schema().fields}
    if {"_op", "_position"} <= fields.keys() and not append:
        raise SchemaConflictError(
            f"table {table.name} is a history (columns _op and _position), which writeMode append has made; choose another table"
        )
    key = tuple(json.loads(table.settings.get(KEY, "null")) or ())
    found = FoundTable(
        {name: FoundColumn(str(field.field_type), field.required) for name, field in fields.items()},
        ("_id",) if append else key or schema.key,
    )
    wider = {
        (str(fields[name].field_type), str(type_)): False
        for name, type_ in types.items()
        if name in fields and widens(fields[name].field_type, type_)
    }
    names = {name: str(type_) for name, type_ in types.items()}
    return fit_table(schema, found, names, table=table.name, own=own, widens=wider, append=append)


def _alter(table: Table, alteration: Alteration, types: dict[str, IcebergType]) -> None:
    if not alteration.added and not alteration.widened:
        return
    commit = OneCommit(table.iceberg)
    try:
        with commit.update_schema() as update:
            for name in alteration.added:
                update.add_column((name,), types[name])  # a path of one part: names may have dots
            for name in alteration.widened:
                update.update_column((name,), types[name])
    except ValueError as error:  # as of a column whose name a partition has kept, when its own column got another
        raise SchemaConflictError(
            f"table {table.name} can't get the columns that it is to have ({error}); choose another table"
        ) from error
    commit.commit_transaction()
    table.refresh()
