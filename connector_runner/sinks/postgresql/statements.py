"""SQL on the table with the rows; one statement over arrays for each set of rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from connector_runner.datasets.fencing import encode_position
from connector_runner.datasets.names import TableNames, quote, quote_all
from connector_runner.datasets.procedure import Statement
from connector_runner.datasets.write_plan import History, Step, plan_append, plan_upsert
from connector_runner.protocols.batch import Batch, place_of
from connector_runner.protocols.schema import StreamSchema
from connector_runner.sinks.postgresql.types import (
    TEXT,
    Cells,
    PostgresType,
    array_parameter,
    column_types,
    encode_columns,
    encode_texts,
)

# Rows without an owner are older than that column.
OWN = "((_connector = $2 AND _stream = $3) OR _connector IS NULL)"


@dataclass(frozen=True)
class RowSql:
    """Builds statements on the table with the rows, for one schema; `owner` is (connector, stream)."""

    schema: StreamSchema
    names: TableNames
    owner: tuple[str, str]

    @cached_property
    def types(self) -> list[PostgresType]:
        """The types of the columns, in row order."""
        return column_types(self.schema)

    @cached_property
    def _key_types(self) -> list[PostgresType]:
        return [self.types[place] for place in self.schema.key_indices]

    @cached_property
    def columns(self) -> str:
        """The quoted names of the columns."""
        return quote_all(self.schema.names)

    @cached_property
    def on_conflict(self) -> str:
        """The action of an upsert on an existing row."""
        key = quote_all(self.schema.key)
        changed = [quote(name) for name in self.schema.names if name not in self.schema.key]
        if not changed:
            return f"ON CONFLICT ({key}) DO NOTHING"
        return f"ON CONFLICT ({key}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changed)}"

    @cached_property
    def _from_arrays(self) -> str:
        return f"SELECT * FROM {_unnest(self.types)}"

    @cached_property
    def _upsert(self) -> str:
        return f"INSERT INTO {self.names.rows} ({self.columns}) {self._from_arrays} {self.on_conflict}"

    @cached_property
    def _insert(self) -> str:
        key = quote_all(self.schema.key)
        return f"INSERT INTO {self.names.rows} ({self.columns}) {self._from_arrays} ON CONFLICT ({key}) DO NOTHING"

    @cached_property
    def _delete(self) -> str:
        key = self.schema.key
        aliases = [f"k{place}" for place in range(len(key))]
        match = " AND ".join(f"t.{quote(name)} = d.{alias}" for name, alias in zip(key, aliases, strict=True))
        given = f"{_unnest(self._key_types)} AS d({', '.join(aliases)})"
        return f"DELETE FROM {self.names.rows} AS t USING {given} WHERE {match}"

    @cached_property
    def append_columns(self) -> str:
        """The quoted names, with the columns that append mode adds."""
        return f"{self.columns}, _op, _position, _connector, _stream, _written_at"

    @cached_property
    def _append(self) -> str:
        return (
            f"INSERT INTO {self.names.rows} ({self.append_columns}) "
            f"SELECT *, {self._owner(len(self.types) + 3)}, now() FROM {_unnest([*self.types, TEXT, TEXT])}"
        )

    @staticmethod
    def _owner(first: int) -> str:
        return f"${first}::text, ${first + 1}::text"

    def _prefix(self, length: int, first: int) -> str:
        pairs = zip(self.schema.key[:length], self._key_types, strict=False)
        return (
            " AND ".join(
                f"{quote(name)} = (${first + place}::{kind.name}[])[1]" for place, (name, kind) in enumerate(pairs)
            )
            or "true"
        )

    def _prefix_parameters(self, prefix: Sequence[Any]) -> list[bytes]:
        types = self._key_types[: len(prefix)]
        return [array_parameter(kind.oid, kind.encode([value])) for kind, value in zip(types, prefix, strict=True)]

    def write(self, batches: Sequence[Batch], *, append: bool) -> list[Statement]:
        """The statements that write batches.

        Raises:
            RefusedError and others: See `types.encode_columns`.
        """
        if append:
            return [statement for history in plan_append(batches) for statement in self.append(history)]
        return [statement for step in plan_upsert(self.schema, batches) for statement in self.apply(step)]

    def apply(self, step: Step) -> list[Statement]:
        """The statements of a step of upsert mode.

        Raises:
            RefusedError and others: See `types.encode_columns`.
        """
        statements = []
        for prefix in step.replaced:
            sql = f"DELETE FROM {self.names.rows} WHERE {self._prefix(len(prefix), 1)}"
            statements.append(Statement(sql, self._prefix_parameters(prefix)))
        if step.deleted:
            keys = [[row[place] for place in self.schema.key_indices] for row in step.deleted]
            statements.append(Statement(self._delete, _arrays(self._key_types, keys)))
        if step.upserted:
            statements.append(Statement(self._upsert, _arrays(self.types, step.upserted)))
        if step.inserted:
            statements.append(Statement(self._insert, _arrays(self.types, step.inserted)))
        return statements

    def append(self, history: History) -> list[Statement]:
        """The statements of a step of append mode.

        Raises:
            RefusedError and others: See `types.encode_columns`.
        """
        statements = []
        owner = [part.encode() for part in self.owner]
        for prefix, batch in history.replaced:
            parameters = [encode_position(place_of(batch.position)).encode(), *owner, *self._prefix_parameters(prefix)]
            statements.append(Statement(self._retract(len(prefix)), parameters))
        if history.rows:
            oids = [*(kind.oid for kind in self.types), TEXT.oid, TEXT.oid]
            cells = self.history_cells(history)
            arrays = [array_parameter(*pair) for pair in zip(oids, cells, strict=True)]
            statements.append(Statement(self._append, [*arrays, *owner]))
        return statements

    def history_cells(self, history: History) -> list[Cells]:
        """The columns of rows to append, with operation and position."""
        texts: dict[str, bytes] = {}
        positions: dict[int, bytes] = {}
        operations, stamps = [], []
        for operation, _, batch in history.rows:
            if (cell := texts.get(operation)) is None:
                cell = texts[operation] = encode_texts([operation])[0]
            operations.append(cell)
            if (cell := positions.get(id(batch))) is None:
                cell = positions[id(batch)] = encode_texts([encode_position(place_of(batch.position))])[0]
            stamps.append(cell)
        return [*encode_columns(self.types, [row for _, row, _ in history.rows]), operations, stamps]

    @property
    def history_index(self) -> tuple[str, str]:
        """Name and CREATE statement of the index for key prefixes; created at the first replacement, because it slows appending."""
        name = f"{self.names.table}_by_key"
        sql = f"CREATE INDEX {quote(name)} ON {self.names.rows} ({quote_all(self.schema.key)})"
        return self.names.quoted(name), sql

    def _retract(self, length: int) -> str:
        key = quote_all(self.schema.key)
        if not key:
            # Rows without a key are only retracted all at once: the rows after the last retraction are live.
            return (
                f"WITH own AS (SELECT * FROM {self.names.rows} WHERE {OWN}) INSERT INTO {self.names.rows} ({self.append_columns}) "
                f"SELECT {self.columns}, 'delete', $1::text, {self._owner(2)}, now() FROM own "
                "WHERE _id > (SELECT coalesce(max(_id), 0) FROM own WHERE _op = 'delete') ORDER BY _id"
            )
        return (
            f"INSERT INTO {self.names.rows} ({self.append_columns}) "
            f"SELECT {self.columns}, 'delete', $1::text, {self._owner(2)}, now() FROM "
            f"(SELECT DISTINCT ON ({key}) * FROM {self.names.rows} WHERE {OWN} AND {self._prefix(length, 4)} "
            f"ORDER BY {key}, _id DESC) AS latest WHERE _op <> 'delete' ORDER BY _id"
        )


def _unnest(types: Sequence[PostgresType]) -> str:
    return f"unnest({', '.join(f'${place}::{kind.name}[]' for place, kind in enumerate(types, 1))})"


def _arrays(types: Sequence[PostgresType], rows: Sequence[Sequence[Any]]) -> list[bytes]:
    columns = encode_columns(types, rows)
    return [array_parameter(kind.oid, cells) for kind, cells in zip(types, columns, strict=True)]
